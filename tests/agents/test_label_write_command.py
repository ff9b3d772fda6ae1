from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.main import command_line
from tests.streams.labels.made import PLATFORM, PRODUCER, media, packets


@pytest.fixture
def label(tmp_path: Path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(media("mp4"))

    def run(*arguments: str):
        given = ["label", "write", str(clip), "-o", str(tmp_path / "out.mp4"), *arguments]
        return CliRunner().invoke(command_line(), given), clip, tmp_path / "out.mp4"

    return run


def test_a_file_is_labelled_and_the_check_of_its_label_passes(label) -> None:
    done, clip, made = label("--code", PLATFORM, "--level", "2", "--implicit-only", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["explicit"], said["implicit"]["AIGC"]["Label"]) == ("nothing", "2")
    assert packets(made.read_bytes()) == packets(clip.read_bytes())
    assert CliRunner().invoke(command_line(), ["label", "check", "--require", str(made)]).exit_code == 0


def test_the_producer_of_level_1_is_named(label) -> None:
    done, _, _ = label("--code", PLATFORM, "--producer", PRODUCER, "--implicit-only", "--json")
    values = json.loads(done.stdout)["implicit"]["AIGC"]
    assert (values["ContentProducer"], values["ContentPropagator"]) == (PRODUCER, PLATFORM)
    assert values["ProduceID"] == values["PropagateID"] == "clip"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give --code"),
        (("--code", "X" * 27, "--implicit-only"), "ContentPropagator"),
        (("--code", PLATFORM, "--text", "AI"), "neither"),
        (("--code", PLATFORM, "--text", "电脑生成"), "neither"),
        (("--code", PLATFORM, "--permanent", "--implicit-only"), "--permanent"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(label, arguments: tuple[str, ...], words: str) -> None:
    done, _, made = label(*arguments)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())
    assert [one.name for one in made.parent.iterdir()] == ["clip.mp4"]


def test_nothing_is_written_over(label) -> None:
    _, _, made = label()
    made.write_text("dear to somebody")
    done, _, _ = label("--code", PLATFORM)
    assert done.exit_code == 1
    assert made.read_text() == "dear to somebody"
