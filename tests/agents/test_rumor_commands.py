"""`veristream rumor` against a broker: what it sends and shows, and that it names what is bad and leaves the list as it
is."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime, timedelta

import pytest

from deploy.embedded import EmbeddedBroker, free_port
from schemas.message import encode
from streams.cli import main as entry
from streams.kafka import create_topics
from streams.settings import load

APP = entry.command_line()
CLAIM = "喝盐水可以预防核辐射"
REVIEW = {
    "@context": "https://schema.org",
    "@type": "ClaimReview",
    "url": "https://example.org/garlic",
    "claimReviewed": "Garlic under the pillow cures the flu",
    "author": {"@type": "Organization", "name": "Example Facts"},
    "reviewBody": "It does not.",
    "reviewRating": {"@type": "Rating", "alternateName": "False"},
}
REFUTED = ("--status", "refuted", "--refutation", "It does not.", "--authority", "Health Authority")


@pytest.fixture(scope="module")
def address():
    with EmbeddedBroker(free_port()) as broker:
        asyncio.run(create_topics(load(broker=broker.address)))
        yield broker.address


@pytest.fixture
def rumor(address, monkeypatch, capsys, tmp_path):
    """Runs a command as the installed entry point does: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level

    def run(*words, broker=True):
        where = ("--broker", address) if broker else ()
        monkeypatch.setattr(entry, "command_line", lambda: APP)
        monkeypatch.setattr(sys, "argv", ["veristream", "rumor", *map(str, words), *where])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return ended.value.code or 0, said.out, said.err

    yield run
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def listed(rumor):
    """The entries in force, as `list --json` gives them."""

    def rows():
        code, out, _ = rumor("list", "--json")
        assert code == 0
        return {row["rumor_id"]: row for row in map(json.loads, out.splitlines())}

    return rows


@pytest.fixture
def salt(rumor):
    """An entry that is in force before a test, and none of the others."""
    before = [json.loads(line)["rumor_id"] for line in rumor("list", "--json")[1].splitlines()]
    if before:
        rumor("remove", *before)
    code, out, _ = rumor(
        "add", CLAIM, "drinking salt water protects against radiation", "--id", "salt", *REFUTED,
        "--url", "https://example.org/salt", "--must", "盐|salt", "--must-not", "淡水", "--place", "Yunxi|云溪",
        "--language", "zh", "--language", "en", "--severity", "high", "--expires", "30d",
    )  # fmt: skip
    assert (code, out) == (0, "salt: refuted, 2 wordings\n")


def test_what_was_added_is_in_force_with_every_field(salt, listed):
    (row,) = listed().values()
    assert row["claims"] == [CLAIM, "drinking salt water protects against radiation"]
    assert (row["status"], row["severity"], row["languages"]) == ("refuted", "high", ["zh", "en"])
    assert row["refutation"] == {
        "text": "It does not.", "authority": "Health Authority", "url": "https://example.org/salt",
        "published_at": None,
    }  # fmt: skip
    assert (row["must"], row["must_not"]) == ([["盐", "salt"]], ["淡水"])
    assert row["entities"] == [{"kind": "place", "names": ["Yunxi", "云溪"]}]
    left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_the_same_id_replaces_and_an_entry_without_one_is_known_by_its_first_wording(salt, rumor, listed):
    assert rumor("add", CLAIM, "--id", "salt", "--status", "true")[0] == 0
    rumor("add", "大蒜放枕头下可以治流感")
    rumor("add", "大蒜放枕头下可以治流感", "大蒜治流感")
    found = listed()
    assert found.pop("salt")["status"] == "true"
    (other,) = found.values()
    assert other["claims"] == ["大蒜放枕头下可以治流感", "大蒜治流感"]


def test_a_bad_entry_is_refused_with_field_and_reason_and_the_one_in_force_stays(salt, rumor, listed):
    before = listed()
    for words, named, reason in (
        (("--status", "refuted"), "refutation", "names what is true"),
        (("--status", "refuted", "--refutation", "It does not."), "--authority", "who says so"),
        (("--status", "refuted", "--authority", "A"), "--refutation", "what is true"),
        ((*REFUTED, "--expires", "2020-01-31"), "expires_at", "does not lie after `added_at`"),
        ((*REFUTED, "--expires", "-3d"), "expires_at", "does not lie after `added_at`"),
        ((*REFUTED, "--expires", "soon"), "--expires", "neither a date"),
        ((*REFUTED, "--must", "盐", "--must-not", "盐"), "must.0", "contradicts `must_not`"),
        ((*REFUTED, "--must-not", "盐水"), "must_not", "bars a word of every one"),
        ((*REFUTED, "--must", "|"), "must[0]", "length"),
        ((*REFUTED, "--place", " "), "entities[0].names", "length"),
    ):
        code, out, err = rumor("add", CLAIM, "--id", "salt", *words)
        assert (code, out) == (1, ""), words
        assert named in err, words
        assert reason in err, words
    assert listed() == before


def test_a_claim_too_short_to_match_is_refused(rumor):
    code, _, err = rumor("add", "盐")
    assert code == 1
    assert "claims[0]" in err


def test_of_a_file_the_good_entries_are_taken_in_and_each_bad_one_is_named(make, salt, rumor, listed, tmp_path):
    before = listed()["salt"]
    good = json.loads(encode(make.rumor("大蒜可以治流感", rumor_id="garlic")))
    past = {"added_at": "2020-01-01T00:00:00Z", "expires_at": "2020-02-01T00:00:00Z"}
    rows = [
        good | {"rumor_id": "salt", "refutation": None},
        good | {"rumor_id": "salt", "must": [["蒜"]], "must_not": ["蒜"]},
        good | {"rumor_id": "salt"} | past,
        good,
        good | {"rumor_id": "other", "colour": 1, "claims": 7},
    ]
    file = tmp_path / "list.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    code, out, err = rumor("import", file, "--dry-run")
    assert (code, out) == (1, "1 taken in, 4 refused (nothing was sent)\n")
    assert set(listed()) == {"salt"}
    code, out, err = rumor("import", file)
    assert (code, out) == (1, "1 taken in, 4 refused\n")
    said = err.splitlines()
    for line, number, field, reason in zip(
        said, (1, 2, 3, 5), ("refutation", "must.0", "expires_at", "claims"),
        ("is missing", "contradicts", "is over", "xpected"), strict=True,
    ):  # fmt: skip
        assert f"list.jsonl: line {number}: {field}: " in line
        assert reason in line
    found = listed()
    assert found["salt"] == before
    assert set(found) == {"salt", "garlic"}


def test_a_claim_review_with_missing_fields_is_named_and_the_others_are_taken_in(salt, rumor, listed, tmp_path):
    file = tmp_path / "factcheck.json"
    lacking = ("claimReviewed", "author", "reviewRating", "@type")
    bad = [{name: value for name, value in REVIEW.items() if name != field} for field in lacking]
    file.write_text(json.dumps({"@graph": [*bad, REVIEW]}))
    code, out, err = rumor("import", file)
    assert (code, out) == (1, "1 taken in, 4 refused\n")
    for number, (field, line) in enumerate(zip(lacking, err.splitlines(), strict=True), 1):
        assert f"factcheck.json: item {number}: {field}: " in line
    found = listed()
    assert found.pop("salt")["status"] == "refuted"
    (row,) = found.values()
    assert (row["status"], row["refutation"]["authority"]) == ("refuted", "Example Facts")


def test_a_file_that_is_neither_is_named(rumor, tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes(b"\xff\xfe not a list")
    code, out, err = rumor("import", file)
    assert (code, out) == (1, "0 taken in, 1 refused\n")
    assert "list.txt: line 1: " in err
    assert rumor("import", tmp_path / "none.jsonl")[0] == 2


def test_what_is_exported_is_taken_in_again_as_it_was(salt, rumor, listed, tmp_path):
    rumor("add", "有人说明天停水", "--id", "water")
    before, file = listed(), tmp_path / "all.jsonl"
    assert rumor("export", file)[:2] == (0, f"{file}: 2 entries\n")
    assert rumor("remove", "salt", "water")[0] == 0
    assert listed() == {}
    assert rumor("import", file)[:2] == (0, "2 taken in, 0 refused\n")
    assert listed() == before


def test_claim_review_leaves_out_what_nobody_has_reviewed_and_says_so(salt, rumor, tmp_path):
    rumor("add", "有人说明天停水", "--id", "water")
    file = tmp_path / "reviews.json"
    code, out, err = rumor("export", file, "--format", "claimreview")
    assert (code, out) == (0, f"{file}: 1 entries\n")
    assert "water is left out: status" in err
    (review,) = json.loads(file.read_text())["@graph"]
    assert (review["identifier"], review["reviewRating"]["alternateName"]) == ("salt", "False")


def test_removing_one_that_is_not_there_is_an_error_and_removes_the_others(salt, rumor, listed):
    code, out, err = rumor("remove", "salt", "nothing")
    assert (code, out) == (1, "1 entry removed\n")
    assert "there is no entry 'nothing'" in err
    assert listed() == {}


def test_list_shows_only_the_status_asked_for_and_no_control_characters(salt, rumor):
    rumor("add", "停水\x1b[31m通知", "--id", "water")
    assert [line.split()[:2] for line in rumor("list", "--status", "refuted")[1].splitlines()] == [["salt", "refuted"]]
    code, out, _ = rumor("list")
    assert code == 0
    assert "\x1b" not in out


def test_match_says_what_a_text_does_with_a_claim_in_force(salt, rumor, tmp_path):
    text = f"听说{CLAIM}，大家快去买盐吧"
    code, out, _ = rumor("match", text)
    assert (code, out.split()[0]) == (0, "asserted"), "the text leaves out the place"
    assert "below 0.60: it passes)  salt refuted: " in out
    rumor("add", CLAIM, "--id", "salt", *REFUTED)
    code, out, _ = rumor("match", text, "--json")
    row = json.loads(out)
    assert (code, row["rumor_id"], row["status"], row["stance"], row["matched"]) == (
        3, "salt", "refuted", "asserted", True,
    )  # fmt: skip
    script = tmp_path / "script.txt"
    script.write_text(f"辟谣：{CLAIM}是谣言，别信。")
    code, out, _ = rumor("match", script)
    assert (code, out.split()[0]) == (0, "refuted")
    assert rumor("match", "今天天气很好，去公园散步")[:2] == (0, "no listed claim\n")


def test_match_takes_entries_of_a_file_without_a_broker_and_names_the_bad_ones(make, rumor, tmp_path):
    file = tmp_path / "list.jsonl"
    file.write_bytes(b"{}\n" + encode(make.rumor(CLAIM)) + b"\n")
    code, out, err = rumor("match", CLAIM, "--entries", file, "--broker", "127.0.0.1:1", broker=False)
    assert code == 3
    assert "r-1" in out
    assert "list.jsonl: line 1: rumor_id: " in err or "list.jsonl: line 1: " in err
