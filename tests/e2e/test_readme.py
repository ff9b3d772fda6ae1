"""What the README prints works as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from processes import COMMAND, environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_the_first_event_in_python_is_answered(pipeline, media, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert '"127.0.0.1:9092"' in program and 'pathlib.Path.home() / ".local/share/veristream/media"' in program
    program = program.replace("127.0.0.1:9092", pipeline.settings.broker).replace(
        'pathlib.Path.home() / ".local/share/veristream/media"', f"pathlib.Path({str(pipeline.settings.store)!r})"
    )
    shutil.copy(media.ordinary, tmp_path / "clip.mp4")
    with subprocess.Popen(
        [COMMAND, "tail", "verdicts", "--json", "--max", "1", "--where", "content_id=video-1", "--from-beginning",
         "--broker", pipeline.settings.broker],
        env=environment(pipeline.settings), stdout=subprocess.PIPE, text=True,
    ) as reading:  # fmt: skip
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60)
        assert reading.stdout is not None
        assert json.loads(reading.stdout.readline())["value"]["verdict"] == "publish"
        assert reading.wait(30) == 0


def test_every_command_that_the_docs_name_exists():
    named = set()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"):
        named |= set(
            re.findall(
                r"veristream ((?:[a-z]+)(?: (?:create|check|list|lint|put|show|add))?)\b", page.read_text("utf-8")
            )
        )
    assert len(named) > 10
    for words in sorted(named):
        ended = subprocess.run(
            [COMMAND, *words.split(), "--help"], env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"veristream {words}: {ended.stderr}"


def test_every_make_target_that_the_docs_name_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        assert set(re.findall(r"`?make ([a-z]+)", page.read_text("utf-8"))) - {"and", "sure"} <= targets


def test_every_link_in_the_docs_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
