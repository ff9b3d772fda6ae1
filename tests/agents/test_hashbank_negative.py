"""The negative bank: what known good media explains at least as well does not count, and the decision says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.review import cards
from agents.review.bank import HashBank, Match
from agents.review.hits import findings, without_cards
from agents.review.negative import CARDS, INFORMATIVE, Weighed, shipped, shipped_matches, weigh
from agents.review.pdq import distance, pdq
from schemas.message import decode, encode
from schemas.policy import Policy, ReviewPolicy
from schemas.signals import Evidence
from tests.agents.conftest import picture

#: Kind, bank and severity of the entries that hits name.
ENTRIES = {
    "banned": ("banned", "default", "high"), "good": ("known_good", "default", "high"),
    "card": ("known_good", CARDS, "low"), "low": ("banned", "default", "low"),
    "partner": ("banned", "partner", "highest"), "other": ("banned", "default", "high"),
}  # fmt: skip


def hit(entry="banned", distance=10, at_s=1.0):
    return Match(entry, "banned", at_s, 0.0, distance, *ENTRIES[entry])


def weighed(matches, frames=(), **policy):
    return weigh(matches, frames, ReviewPolicy(**policy))


@pytest.mark.parametrize(("good", "kept"), [(0, False), (10, False), (18, False), (19, True), (31, True)])
def test_a_hit_is_set_aside_where_the_same_frame_is_known_good_at_least_as_well(good, kept):
    found = weighed([hit("banned", 10), hit("good", good)])
    assert bool(found.kept) == kept
    assert [aside.by for aside in found.aside] == ([] if kept else [hit("good", good)])


def test_a_card_explains_a_hit_however_close_the_banned_frame_is():
    assert weighed([hit("banned", 0), hit("card", 31)]).kept == ()


def test_only_the_same_frame_is_explained():
    found = weighed([hit("banned", 10, 1.0), hit("good", 0, 1.0), hit("banned", 10, 2.0)])
    assert [match.at_s for match in found.kept] == [2.0]


def test_known_good_matches_alone_are_nothing():
    assert weighed([hit("good", 0)]) == Weighed()


def test_the_negative_bank_can_be_switched_off():
    matches = [hit("banned", 10), hit("good", 0)]
    assert weighed(matches, known_good="off").kept == (matches[0],)


def test_frames_without_detail_never_count_alone(make):
    frames = [make.frame(1, INFORMATIVE - 1, 1.0), make.frame(1, INFORMATIVE, 2.0)]
    alone = weighed([hit("banned", 0, 1.0)], frames, hash_min_quality=0)
    assert (alone.kept, [aside.by for aside in alone.aside]) == ((), [None])
    both = weighed([hit("banned", 0, 1.0), hit("banned", 0, 2.0)], frames, hash_min_quality=0)
    assert len(both.kept) == 2


MATCHES = st.lists(
    st.builds(hit, st.sampled_from(sorted(ENTRIES)), st.integers(0, 31), st.sampled_from([0.0, 1.0, 2.0])), max_size=12
)  # fmt: skip


@given(MATCHES, st.integers(0, 31))
def test_every_banned_hit_is_kept_or_set_aside_once_and_more_known_good_never_keeps_more(matches, bits):
    found = weighed(matches, known_good_bits=bits)
    banned = [match for match in matches if match.kind == "banned"]
    assert sorted([*found.kept, *(aside.match for aside in found.aside)]) == sorted(banned)
    more = weighed([*matches, hit("card", 31, 0.0)], known_good_bits=bits)
    assert set(more.kept) <= set(found.kept)


def judged(matches, files=(), **policy):
    return list(findings(matches, files, (), ReviewPolicy(**policy)))


def test_a_hit_does_what_the_policy_says_of_its_severity_and_bank():
    (removed,) = judged([hit("banned")])
    (asked,) = judged([hit("low")])
    (labelled,) = judged([hit("low")], hash_actions={"low": "label"}, hash_notice="seen")
    (partner,) = judged([hit("partner")], bank_actions={"partner": {"highest": "review"}})
    assert (removed.action, removed.stop.until, asked.action, partner.action) == (
        "takedown",
        "forever",
        "review",
        "review",
    )
    assert (labelled.action, labelled.label.level, labelled.label.text) == ("label", 0, "seen")
    assert judged([hit("banned")], hash_actions={"high": "allow"}) == []
    # A policy that names one severity leaves the others as they ship.
    assert [found.action for found in judged([hit("banned")], hash_actions={"low": "label"})] == ["takedown"]


def test_hits_of_different_actions_are_findings_of_their_own_the_severest_first():
    found = judged([hit("low", 3), hit("banned", 9)])
    assert [(each.action, each.reason.evidence[0].entry) for each in found] == [
        ("takedown", "banned"),
        ("review", "low"),
    ]


def test_few_frames_ask_a_person_and_a_label_is_none_the_severer_for_it():
    assert [each.action for each in judged([hit("banned")], hash_min_frames=2)] == ["review"]
    assert [each.action for each in judged([hit("low")], hash_min_frames=2, hash_actions={"low": "label"})] == ["label"]


def test_what_is_set_aside_is_in_the_decision_with_both_entries():
    (passed,) = judged([hit("banned", 10), hit("good", 4)])
    assert (passed.action, passed.reason.code, passed.stop) == ("allow", "REVIEW-KNOWN-GOOD", None)
    (evidence,) = passed.reason.evidence
    assert evidence.entry == "banned" and "4 bits from known good good" in evidence.text


def test_a_file_that_is_known_good_itself_passes_whatever_is_banned(make):
    (passed,) = judged(
        [hit("banned", 0)], [make.entry(1, entry_id="banned"), make.entry(1, entry_id="good", kind="known_good")]
    )
    assert (passed.action, [each.entry for each in passed.reason.evidence]) == ("allow", ["good", "banned", "banned"])
    assert [each.action for each in judged([hit("banned", 0)], [make.entry(1, entry_id="banned")])] == [
        "takedown",
        "takedown",
    ]
    assert judged([], [make.entry(1, kind="known_good")]) == []


# The cards that ship.


def test_the_file_that_ships_is_what_the_script_draws():
    drawn = {f"shipped-{name}": pictures for name, _, pictures in cards.drawn()}
    assert drawn.keys() == shipped().keys()
    for name, pictures in drawn.items():
        entry = shipped()[name]
        for one in pictures[:1]:
            # Pillow may set a digit a point higher in another version.
            assert min(distance(pdq(one[:, ::-1])[0], frame.pdq) for frame in entry.frames) <= 8, name
        assert (entry.kind, entry.bank) == ("known_good", CARDS)
        assert decode(type(entry), encode(entry)) == entry


def test_a_card_in_a_banned_clip_bans_no_other_card_and_the_rest_of_the_clip_still_bans(make):
    rng = np.random.default_rng(1)
    bars, scene = cards.smpte(512, 288), picture(5)
    banned = make.entry(*(pdq(each) for each in (bars, scene)), entry_id="clip")
    noisy = np.clip(bars.astype(int) + rng.normal(0, 6, bars.shape), 0, 255).astype(np.uint8)
    frames = [make.frame(*pdq(noisy), at_s=0.0), make.frame(*pdq(scene), at_s=1.0)]
    policy = ReviewPolicy()
    hits = HashBank([banned]).match(frames, max_distance=31, min_quality=policy.hash_min_quality)
    assert {match.at_s for match in hits} >= {1.0}
    matches = [*hits, *shipped_matches(frames, hits, policy)]
    found = weigh(matches, frames, policy)
    assert [match.at_s for match in found.kept] == [1.0]


def test_cards_are_no_picture_of_the_world(make):
    frames = [make.frame(*pdq(picture(seed)), at_s=float(seed)) for seed in range(20)]
    hits = [hit("banned", 0, frame.at_s) for frame in frames]
    assert shipped_matches(frames, hits, ReviewPolicy()) == []


def test_the_policy_says_whether_the_cards_that_ship_are_asked(make):
    frames = [make.frame(*pdq(cards.countdown(512, 288, number=3, dark=True)))]
    hits = [hit(at_s=0.0)]
    assert {match.entry_id for match in shipped_matches(frames, hits, ReviewPolicy())} >= {"shipped-countdown-3"}
    assert shipped_matches(frames, hits, ReviewPolicy(known_good="own")) == []
    assert isinstance(Policy(name="x", version=1).review.known_good, str)


def test_copies_by_points_that_show_a_card_alone_are_set_aside_and_said(make):
    bars, scene = pdq(cards.smpte(512, 288)), pdq(picture(5))
    frames = (make.frame(*bars, at_s=0.0), make.frame(*scene, at_s=4.0))

    def copy(*places):
        evidence = (Evidence(at_s=begin, until_s=end, entry="clip", text="99 points") for begin, end in places)
        return make.signal("copy", 1.0, *evidence)

    policy = ReviewPolicy()
    # The bars stand from 0 to 4 s, so a frame at 2 s shows them, though it has no hash of its own.
    signals = make.signals(copy((2.0, 2.0)), frames=frames)
    left, (said,) = without_cards(signals, policy)
    assert left.signals == ()
    assert (said.action, said.reason.code) == ("allow", "REVIEW-KNOWN-GOOD")
    assert "shipped-smpte-bars" in said.reason.evidence[0].text
    both = make.signals(copy((2.0, 2.0), (3.0, 5.0), (4.0, 6.0)), frames=frames)
    (kept,) = without_cards(both, policy)[0].signals
    assert [one.at_s for one in kept.evidence] == [3.0, 4.0]
    assert without_cards(signals, ReviewPolicy(known_good="own")) == (signals, [])
