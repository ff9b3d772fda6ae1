"""Our hashes, our matching and our lists agree with python-threatexchange, on the images and vectors that it publishes.

`tests/data/threatexchange` holds files of github.com/facebook/ThreatExchange, under its licence.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from threatexchange.exchanges.impl.file_api import FileCollaborationConfig, LocalFileSignalExchangeAPI
from threatexchange.signal_type.md5 import VideoMD5Signal
from threatexchange.signal_type.pdq.pdq_hasher import pdq_from_file
from threatexchange.signal_type.pdq.pdq_index import PDQIndex
from threatexchange.signal_type.pdq.signal import PdqSignal
from threatexchange.signal_type.sha256 import VideoSHA256Signal

from agents.review.bank import HashBank
from agents.review.exchange.formats import read
from agents.review.exchange.matching import digests
from agents.review.exchange.row import Given, Row
from agents.review.exchange.signals import signals_of
from agents.review.exchange.writing import WRITERS
from agents.review.pdq import PdqDetector, distance, pdq
from schemas.bank import BankFrame, HashEntry
from schemas.signals import FrameHash
from streams.extraction.read import Limits
from streams.extraction.read import read as decoded

DATA = Path(__file__).parents[1] / "data" / "threatexchange"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
#: Hash and quality as python-threatexchange's tests have them (`tests/hashing/test_pdq_hasher.py`).
PUBLISHED = {
    "LA.png": ("accb6d39648035f8125c8ce6ba65007de7b54c67a2d93ef7b8f33b0611306715", 100),
    "I16.png": ("de2ef0e99ecdfc1d248a0eb055f023d1d61e79c3920cbb55d561c02accab1763", 36),
    "rgb.jpeg": ("fb4eed46cb8a6c78819ca06b756c541f7b07ef6d02c82fccd00f862166272cda", 100),
}
IMAGES = sorted(path.name for path in DATA.iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
BRIDGES = [name for name in IMAGES if name.startswith("bridge-")]


def rgb(name: str) -> np.ndarray:
    return np.asarray(Image.open(DATA / name).convert("RGB"))


def test_the_published_files_are_there():
    assert len(BRIDGES) == 5 and set(PUBLISHED) < set(IMAGES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_our_hash_is_the_published_one(name):
    assert pdq(rgb(name)) == PUBLISHED[name]


@pytest.mark.parametrize("name", IMAGES)
def test_our_hash_is_the_one_of_threatexchange(name):
    assert pdq(rgb(name)) == pdq_from_file(DATA / name)


def test_the_bridge_in_all_its_forms_is_among_the_published_examples():
    # `PdqSignal.get_examples`: of pdq/data/bridge-mods, hashed by another decoder of JPEG.
    for name in BRIDGES:
        code, quality = pdq(rgb(name))
        assert quality == 100
        assert min(distance(code, example) for example in PdqSignal.get_examples()) <= 2, name


def vectors(name: str) -> list[str]:
    return (DATA / name).read_text().split()


def test_distances_and_verdicts_are_those_of_threatexchange():
    needles, haystack = vectors("needles.txt")[:10], vectors("haystack.txt")[:40]
    for one in needles:
        for other in [*haystack, *needles]:
            theirs = PdqSignal.compare_hash(one, other)
            assert theirs.distance.distance == distance(one, other)
            assert theirs.match == (distance(one, other) <= 31)


def test_the_index_finds_what_the_index_of_threatexchange_finds():
    haystack, needles = vectors("haystack.txt"), vectors("needles.txt")
    # Half of them altered in up to 40 bits, so that the threshold is met from both sides.
    rng = np.random.default_rng(7)
    queries = needles[:50] + [altered(code, int(rng.integers(0, 41)), rng) for code in haystack[:150]]
    theirs = PDQIndex.build((code, number) for number, code in enumerate(haystack))
    bank = HashBank(entry(code, f"h{number}") for number, code in enumerate(haystack))
    frames = [FrameHash(at_s=float(number), pdq=code, quality=100) for number, code in enumerate(queries)]
    ours = bank.match(frames, max_distance=31, min_quality=50)
    found = {(match.at_s, match.entry_id, match.distance) for match in ours}
    expected = {
        (float(number), f"h{match.metadata}", match.similarity_info.distance)
        for number, code in enumerate(queries)
        for match in theirs.query(code)
    }
    assert len(expected) > 100
    assert found == expected


def altered(code: str, bits: int, rng: np.random.Generator) -> str:
    value = int(code, 16)
    for bit in rng.choice(256, bits, replace=False):
        value ^= 1 << int(bit)
    return f"{value:064x}"


def entry(code: str, name: str) -> HashEntry:
    return HashEntry(
        entry_id=name, category="c", source="s", added_at=NOW, frames=(BankFrame(pdq=code, quality=100),)
    )  # fmt: skip


def published_frames() -> list[tuple[int, str, float]]:
    lines = [line.split(",") for line in (DATA / "doorknob.vpdq.txt").read_text().split()]
    return [(int(quality), code, float(at_s)) for _, quality, code, at_s in lines]


def test_a_video_s_frames_hash_as_vpdq_published_them():
    """Each frame beside vPDQ's of the same time. It hashes frames as they are, we at 512 px, by decoders of our own: of
    those with detail the hashes lie 9 bits apart on average, and none as far as a match may."""
    found = decoded(DATA / "doorknob.mp4", [PdqDetector()], Limits(0.0, 8192 * 4320, 3600.0)).frames
    published = published_frames()
    apart = []
    for frame in found:
        quality, code, _ = min(published, key=lambda one: abs(one[2] - frame.at_s))
        assert abs(frame.quality - quality) <= 5
        if quality >= 50:
            apart.append(distance(frame.pdq, code))
    assert len(apart) > 50
    assert (max(apart) <= 24, np.mean(apart) <= 12) == (True, True), apart


def test_a_published_list_of_a_video_s_frames_finds_the_video():
    """vPDQ's rule: share of the query's frames that match, of quality 50 and more, within 31 bits."""
    with (DATA / "doorknob.vpdq.txt").open("rb") as file:
        (row,) = read(file, "vpdq", Given(now=NOW))
    bank = HashBank([row.entry])
    frames = decoded(DATA / "doorknob.mp4", [PdqDetector()], Limits(0.5, 8192 * 4320, 3600.0)).frames
    met = {match.at_s for match in bank.match(frames, max_distance=31, min_quality=50)}
    assert met == {frame.at_s for frame in frames if frame.quality >= 50}


@pytest.mark.parametrize("name", ["doorknob.mp4", "rgb.jpeg"])
def test_digests_of_files_are_those_of_threatexchange(name):
    path = DATA / name
    assert digests(path) == (VideoSHA256Signal.hash_from_file(path), VideoMD5Signal.hash_from_file(path))
    assert digests(path).md5 == hashlib.md5(path.read_bytes()).hexdigest()


def test_what_we_export_is_read_by_threatexchange_as_its_own(tmp_path):
    """Its exchange of local files, its validation of every signal, and back."""
    rows = [entry(code, f"h{number}") for number, code in enumerate(vectors("haystack.txt")[:50])]
    rows.append(HashEntry(entry_id="f", category="c", source="s", added_at=NOW, md5="ab" * 16, sha256="cd" * 32))
    path = tmp_path / "list.txt"
    path.write_bytes(b"".join(line for row in rows for line in WRITERS["signals"].lines(row, Counter())))
    config = FileCollaborationConfig(name="ours", filename=str(path))
    api = LocalFileSignalExchangeAPI.for_collab(config)
    (delta,) = api.fetch_iter([], None)
    assert set(delta.updates) == {signal for row in rows for signal in signals_of(row)}
    types = {kind.get_name(): kind for kind in (PdqSignal, VideoMD5Signal, VideoSHA256Signal)}
    assert {name for name, _ in delta.updates} == set(types)
    for name, signal in delta.updates:
        assert types[name].validate_signal_str(signal) == signal
    found = list(read(io.BytesIO(path.read_bytes()), "signals", Given(now=NOW)))
    assert all(isinstance(each, Row) for each in found)


def test_its_own_examples_are_a_list_that_we_read():
    examples = [
        f"{kind.get_name()} {signal}\n"
        for kind in (PdqSignal, VideoMD5Signal, VideoSHA256Signal)
        for signal in kind.get_examples()
    ]
    found = list(read(io.BytesIO("".join(examples).encode()), "signals", Given(now=NOW)))
    assert len(found) == len(examples) == 20
    assert all(isinstance(each, Row) for each in found)
    assert {next(signals_of(each.entry)) for each in found} == {tuple(re.split(" ", line.strip())) for line in examples}
