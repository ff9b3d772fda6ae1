"""Banned sound is found again, with where it begins and ends, and nothing else is."""

from __future__ import annotations

import threading
from datetime import timedelta

import numpy as np
import pytest

from agents.review import soundbank
from agents.review.chromaprint import SPAN_S
from agents.review.soundbank import SoundBank
from agents.review.soundsegment import SILENT, Filter
from schemas.signals import CODE_S, SoundPrint

#: As the policy ships.
LIMITS = {"max_errors": 0.3, "min_s": 2.0}


def codes(seed: int, seconds: float) -> np.ndarray:
    """Codes as sound has them: from one to the next, two of 32 bits change."""
    chance = np.random.default_rng(seed)
    count = round(seconds / CODE_S)
    steps = np.bitwise_or.reduce(np.uint32(1) << chance.integers(0, 32, (count, 2), np.uint32), axis=1)
    return np.bitwise_xor.accumulate(np.concatenate([chance.integers(0, 2**32, 1, np.uint32), steps[1:]]))


def worn(found: np.ndarray, share: float, seed: int = 7) -> np.ndarray:
    """The same with so large a share of the bits turned."""
    turned = np.random.default_rng(seed).random((len(found), 32)) < share
    return found ^ np.packbits(turned, axis=1).view(">u4").ravel().astype(np.uint32)


def sound(found: np.ndarray, at_s: float = 0.0, **changes) -> SoundPrint:
    until_s = at_s + SPAN_S + (len(found) - 1) * CODE_S
    return SoundPrint(at_s=at_s, until_s=until_s, codes=found.astype("<u4").tobytes(), **changes)


@pytest.fixture
def banned(make):
    """An entry of these sounds."""

    def entry(*found, entry_id="b-1", **changes):
        prints = tuple(one if isinstance(one, SoundPrint) else sound(one) for one in found)
        return make.entry(entry_id=entry_id, sounds=prints, **changes)

    return entry


def test_a_worn_part_of_a_banned_sound_is_found_within_other_sound_with_its_place_in_both(banned):
    song = codes(1, 60)
    begin, end, before = round(20 / CODE_S), round(30 / CODE_S), codes(2, 300)
    item = np.concatenate([before, worn(song[begin:end], 0.12), codes(3, 100)])
    (match,) = SoundBank([banned(song), banned(codes(4, 60), entry_id="b-2")]).match([sound(item, 5.0)], **LIMITS)
    assert match.entry.entry_id == "b-1"
    middle = SPAN_S / 2
    assert match.at_s == pytest.approx(5.0 + len(before) * CODE_S + middle, abs=1.0)
    assert match.until_s == pytest.approx(5.0 + (len(before) + end - begin) * CODE_S + middle, abs=1.0)
    assert match.bank_at_s == pytest.approx(20 + middle, abs=1.0)
    assert match.bank_until_s == pytest.approx(30 + middle, abs=1.0)
    assert 0.08 < match.errors < 0.16


@pytest.mark.parametrize("tempo", [0.92, 0.95, 1.05, 1.08])
def test_it_is_followed_at_another_tempo_to_its_end(banned, tempo):
    song = codes(1, 60)
    item = worn(song[(np.arange(round(len(song) / tempo)) * tempo).astype(int).clip(max=len(song) - 1)], 0.08)
    (match,) = SoundBank([banned(song)]).match([sound(item)], **LIMITS)
    assert match.bank_until_s - match.bank_at_s > 57
    assert match.seconds == pytest.approx(60 / tempo, abs=3)


def test_unrelated_sounds_do_not_match(banned):
    bank = SoundBank([banned(codes(seed, 120), entry_id=f"b-{seed}") for seed in range(20)])
    assert bank.match([sound(codes(100, 600))], **LIMITS) == []


def test_what_differs_in_more_bits_than_the_policy_allows_or_is_shorter_is_no_match(banned):
    song = codes(1, 60)
    bank = SoundBank([banned(song)])
    item = [sound(worn(song[:160], 0.15))]
    assert bank.match(item, **LIMITS)
    assert not bank.match(item, max_errors=0.1, min_s=2.0)
    assert not bank.match(item, max_errors=0.3, min_s=30.0)


def test_silence_and_a_held_tone_match_nothing_though_the_bank_holds_them(banned):
    silent, tone = np.full(400, SILENT, np.uint32), np.full(400, 0x5A5A1234, np.uint32)
    bank = SoundBank([banned(silent), banned(tone, entry_id="b-2")])
    assert bank.match([sound(silent), sound(tone)], **LIMITS) == []


def test_a_known_good_sound_explains_a_match_away_and_a_part_of_it_does_not(banned):
    song = codes(1, 60)
    item = [sound(worn(song, 0.05))]
    good = banned(song, entry_id="g", kind="known_good")
    jingle = banned(song[:40], entry_id="g", kind="known_good")
    assert SoundBank([banned(song), good]).match(item, **LIMITS) == []
    assert [one.entry.entry_id for one in SoundBank([banned(song), jingle]).match(item, **LIMITS)] == ["b-1"]


def test_entries_come_in_go_out_and_are_replaced_without_making_the_bank_anew(banned):
    first, second, third = (codes(seed, 60) for seed in (1, 2, 3))
    bank = SoundBank([banned(first), banned(second, entry_id="b-2")])

    def found(item):
        return [one.entry.entry_id for one in bank.match([sound(item)], **LIMITS)]

    bank.update({"b-3": banned(third, entry_id="b-3"), "b-1": None})
    assert (found(first), found(second), found(third)) == ([], ["b-2"], ["b-3"])
    bank.update({"b-2": banned(first, entry_id="b-2"), "b-3": banned(third, entry_id="b-3", active=False)})
    assert (found(first), found(second), found(third)) == (["b-2"], [], [])


def test_many_changes_give_what_a_bank_of_the_same_entries_gives(banned, monkeypatch):
    monkeypatch.setattr("agents.review.soundbank.RECENT", 500)
    bank = SoundBank()
    songs = {f"b-{seed}": codes(seed, 30) for seed in range(12)}
    for name, song in songs.items():
        bank.update({name: banned(song, entry_id=name)})
    bank.update({"b-0": None})
    whole = SoundBank([banned(song, entry_id=name) for name, song in songs.items() if name != "b-0"])
    for song in songs.values():
        assert bank.match([sound(song)], **LIMITS) == whole.match([sound(song)], **LIMITS)


async def test_what_changes_while_sounds_are_sorted_anew_is_in_force_at_once_and_after(banned, monkeypatch):
    monkeypatch.setattr("agents.review.soundbank.RECENT", 500)
    go_on, bank = threading.Event(), SoundBank()
    made, songs = soundbank.Segment, {f"b-{seed}": codes(seed, 30) for seed in range(4)}

    def held_up(prints):
        assert threading.current_thread() is threading.main_thread() or go_on.wait(10)
        return made(prints)

    monkeypatch.setattr(soundbank, "Segment", held_up)
    for name in ("b-0", "b-1", "b-2"):
        bank.update({name: banned(songs[name], entry_id=name)})
    bank.update({"b-0": None, "b-1": banned(songs["b-3"], entry_id="b-1")})

    def found():
        return [[match.entry.entry_id for match in bank.match([sound(song)], **LIMITS)] for song in songs.values()]

    assert found() == [[], [], ["b-2"], ["b-1"]]
    go_on.set()
    await bank.settled()
    assert found() == [[], [], ["b-2"], ["b-1"]]


def test_an_expired_entry_matches_nothing_and_the_bank_says_when_the_next_expires(banned, make):
    song = codes(1, 60)
    hour = make.now + timedelta(hours=1)
    expired = SoundBank([banned(song, expires_at=make.now)], now=make.now)
    assert expired.match([sound(song)], **LIMITS) == []
    assert (expired.stale_at, SoundBank([banned(song, expires_at=hour)], now=make.now).stale_at) == (None, hour)


def test_a_match_goes_on_over_the_joint_of_two_readings(banned):
    song = codes(1, 60)
    missing = round(SPAN_S / CODE_S)
    cut = 200
    pieces = [sound(worn(song[:cut], 0.05)), sound(worn(song[cut + missing :], 0.05), (cut + missing) * CODE_S)]
    (match,) = SoundBank([banned(song)]).match(pieces, **LIMITS)
    assert (match.at_s, match.until_s) == (pytest.approx(0, abs=0.5), pytest.approx(pieces[1].until_s, abs=0.5))


def test_fingerprints_of_another_algorithm_are_left_alone(banned):
    song = codes(1, 60)
    other = sound(song, algorithm="chromaprint-5")
    assert SoundBank([banned(song)]).match([other], **LIMITS) == []
    assert SoundBank([banned(other)]).match([sound(song)], **LIMITS) == []


def test_of_an_entrys_variants_and_of_entries_that_say_the_same_the_closest_is_named(banned):
    song = codes(1, 60)
    shifted = sound(worn(song, 0.2), variant="pitch+4")
    twin = banned(worn(song, 0.1, seed=8), entry_id="b-2")
    (match,) = SoundBank([banned(song, shifted), twin]).match([sound(worn(song, 0.02, seed=9))], **LIMITS)
    assert (match.entry.entry_id, match.variant) == ("b-1", "")


def test_the_bank_says_how_much_memory_it_takes(banned):
    bank = SoundBank([banned(codes(1, 600))])
    assert 14 * len(bank) <= bank.nbytes < 17 * len(bank)


def test_of_a_short_item_a_match_needs_to_weigh_less(banned):
    song = codes(1, 60)
    stretch = worn(song[200:212], 0.05)
    bank = SoundBank([banned(song)])
    weight = {len(item): [one.score for one in bank.match([sound(item)], **LIMITS)] for item in (stretch, pad(stretch))}
    (alone,), within = weight[12], weight[212]
    assert 3.6 < alone < 4.2
    assert within == []


def pad(found: np.ndarray) -> np.ndarray:
    """Within other sound."""
    return np.concatenate([codes(2, 100 * CODE_S), found, codes(3, 100 * CODE_S)])


def test_the_filter_passes_everything_that_is_held_and_little_else():
    chance = np.random.default_rng(1)
    held, others = (chance.integers(0, 2**32, 50_000, np.uint32) for _ in range(2))
    filter_ = Filter(held)
    assert len(filter_.passed(held)) == len(held)
    assert len(filter_.passed(others)) < len(others) / 12
    assert filter_.nbytes <= 4 * len(held)
