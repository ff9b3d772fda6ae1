"""The twelve cases through `veristream up`, and through the demonstration that README shows."""

from __future__ import annotations

import os
import subprocess

from processes import COMMAND

from deploy.demo.runner import Runner
from deploy.demo.scenario import Seen


async def test_every_case_comes_out_as_the_table_of_truth_says(pipeline, media, tmp_path):
    seen: list[Seen] = []
    results = await Runner(pipeline.settings, media, tmp_path, seen.append).run()
    assert [result.case.number for result in results] == list(range(1, 13))
    assert {result.case.number: result.faults for result in results if result.faults} == {}
    stages = {event.stage for event in seen if event.case == 1}
    assert stages == {"submitted", "identity", "extraction", "review", "synthetic", "rumor", "verdict"}


def test_the_demonstration_prints_twelve_rows_and_exits_0(tmp_path):
    environment = os.environ | {"VERISTREAM_STORE": str(tmp_path / "media"), "COLUMNS": "140"}
    ended = subprocess.run([COMMAND, "demo", "--once"], env=environment, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 of 12 cases as expected" in ended.stdout
