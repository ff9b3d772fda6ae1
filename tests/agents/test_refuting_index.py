"""The index of what was published: what it finds, what it forgets, and what a restart finds again."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.refuting.index import ItemIndex, Swept, event_number, searched, slim
from schemas.bank import Rumor
from schemas.message import encode
from schemas.signals import Caption, Utterance

CLAIM = "喝盐水可以预防核辐射"
DATA = Path(__file__).parents[1] / "data" / "rumor"


@pytest.fixture
def index(tmp_path):
    made = ItemIndex(tmp_path / "items-0.sqlite")
    yield made
    made.close()


def item(make, number, title, **changes):
    event = make.upload(event_id=f"e-{number}", content_id=f"c-{number}", title=title, **changes.pop("fields", {}))
    return make.signals(event=event, **changes)


def found(index, *claims, **changes):
    return [kept.signals.event.content_id for kept in index.candidates(entry(*claims, **changes))]


def entry(*claims, **changes):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Rumor(rumor_id="r-1", claims=claims, status="suspected", added_at=now, **changes)


def test_an_item_is_found_by_what_it_writes_shows_and_says(make, index):
    index.add(item(make, 1, f"医生说{CLAIM}，快转发"), 1.0)
    index.add(item(make, 2, "x", captions=(Caption(at_s=0, until_s=1, text=CLAIM, score=0.9),)), 2.0)
    halves = (
        Utterance(at_s=0, until_s=1, text=CLAIM[:5], score=0.9),
        Utterance(at_s=1, until_s=2, text=CLAIM[5:], score=0.9),
    )
    index.add(item(make, 3, "y", speech=halves), 3.0)
    index.add(item(make, 4, "今天去公园散步，天气很好"), 4.0)
    index.flush()
    assert found(index, CLAIM) == ["c-1", "c-2", "c-3"]


def test_other_wording_other_characters_and_other_endings_are_candidates_and_another_subject_is_not(make, index):
    index.add(item(make, 1, "老中医说一碗淡盐水就不怕核辐射"), 1.0)
    index.add(item(make, 2, "今天去公园散步，天气很好"), 2.0)
    index.add(item(make, 3, "A glass of SALTY water is protection from radiation!"), 3.0)
    index.add(item(make, 4, "喝鹽水可以預防核輻射"), 4.0)
    for number in range(5, 60):
        index.add(item(make, number, f"别的话题第{number}条 other things to talk about"), float(number))
    index.flush()
    assert found(index, CLAIM) == ["c-1", "c-4"]
    assert found(index, "drinking salt water protects against radiation") == ["c-3"]


def test_keywords_that_must_occur_are_asked_of_each_candidate_as_far_as_tokens_tell(make, index):
    for number, title in enumerate(("盐水防核辐射", "盐水防近视", "salt against radiations", "salt against the flu")):
        index.add(item(make, number, title), float(number))
    index.flush()
    must = (("盐", "salt"), ("辐射", "radiation"))
    assert found(index, "盐水防核辐射", "salt against radiation", must=must) == ["c-0", "c-2"]
    assert len(found(index, "盐水防核辐射", "salt against radiation")) == 4


def test_what_waits_is_searched_too_once_it_is_flushed_and_comes_back_whole(make, index):
    signals = item(make, 1, CLAIM, captions=(Caption(at_s=1.0, until_s=2.0, text="x", score=0.5),))
    index.add(signals, 1.0)
    kept = index.find(event_number("e-1"))
    assert kept is not None
    assert encode(kept.signals) == encode(slim(signals))
    assert kept.signals.captions == signals.captions
    assert searched(kept.signals) == searched(signals)


def test_the_same_event_again_takes_the_place_of_the_former(make, index):
    index.add(item(make, 1, CLAIM), 1.0)
    index.flush()
    index.add(item(make, 1, "something else entirely"), 2.0)
    index.flush()
    assert len(index) == 1
    assert found(index, CLAIM) == []


def test_items_places_and_what_was_done_outlive_a_restart_together(make, tmp_path):
    path = tmp_path / "items-3.sqlite"
    first = ItemIndex(path)
    first.add(item(make, 1, CLAIM), 1.0)
    first.read_up_to("signals", 8)
    first.flush()
    first.add(item(make, 2, CLAIM), 2.0)  # lost: the process dies before it is written
    first.read_up_to("signals", 9)
    first.sweep_done("r-1", Swept("entry", "truth", 5.0))
    first.tell(event_number("e-1"), "r-1", "truth", 5.0)
    first.remove(event_number("e-9"), 5.0)
    again = ItemIndex(path)
    assert found(again, CLAIM) == ["c-1"]
    assert again.place("signals") == 8, "what was lost is read again"
    assert again.swept("r-1") == Swept("entry", "truth", 5.0)
    assert again.told(event_number("e-1"), "r-1") == {"truth": 5.0}
    assert again.is_removed(event_number("e-9"))
    again.close()


def test_what_is_too_old_is_forgotten_and_found_no_more(make, index):
    for number in range(20):
        index.add(item(make, number, f"{CLAIM} {number}"), float(number))
    assert index.forget(15.0, 10**9) == 15
    assert found(index, CLAIM) == [f"c-{number}" for number in range(15, 20)]
    assert index.forget(15.0, 10**9) == 0


def test_the_oldest_go_where_there_is_no_more_room(make, index):
    for number in range(2000):
        index.add(item(make, number, f"{number} " + chr(0x4E00 + number) * 40 + f"{number}" * 20), float(number))
    index.flush()
    room = index.bytes_used // 2
    rounds = 0
    while index.forget(0.0, room, most=300):
        rounds += 1
        assert rounds < 20
    assert index.bytes_used <= room
    assert 0 < len(index) < 2000
    assert index.find(event_number("e-1999")) is not None
    assert index.find(event_number("e-0")) is None


def test_everyday_words_do_not_bring_in_everything_nor_hide_what_repeats_the_claim(make, index, monkeypatch):
    monkeypatch.setattr("agents.refuting.index.WEAK", 50)
    for number in range(400):
        index.add(item(make, number, f"今天的新闻联播 {number}"), float(number))
    for number in range(900, 1000):
        index.add(item(make, number, "今天的新闻联播说喝盐水可以预防核辐射"), float(number))
    index.flush()
    candidates = found(index, "今天的新闻联播说喝盐水可以预防核辐射")
    assert {f"c-{number}" for number in range(900, 1000)} <= set(candidates), "all that repeat it, however many"
    assert len(candidates) <= 150


def test_a_damaged_file_is_made_anew(make, tmp_path):
    path = tmp_path / "items-0.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    index = ItemIndex(path)
    index.add(item(make, 1, CLAIM), 1.0)
    index.flush()
    assert found(index, CLAIM) == ["c-1"]
    assert index.place("signals") is None, "it is filled from the beginning"
    index.close()


def test_another_layout_is_made_anew(tmp_path):
    path = tmp_path / "items-0.sqlite"
    db = sqlite3.connect(path)
    db.executescript("create table items(id); pragma user_version = 77;")
    db.close()
    index = ItemIndex(path)
    assert len(index) == 0
    index.close()


def test_a_running_stream_is_told_by_its_newest_segment(make, index):
    index.add(make.signals(event=make.segment(1)), 10.0)
    index.add(make.signals(event=make.segment(2, last=True)), 12.0)
    index.flush()
    assert index.newest_of("s-1") == (12.0, True)
    assert index.newest_of("s-2") is None


def test_free_paraphrases_are_candidates_too(make, index):
    rows = [json.loads(line) for line in (DATA / "items.jsonl").read_text("utf-8").splitlines()]
    for number, row in enumerate(rows):
        index.add(item(make, row["id"], row["text"]), float(number))
    index.flush()
    claims = [json.loads(line)["rumor"] for line in (DATA / "claims.jsonl").read_text("utf-8").splitlines()]
    candidates = {row["rumor_id"]: set(found(index, *row["claims"], must=row.get("must", ()))) for row in claims}
    asserted = [row for row in rows if row["kind"] == "assertion"]
    missed = [row["text"] for row in asserted if f"c-{row['id']}" not in candidates[row["claim"]]]
    assert len(missed) <= 0.05 * len(asserted), missed
    assert sum(map(len, candidates.values())) < 0.1 * len(rows) * len(claims)
