"""What is generated is up to date, and the generator writes what it should and nothing else."""

from pathlib import Path

import pytest

from schemas.generate import FOLDER, ROOT, example_json, fill, main, out_of_date, release
from schemas.reasons import CATALOGUE
from schemas.topics import TOPICS

TOPICS_BLOCK = "<!-- generated: topics -->\n<!-- end generated -->"


def test_every_generated_file_is_what_the_types_give() -> None:
    assert [str(path.relative_to(ROOT)) for path in out_of_date()] == [], "run `make generate`"


def test_generating_twice_changes_nothing(tmp_path: Path) -> None:
    assert main([], tmp_path) == 0
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert len(first) == 2 * len(TOPICS)
    assert main([], tmp_path) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == first
    assert main(["--check"], tmp_path) == 0


def test_check_names_what_is_out_of_date_missing_or_left_over_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([], tmp_path)
    capsys.readouterr()
    stale, missing, left = (tmp_path / FOLDER / f"{name}.schema.json" for name in ("uploads", "labels", "gone"))
    stale.write_text("{}")
    missing.unlink()
    left.write_text("{}")
    assert main(["--check"], tmp_path) == 1
    said = capsys.readouterr().out
    assert all(f"out of date: {path.relative_to(tmp_path)}" in said for path in (stale, missing, left))
    assert (stale.read_text(), missing.exists(), left.exists()) == ("{}", False, True)
    main([], tmp_path)
    assert main(["--check"], tmp_path) == 0
    assert not left.exists()


def test_blocks_of_docs_are_made_anew_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    doc = tmp_path / "docs" / "deep" / "wire.md"
    doc.write_text(f"before\n{TOPICS_BLOCK}\nafter\n")
    plain = tmp_path / "README.md"
    plain.write_text("no block\n")
    main([], tmp_path)
    text = doc.read_text()
    assert text.startswith("before\n<!-- generated: topics -->\n| topic |")
    assert text.endswith("|\n<!-- end generated -->\nafter\n")
    assert plain.read_text() == "no block\n"
    assert main(["--check"], tmp_path) == 0
    doc.write_text(text.replace("184 days", "1 day"))
    assert main(["--check"], tmp_path) == 1


def test_the_topic_table_has_a_row_for_each_topic() -> None:
    rows = fill(TOPICS_BLOCK, "x").splitlines()[3:-1]
    assert [row.split("|")[1].strip(" `") for row in rows] == list(TOPICS)
    assert rows[0] == "| `uploads` | `publisher_id` | in | 7 days | `Upload` | uploads, from the ingest tier |"
    assert "| `policies` | `name` | in | compacted | `Policy` |" in "\n".join(rows)
    assert "| `deadletters` | as it came | out | 30 days |" in "\n".join(rows)


def test_the_reason_table_has_a_row_for_each_code() -> None:
    rows = fill("<!-- generated: reasons -->\n<!-- end generated -->", "x").splitlines()[3:-1]
    assert [row.split("|")[1].strip(" `") for row in rows] == list(CATALOGUE)
    assert all(row.count("|") == 6 for row in rows)


def test_an_example_block_shows_the_topics_example() -> None:
    text = fill("<!-- generated: example uploads -->\nold\n<!-- end generated -->", "x")
    assert text == (
        "<!-- generated: example uploads -->\n"
        f"```json\n{example_json(TOPICS['uploads'])}```\n"
        "<!-- end generated -->"
    )  # fmt: skip


def test_an_example_of_what_others_write_holds_no_nulls_and_one_of_ours_is_whole() -> None:
    assert "null" not in example_json(TOPICS["uploads"])
    assert '"replaces": null' in example_json(TOPICS["verdicts"])


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated: weather -->\n<!-- end generated -->",
        "<!-- generated: example weather -->\n<!-- end generated -->",
        "<!-- generated: topics -->\n",
        "<!-- end generated -->",
        f"<!-- generated: topics -->\n{TOPICS_BLOCK}",
    ],
)
def test_a_block_that_nobody_makes_or_that_does_not_end_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(ValueError, match=r"^wire\.md: "):
        fill(text, "wire.md")


def test_a_release_is_recorded_once_and_never_again(tmp_path: Path) -> None:
    folder = release("1.2.3", tmp_path)
    assert {path.name for path in folder.iterdir()} == {f"{topic}.schema.json" for topic in TOPICS}
    with pytest.raises(FileExistsError):
        release("1.2.3", tmp_path)
