"""What the README prints works as printed."""

from __future__ import annotations

import json
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
