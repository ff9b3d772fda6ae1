"""`label check`: one report for people and scripts, and an exit code."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from schemas.aigc import aigc_object
from streams.cli.main import command_line
from tests.streams import labelled as made

CODE = "001191440300708461136T1XGW3"
RAW = aigc_object("1", CODE, "a-1").encode()
FILES = {
    "right.flac": made.flac(b"AIGC=" + RAW),
    "wrong.mp4": made.mp4(made.keyed(RAW)),
    "none.wav": made.riff(b"WAVE", made.chunk(b"fmt ", bytes(16))),
    "other.pdf": b"%PDF-1.7 and so on",
    "traces.png": made.png((b"tEXt", b"parameters\0a cat\nSteps: 20, Sampler: Euler a")),
}


@pytest.fixture(scope="module")
def app():
    return command_line()


@pytest.fixture
def label(app, tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)

    def run(*arguments: str):
        given = [str(tmp_path / one) if "." in one else one for one in arguments]
        return CliRunner().invoke(app, ["label", "check", *given])

    return run


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["right.flac"], 0),
        (["right.flac", "none.wav"], 0),
        (["--require", "right.flac"], 0),
        (["--require", "right.flac", "none.wav"], 1),
        (["right.flac", "wrong.mp4"], 1),
        (["other.pdf"], 2),
        (["missing.mp4", "right.flac"], 2),
        (["missing.mp4", "wrong.mp4"], 1),
        (["traces.png"], 0),
        (["--trust", "missing.pem", "right.flac"], 2),
    ],
)
def test_the_exit_code_says_whether_a_media_team_may_go_on(label, arguments, code):
    assert label(*arguments).exit_code == code


def test_people_read_what_is_wrong_and_who_is_named(label):
    said = label("wrong.mp4", "traces.png", "--require").stdout
    assert "non_compliant" in said
    assert "Label 1: is generated; stands in moov.meta.keys" in said
    assert "meta stands directly in moov, not in moov.udta" in said
    assert "ContentProducer: organisation 91440300708461136T, generates XGW3" in said
    assert "trace: parameters names a generator's parameters" in said
    assert "a label is required" in said


def test_scripts_get_one_object_a_file(label, tmp_path):
    done = label("--json", "right.flac", "wrong.mp4", "missing.mp4")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["file"] for line in lines] == [
        str(tmp_path / one) for one in ("right.flac", "wrong.mp4", "missing.mp4")
    ]
    right, wrong, missing = lines
    assert (right["outcome"], right["label"], right["faults"], right["places"]) == (
        "compliant",
        "1",
        [],
        ["VorbisComment"],
    )
    assert right["providers"]["ContentProducer"] == {
        "credit_code": "91440300708461136T",
        "role": "generates",
        "application": "XGW3",
    }
    assert (wrong["outcome"], wrong["faults"]) == ("non_compliant", ["meta stands directly in moov, not in moov.udta"])
    assert missing["error"]
