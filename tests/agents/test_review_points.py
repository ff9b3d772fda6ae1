"""Points: a picture is known although it was cropped, turned, tilted or mirrored, and strangers are not mistaken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from agents.review.copied import copied, named
from agents.review.corners import MOST_OF_ITEM, EnrollingPointsDetector, PointsDetector
from agents.review.known_pictures import COPY, FULL, KnownPictures, told
from agents.review.pointbank import MOST_NEW, Copy, PointBank
from agents.review.points import BANK_POINTS, WIDTH, Comparer, Describer, unpacked
from schemas.bank import HashEntry
from schemas.examples import EXAMPLES
from schemas.message import encode
from schemas.policy import default_policy
from schemas.signals import Evidence, FramePoints, MediaFacts, Signal
from schemas.topics import HASHBANK
from streams.extraction.detector import Findings, Frame, Part, Source
from streams.extraction.read import Reading
from streams.metrics import Metrics
from streams.views import View

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEAST = default_policy().review.points_review or 0


def picture(seed: int) -> NDArray[np.uint8]:
    """Shapes of all sizes, as corners are found in photographs."""
    chance = np.random.default_rng(seed)
    drawn = np.full((270, 480), 128, np.uint8)
    for _ in range(60):
        corners = (chance.integers(0, [480, 270], (1, 2)) + chance.integers(-50, 50, (4, 2))).astype(np.int32)
        cv2.fillConvexPoly(drawn, cv2.convexHull(corners), int(chance.integers(256)))
    return cv2.GaussianBlur(drawn, (0, 0), 0.7)


def points(drawn: NDArray[np.uint8], at_s: float = 0.0, *, mirrored: bool = False) -> FramePoints:
    return FramePoints(at_s=at_s, points=Describer().describe(drawn, mirrored=mirrored), mirrored=mirrored)


def entry(entry_id: str, *frames: FramePoints, **fields: Any) -> HashEntry:
    return HashEntry(
        entry_id=entry_id, category="banned", source="test", added_at=NOW, sha256="0" * 64, points=frames, **fields
    )


def cropped(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return drawn[40:250, 60:400]


def tilted(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.warpAffine(drawn, cv2.getRotationMatrix2D((240, 135), 12, 0.9), (480, 270))


def filmed(drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
    seen = np.array([[30, 20], [455, 8], [440, 255], [20, 262]], np.float32)
    corners = np.array([[0, 0], [480, 0], [480, 270], [0, 270]], np.float32)
    return cv2.warpPerspective(drawn, cv2.getPerspectiveTransform(corners, seen), (480, 270), borderValue=60)


CHANGES = {
    "same": lambda drawn: drawn,
    "cropped": cropped,
    "turned": np.rot90,
    "tilted": tilted,
    "filmed": filmed,
    "small": lambda drawn: cv2.resize(drawn, (120, 68), interpolation=cv2.INTER_AREA),
    "darker": lambda drawn: (drawn * 0.6).astype(np.uint8),
}


@pytest.fixture(scope="module")
def bank() -> PointBank:
    return PointBank(entry(f"b-{seed}", points(picture(seed), 7.0)) for seed in range(6))


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_known(bank: PointBank, change: str) -> None:
    found = bank.find([points(np.ascontiguousarray(CHANGES[change](picture(2))), 3.0)], NOW)
    [copy] = [copy for copy in found if copy.points >= LEAST]
    assert (copy.entry_id, copy.at_s, copy.bank_at_s) == ("b-2", 3.0, 7.0)


def test_a_mirrored_picture_is_known_by_its_mirror_image(bank: PointBank) -> None:
    mirrored = np.ascontiguousarray(picture(2)[:, ::-1])
    found = bank.find([points(mirrored), points(mirrored, mirrored=True)], NOW)
    assert [copy.entry_id for copy in found if copy.points >= LEAST] == ["b-2"]


def test_other_pictures_are_not_known(bank: PointBank) -> None:
    found = bank.find([points(picture(seed), float(seed)) for seed in range(100, 130)], NOW)
    assert [copy for copy in found if copy.points >= LEAST] == []


def test_one_detail_in_common_is_no_copy() -> None:
    """The same logo in two pictures."""
    one, other = picture(1), picture(50)
    other[10:32, 10:32] = one[10:32, 10:32]
    assert Comparer().agreeing(unpacked(points(one)), unpacked(points(other))) < LEAST


def test_the_tables_find_what_comparing_one_by_one_finds() -> None:
    """Of more entries than are compared one by one."""
    many = PointBank(entry(f"b-{seed}", points(picture(seed))) for seed in range(MOST_NEW + 8))
    for seed in (0, 20, MOST_NEW + 7):
        found = many.find([points(cropped(picture(seed)))], NOW)
        assert [copy.entry_id for copy in found if copy.points >= LEAST] == [f"b-{seed}"]


def test_what_comes_while_it_is_asked_is_found_at_once_and_later() -> None:
    bank = PointBank()
    frames = [points(picture(seed)) for seed in range(6)]
    other = points(picture(6))
    for number in range(4 * MOST_NEW):
        bank.put(f"b-{number}", entry(f"b-{number}", frames[number] if number < 6 else other))
        if number % 20 == 0:
            assert "b-0" in {copy.entry_id for copy in bank.find([frames[0]], NOW)}
    for seed in range(6):
        found = bank.find([frames[seed]], NOW)
        assert [copy.entry_id for copy in found if copy.points >= LEAST] == [f"b-{seed}"]


def test_what_is_taken_out_replaced_switched_off_or_expired_is_not_found() -> None:
    frame, query = points(picture(1)), [points(picture(1))]
    bank = PointBank([entry("b", frame, expires_at=NOW + timedelta(days=1))])
    assert len(bank.find(query, NOW)) == 1
    assert bank.find(query, NOW + timedelta(days=2)) == []
    bank.put("b", entry("b", points(picture(9))))
    assert bank.find(query, NOW) == []
    bank.put("b", entry("b", frame))
    assert len(bank.find(query, NOW)) == 1
    bank.put("b", entry("b", frame, active=False))
    assert bank.find(query, NOW) == [] and len(bank) == 0
    bank.put("b", entry("b", frame))
    bank.put("b", None)
    assert bank.find(query, NOW) == [] and len(bank) == 0


def test_an_empty_picture_has_no_points_and_matches_nothing(bank: PointBank) -> None:
    flat = np.full((270, 480), 40, np.uint8)
    assert Describer().describe(flat) == b""
    assert bank.find([FramePoints(at_s=0.0, points=b"")], NOW) == []
    assert bank.find([], NOW) == []


def test_points_of_a_length_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of 34"):
        FramePoints(at_s=0.0, points=b"x" * 35)


def test_of_a_long_item_frames_are_kept_evenly_each_with_its_mirror_image() -> None:
    every = [
        FramePoints(at_s=float(at_s), points=b"", mirrored=turned) for at_s in range(3600) for turned in (False, True)
    ]
    parts = [
        Part(begin, begin + 60, Findings(points=tuple(every[2 * begin : 2 * begin + 120])))
        for begin in range(0, 3600, 60)
    ]
    kept = PointsDetector.merge(parts).points
    assert len(kept) == MOST_OF_ITEM
    assert [(one.at_s, one.mirrored) for one in kept[:4]] == [(0.0, False), (0.0, True), (2.0, False), (2.0, True)]
    assert PointsDetector.merge(parts[:30]).points == tuple(every[:3600])


def test_the_detector_describes_a_frame_a_second_and_each_scene() -> None:
    detector = PointsDetector()
    detector.open(Source("", {}, [], None))  # type: ignore[arg-type]
    times = [(0.0, True), (0.2, False), (0.4, True), (1.0, False), (1.5, False)]
    detector.see([Frame(at_s, picture(number), scene) for number, (at_s, scene) in enumerate(times)])
    found = detector.findings().points
    assert [(one.at_s, one.mirrored) for one in found] == [
        (at_s, mirrored) for at_s in (0.0, 0.4, 1.5) for mirrored in (False, True)
    ]
    detector.open(Source("", {}, [], None))  # type: ignore[arg-type]
    assert detector.findings().points == ()


def test_an_entry_takes_frames_evenly_and_as_many_as_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.review.corners.MOST_OF_ENTRY", 4)
    detector = EnrollingPointsDetector()
    detector.open(Source("", {}, [], None))  # type: ignore[arg-type]
    detector.see([Frame(float(second), picture(second % 3)) for second in range(12)])
    found = detector.findings().points
    assert [one.at_s for one in found] == [0.0, 3.0, 6.0, 9.0]
    assert all(not one.mirrored and len(one.points) <= WIDTH * BANK_POINTS for one in found)


def test_copies_are_told_for_each_entry_with_where_they_are() -> None:
    copies = [Copy("b", float(at), float(at) + 4, 20 + at) for at in range(3)] + [Copy("c", 9.0, 0.0, FULL * 2)]
    first, second = told(copies)
    assert (first.name, first.score, [one.entry for one in first.evidence]) == (COPY, 1.0, ["c"])
    assert second.score == 22 / FULL
    [evidence] = second.evidence
    assert (evidence.at_s, evidence.until_s, evidence.entry) == (0.0, 2.0, "b")


def test_a_frame_that_shows_known_good_media_as_well_is_no_copy() -> None:
    assert told([Copy("b", 1.0, 0.0, 20), Copy("g", 1.0, 0.0, 20, known_good=True)]) == ()
    [kept] = told([Copy("b", 1.0, 0.0, 20), Copy("b", 2.0, 1.0, 9), Copy("g", 1.0, 0.0, 20, known_good=True)])
    assert kept.score == 9 / FULL


def test_known_pictures_follow_the_hash_bank_as_it_changes() -> None:
    view: View[Any] = View(HASHBANK, Metrics(CollectorRegistry()))
    view.apply(b"before", encode(entry("before", points(picture(1)))))
    known = KnownPictures({HASHBANK.name: view})
    view.apply(b"after", encode(entry("after", points(picture(2)))))
    facts = MediaFacts(container="mov", duration_s=1.0)
    reading = Reading(facts, (), (), (), {}, points=(points(picture(1)), points(cropped(picture(2)), 2.0)))

    def found() -> set[str | None]:
        signals = known.signals(reading, default_policy(), NOW)
        return {signal.evidence[0].entry for signal in signals if signal.score >= LEAST / FULL}

    assert found() == {"before", "after"}
    view.apply(b"before", None)
    assert found() == {"after"}
    assert not known.fires(reading, default_policy(), NOW)


@pytest.mark.parametrize(
    ("agreeing", "fields", "outcome"),
    [
        (7, {}, None),
        (8, {}, "review"),
        (12, {}, "takedown"),
        (12, {"severity": "low"}, "review"),
        (12, {"active": False}, None),
        (12, {"kind": "known_good"}, None),
    ],
)
def test_what_follows_is_by_points_bank_and_severity(
    agreeing: int, fields: dict[str, Any], outcome: str | None
) -> None:
    known = entry("b", points(picture(1)), **fields)
    signal = Signal(name=COPY, detector="points", score=agreeing / FULL, evidence=(Evidence(at_s=1.0, entry="b"),))
    signals = replace(EXAMPLES["signals"], signals=(signal,))
    found = list(copied(signals, named(signals, {"b": known}), default_policy().review))
    assert [finding.action for finding in found] == ([] if outcome is None else [outcome])
    assert list(copied(signals, named(signals, {}), default_policy().review)) == []
