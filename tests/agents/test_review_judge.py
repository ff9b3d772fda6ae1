"""What must not be published, and what a person must see first."""

from __future__ import annotations

import pytest

from agents.review.bank import Match
from agents.review.hits import MOST_EVIDENCE
from agents.review.judge import Matched, judge
from agents.review.terms import TermMatch
from schemas.policy import Term
from schemas.reasons import CATALOGUE
from schemas.signals import Evidence

HELD_UNTIL_REVIEWED = ("takedown", "hold", "reviewed")
REMOVED = ("takedown", "remove", "forever")


@pytest.fixture(scope="session")
def decided(make):
    """Judges signals; what is named is changed in the policy's section `review`."""

    def decide(*found, matched=None, error=None, absent=(), **policy):
        signals = make.signals(*found, error=error, absent=absent, models={"nudity": "m-1"})
        decision = make.wire(judge(signals, matched or Matched(), make.policy(review=policy), make.now))
        assert decision.agent == "review"
        return decision

    return decide


def done(decision):
    return (decision.action, *((decision.stop.kind, decision.stop.until) if decision.stop else ()))


def codes(decision):
    return [reason.code for reason in decision.reasons]


def hit(distance=3, at_s=1.0, entry="b-1"):
    return Match(entry, "banned", at_s, 0.5, distance)


def test_what_nothing_speaks_against_is_allowed_and_its_models_are_named(make, decided):
    decision = decided(make.signal("nudity", 0.1), make.signal("blank", 0.0))
    assert (done(decision), decision.reasons, decision.models) == (("allow",), (), {"nudity": "m-1"})


@pytest.mark.parametrize("code", sorted(code for code in CATALOGUE if code.startswith("EXTRACT-")))
def test_what_could_not_be_read_is_held_until_reviewed_and_says_why(decided, code):
    decision = decided(error=code)
    assert (done(decision), codes(decision)) == (HELD_UNTIL_REVIEWED, [code])
    (reason,) = decision.reasons
    assert (reason.score, reason.evidence) == (0.0, (Evidence(text="what went wrong"),))


def test_an_error_that_is_not_in_the_catalogue_is_no_ground(decided):
    with pytest.raises(KeyError):
        decided(error="EXTRACT-NEW")


def test_a_detector_that_did_not_answer_asks_a_person_and_is_named(decided):
    decision = decided(absent=("nudity: RuntimeError: no memory", "blank: ValueError: odd"))
    assert (done(decision), codes(decision)) == (("review",), ["REVIEW-BLIND"])
    assert decision.reasons[0].score == 0.0
    said = [evidence.text for evidence in decision.reasons[0].evidence]
    assert said == ["nudity: RuntimeError: no memory", "blank: ValueError: odd"]


@pytest.mark.parametrize(
    ("frames", "least", "expected"),
    [(1, 1, REMOVED), (2, 1, REMOVED), (1, 2, ("review",)), (2, 3, ("review",)), (3, 3, REMOVED)],
)
def test_as_many_matching_frames_as_the_policy_says_remove_and_fewer_ask_a_person(decided, frames, least, expected):
    decision = decided(matched=Matched([hit(at_s=n) for n in range(frames)]), hash_min_frames=least)
    assert (done(decision), codes(decision)) == (expected, ["REVIEW-HASH"])


def test_no_matching_frame_is_no_ground(decided):
    assert codes(decided(matched=Matched([]), hash_min_frames=1)) == []


def test_a_hash_hit_scores_as_the_share_of_bits_that_agree_and_names_the_closest_frames_first(decided):
    distances = [31, 7, 20, 0, 12, 25, 3]
    frames = [hit(distance, at_s=n, entry=f"b-{n}") for n, distance in enumerate(distances)]
    (reason,) = decided(matched=Matched(frames), hash_max_distance=31).reasons
    assert (reason.score, reason.threshold) == (1.0, 1 - 31 / 256)
    assert [evidence.entry for evidence in reason.evidence] == ["b-3", "b-6", "b-1", "b-4", "b-2"]
    assert len(reason.evidence) == MOST_EVIDENCE
    assert (reason.evidence[1].at_s, reason.evidence[1].text) == (6, "banned: 3 bits from the entry at 0.5 s")


def test_the_score_of_a_hash_hit_is_never_below_its_threshold(decided):
    (reason,) = decided(matched=Matched([hit(31)]), hash_max_distance=31).reasons
    assert reason.score == reason.threshold < 1


def test_the_same_file_is_removed_however_many_frames_are_asked_for(make, decided):
    decision = decided(matched=Matched(files=[make.entry(1, sha256="ab" * 32)]), hash_min_frames=9)
    assert (done(decision), codes(decision)) == (REMOVED, ["REVIEW-HASH"])
    assert decision.reasons[0].evidence == (Evidence(entry="b-1", text="banned: the same file"),)


def test_a_file_that_is_known_good_passes_whatever_its_frames_and_points_and_sound_match(make, decided):
    copy = make.signal("copy", 1.0, Evidence(at_s=0.0, until_s=2.0, entry="b-1", text="99 points"))
    banned, good = make.entry(1), make.entry(1, entry_id="g-1", kind="known_good", sha256="ab" * 32)
    matched = Matched([hit(0)], [], copies={"b-1": banned})
    assert codes(decided(copy, matched=matched)) == ["REVIEW-HASH", "REVIEW-HASH"]
    decision = decided(copy, matched=Matched([hit(0)], [good], copies={"b-1": banned}))
    assert (done(decision), codes(decision)) == (("allow",), ["REVIEW-KNOWN-GOOD"])
    assert decision.reasons[0].evidence[0].entry == "g-1"


def test_file_and_frames_are_two_grounds_and_the_more_severe_decides(make, decided):
    decision = decided(matched=Matched([hit()], [make.entry(1, sha256="ab" * 32)]), hash_min_frames=2)
    assert (done(decision), codes(decision)) == (REMOVED, ["REVIEW-HASH", "REVIEW-HASH"])
    assert decision.reasons[0].evidence[0].text == "banned: the same file"


@pytest.mark.parametrize(
    ("score", "review", "takedown", "expected"),
    [
        (0.79, 0.8, None, ("allow",)),
        (0.8, 0.8, None, ("review",)),
        (1.0, 0.8, None, ("review",)),
        (1.0, None, None, ("allow",)),
        (0.0, 0.0, None, ("review",)),
        (0.97, 0.8, 0.98, ("review",)),
        (0.98, 0.8, 0.98, REMOVED),
        (0.97, None, 0.98, ("allow",)),
        (0.98, None, 0.98, REMOVED),
        (0.8, 0.8, 0.8, REMOVED),
    ],
)
def test_nudity_is_judged_at_each_threshold_and_equal_counts(make, decided, score, review, takedown, expected):
    found = make.signal("nudity", score, Evidence(at_s=3.0, text="score"))
    decision = decided(found, nudity_review=review, nudity_takedown=takedown)
    assert done(decision) == expected
    if expected != ("allow",):
        (reason,) = decision.reasons
        assert (reason.code, reason.score, reason.evidence) == ("REVIEW-NUDITY", score, found.evidence)
        assert reason.threshold == (takedown if expected == REMOVED else review)


def test_without_the_signal_even_a_threshold_of_zero_finds_no_nudity(decided):
    assert codes(decided(nudity_review=0.0, blank_review=0.0)) == []


def test_of_several_nudity_signals_the_highest_counts(make, decided):
    (reason,) = decided(make.signal("nudity", 0.2), make.signal("nudity", 0.9), make.signal("nudity", 0.5)).reasons
    assert reason.score == 0.9


@pytest.mark.parametrize(
    ("score", "threshold", "expected"),
    [(0.97, 0.98, []), (0.98, 0.98, ["REVIEW-BLANK"]), (1.0, 0.98, ["REVIEW-BLANK"]), (1.0, None, [])],
)
def test_what_is_blank_from_the_threshold_on_is_seen_by_a_person(make, decided, score, threshold, expected):
    decision = decided(make.signal("blank", score), blank_review=threshold)
    assert codes(decision) == expected
    assert done(decision) == (("review",) if expected else ("allow",))


@pytest.mark.parametrize(("action", "expected"), [("review", ("review",)), ("takedown", REMOVED)])
def test_a_listed_term_does_what_the_list_says_and_is_named_with_its_field(decided, action, expected):
    match = TermMatch(Term(text="a term", category="fraud", action=action), "title")
    decision = decided(matched=Matched(terms=[match]))
    assert (done(decision), codes(decision)) == (expected, ["REVIEW-TERM"])
    assert decision.reasons[0].evidence == (Evidence(entry="a term", text="fraud (other, medium) in title"),)


def test_terms_of_either_action_are_grounds_of_their_own(decided):
    mild, strong = (Term(text=action, category="c", action=action) for action in ("review", "takedown"))
    terms = [TermMatch(mild, "title"), TermMatch(strong, "tags[0]"), TermMatch(mild, "description")]
    decision = decided(matched=Matched(terms=terms))
    assert done(decision) == REMOVED
    assert [[evidence.text for evidence in reason.evidence] for reason in decision.reasons] == [
        ["c (other, medium) in tags[0]"],
        ["c (other, medium) in title", "c (other, medium) in description"],
    ]


def test_all_grounds_at_once_are_named_and_the_most_severe_comes_first(make, decided):
    terms = [TermMatch(Term(text="t", category="c"), "title")]
    decision = decided(
        make.signal("nudity", 0.9),
        make.signal("blank", 1.0),
        absent=("container: gone",),
        matched=Matched([hit()], terms=terms),
    )
    assert done(decision) == REMOVED
    assert codes(decision) == ["REVIEW-HASH", "REVIEW-BLIND", "REVIEW-NUDITY", "REVIEW-TERM", "REVIEW-BLANK"]


def test_media_that_could_not_be_read_is_still_removed_where_its_text_is(make, decided):
    terms = [TermMatch(Term(text="t", category="c", action="takedown"), "title")]
    decision = decided(error="EXTRACT-BROKEN", matched=Matched(terms=terms))
    assert (done(decision), codes(decision)) == (REMOVED, ["EXTRACT-BROKEN", "REVIEW-TERM"])
