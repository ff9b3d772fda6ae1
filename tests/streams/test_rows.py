"""Rows of big views, packed in memory and on disk: whatever goes in comes out, and a mapping is what they are."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from schemas.examples import EXAMPLES
from schemas.message import Message, encode
from schemas.registry import Acceptance, Consent, IdentityNumber, Publisher
from schemas.sanction import Standing
from schemas.topics import FEATURES, POLICIES, PUBLISHERS, STANDINGS, TOPICS, Topic
from streams.metrics import Metrics
from streams.rows import DiskRows, PackedRows, rows_for
from streams.settings import SettingsError
from streams.views import View

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)

times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
ids = st.text(min_size=1, max_size=40)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
publishers = st.builds(
    Publisher,
    publisher_id=ids,
    kind=st.sampled_from(("person", "organisation")),
    real_name=st.sampled_from(("unverified", "pending", "verified", "expired", "revoked")),
    verified_at=st.none() | times,
    verification=st.text(max_size=40),
    numbers=st.lists(
        st.builds(
            IdentityNumber,
            kind=st.sampled_from(("id_number", "mobile", "permit")),
            form=st.sampled_from(("valid", "invalid")),
            digest=st.none() | digests,
            key_id=st.none() | ids,
        ),
        max_size=4,
    ).map(tuple),
    born=st.none() | st.just("1990-01"),
    consent=st.none() | st.builds(Consent, reference=ids, given_at=times),
    agreement=st.none() | st.builds(Acceptance, version=ids, accepted_at=times),
    devices=st.lists(ids, max_size=3).map(tuple),
)


@pytest.fixture(params=["packed", "disk"])
def rows(request, tmp_path):
    if request.param == "packed":
        yield PackedRows(PUBLISHERS)
        return
    on_disk = DiskRows(PUBLISHERS, tmp_path / "state")
    yield on_disk
    on_disk.close()


def publisher(name="p-1", **changes):
    return Publisher(publisher_id=name, kind="person", **changes)


@given(row=publishers)
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(row):
    rows = PackedRows(PUBLISHERS)
    rows[row.publisher_id] = row
    assert rows[row.publisher_id] == row
    assert encode(rows[row.publisher_id]) == encode(row)


@pytest.mark.parametrize("topic", [topic for topic in TOPICS.values() if topic.compacted], ids=lambda topic: topic.name)
def test_the_example_of_every_compacted_topic_can_be_packed(topic):
    row = EXAMPLES[topic.name]
    rows, key = PackedRows(topic), getattr(EXAMPLES[topic.name], topic.key)
    rows[key] = row
    assert rows[key] == row


def test_a_time_of_another_zone_is_the_same_time():
    rows, row = PackedRows(PUBLISHERS), publisher(verified_at=NOW.astimezone(timezone(timedelta(hours=8))))
    rows["p-1"] = row
    assert rows["p-1"] == row


class Inner(Message, kw_only=True, frozen=True):
    at: datetime


class Odd(Message, kw_only=True, frozen=True):
    """What today's rows have not, but tomorrow's may."""

    odd_id: str
    lists: list[Inner] = msgspec.field(default_factory=list)
    named: dict[str, Inner] = msgspec.field(default_factory=dict)
    plain: dict[str, float] = msgspec.field(default_factory=dict)
    deep: tuple[tuple[Inner, ...], ...] = ()


class Choice(Message, kw_only=True, frozen=True):
    choice_id: str
    either: Inner | str = ""


def test_rows_of_other_forms_can_be_packed():
    inner = Inner(at=NOW)
    row = Odd(odd_id="o", lists=[inner], named={"a": inner}, plain={"b": 1.5}, deep=((inner,), ()))
    rows = PackedRows(Topic("odds", Odd, "odd_id", "in", None, ""))
    rows["o"] = row
    assert rows["o"] == row


def test_a_form_that_cannot_be_packed_is_refused_at_once():
    with pytest.raises(TypeError, match="cannot be packed"):
        PackedRows(Topic("choices", Choice, "choice_id", "in", None, ""))


def test_they_are_a_mapping(rows):
    assert (len(rows), list(rows), rows.get("p-1"), "p-1" in rows, rows == {}) == (0, [], None, False, True)
    rows["p-1"] = publisher()
    rows["p-2"] = publisher("p-2")
    rows["p-1"] = publisher(real_name="verified")
    assert len(rows) == 2
    assert rows == {"p-1": publisher(real_name="verified"), "p-2": publisher("p-2")}
    assert sorted(rows) == ["p-1", "p-2"]
    assert {row.publisher_id for row in rows.values()} == {"p-1", "p-2"}
    assert dict(rows.items())["p-2"] == publisher("p-2")
    assert rows.pop("p-1") == publisher(real_name="verified")
    assert rows.pop("p-1", None) is None
    assert (len(rows), "p-1" in rows, rows.get("p-1")) == (1, False, None)
    for act in (lambda: rows["p-1"], lambda: rows.pop("p-1"), lambda: rows.__delitem__("p-1")):
        with pytest.raises(KeyError):
            act()


def test_keys_are_words_of_any_kind(rows):
    for name in ("", "李明", "a\x00b", "x" * 256):
        rows[name] = publisher(name)
        assert rows[name] == publisher(name)
    assert len(rows) == 4


def test_a_row_under_another_key_is_refused(rows):
    with pytest.raises(ValueError, match="another key"):
        rows["p-2"] = publisher("p-1")


def test_big_views_are_packed_and_small_ones_are_not(tmp_path):
    assert type(rows_for(PUBLISHERS)) is type(rows_for(STANDINGS)) is PackedRows
    assert type(rows_for(FEATURES)) is type(rows_for(POLICIES, tmp_path)) is dict
    on_disk = rows_for(STANDINGS, tmp_path)
    assert isinstance(on_disk, DiskRows)
    on_disk["p-1"] = Standing(publisher_id="p-1")
    assert on_disk["p-1"] == Standing(publisher_id="p-1")
    on_disk.close()


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_view_tells_changes_as_before(where, tmp_path):
    view = View(PUBLISHERS, Metrics(CollectorRegistry()), state_dir=tmp_path if where == "disk" else None)
    told = []
    view.listen(lambda *change: told.append(change))
    first, second = publisher(), publisher(real_name="verified")
    view.apply(b"p-1", encode(first))
    view.apply(b"p-1", encode(second))
    view.apply(b"p-1", b"not JSON")
    view.apply(b"p-2", None)
    view.apply(b"p-1", None)
    assert told == [("p-1", None, first), ("p-1", first, second), ("p-2", None, None), ("p-1", second, None)]
    assert view.rows == {}


def test_what_lies_on_disk_is_wiped_at_the_start(tmp_path):
    first = DiskRows(PUBLISHERS, tmp_path)
    first["p-1"] = publisher()
    first.close()
    (tmp_path / "not ours").write_text("stays")
    second = DiskRows(PUBLISHERS, tmp_path)
    assert (len(second), list(second), second.get("p-1")) == (0, [], None)
    second.close()
    assert (tmp_path / "not ours").read_text() == "stays"


def test_a_folder_that_another_process_uses_is_left_alone(tmp_path):
    first = DiskRows(PUBLISHERS, tmp_path)
    first["p-1"] = publisher()
    script = (
        "import sys; from pathlib import Path\n"
        "from schemas.topics import PUBLISHERS; from streams.rows import DiskRows\n"
        "DiskRows(PUBLISHERS, Path(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert "state_dir:" in done.stderr
    assert "another worker uses it" in done.stderr
    assert first["p-1"] == publisher()
    first.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="state_dir"):
        DiskRows(PUBLISHERS, tmp_path / "file")


def test_without_rocksdb_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(SettingsError, match="extra `disk`"):
        DiskRows(PUBLISHERS, tmp_path)


def test_a_row_takes_few_bytes():
    digest = "ab" * 32
    numbers = tuple(
        IdentityNumber(kind=kind, form="valid", digest=digest, key_id="2026-01") for kind in ("id_number", "mobile")
    )
    row = publisher(
        "0" * 36, real_name="verified", verified_at=NOW, verifier="verifier.example", verification="0" * 36,
        numbers=numbers, born="1990-01", agreement=Acceptance(version="2026-01", accepted_at=NOW),
    )  # fmt: skip
    rows = PackedRows(PUBLISHERS)
    rows[row.publisher_id] = row
    assert len(rows._packed[row.publisher_id]) < 200 < len(encode(row)) / 2
