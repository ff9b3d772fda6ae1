"""The short form of `make fuzz`, and that it would find what it looks for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agents.synthetic.container import ContainerDetector
from streams.registered import installed
from streams.settings import load
from tests.fuzz.__main__ import detectors
from tests.fuzz.boxes import edited, put, walk
from tests.fuzz.campaign import Campaign, run
from tests.fuzz.mutate import MUTATIONS, mutant
from tests.fuzz.opener import Opener
from tests.fuzz.seeds import make_seeds
from tests.fuzz.watch import WatchedPool

#: Detectors that load a model, which a thousand files of `make fuzz` are for; all others are in the short form too.
MODELS = {"captions", "nudity", "plugin", "speech", "voice"}
KINDS = [kind for kind in detectors() if kind.name not in MODELS]
TIMEOUT_S = 6.0


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("VERISTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def seeds() -> Iterator[dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        yield make_seeds(Path(folder))


def seen(found: Campaign) -> None:
    if found.blind:
        pytest.skip(found.blind)


async def test_damaged_and_hostile_media_costs_its_own_item_and_no_more() -> None:
    found = await run(100, 7, kinds=KINDS, timeout_s=TIMEOUT_S)
    assert found.findings == {}
    assert found.lost == 0
    assert found.contacts == 0
    assert found.files > 200
    assert found.outcomes["read"] > 50
    seen(found)
    assert found.opened == []
    assert found.refused == []


async def test_traps_lead_nowhere_even_where_nothing_is_confined() -> None:
    """Else the refusals of the kernel would hide what the lists of containers and protocols let through."""
    found = await run(0, 7, kinds=[ContainerDetector], timeout_s=TIMEOUT_S, confinement="off")
    assert found.contacts == 0
    seen(found)
    assert [line for line in found.opened + found.refused if "bait" in line or "socket" in line] == []


async def test_a_second_open_and_a_lost_process_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.campaign.traps", lambda *_: {})
    monkeypatch.setattr("tests.fuzz.campaign.million_streams", lambda: b"")
    found = await run(0, 7, kinds=[Opener], workers=1, confinement="off")
    assert found.lost == 1
    assert found.findings.keys() == {"seed wav"}
    assert not found.holds
    seen(found)
    assert any("/etc/hostname" in line for line in found.opened)


def test_a_run_looks_with_every_detector_that_the_worker_looks_with(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [kind.name for kind in detectors()]
    assert names == [kind.name for kind in installed("veristream.detectors", load().detectors).values()]
    assert {"points", "qr", "sound"} <= set(names)
    monkeypatch.setenv("VERISTREAM_DETECTORS", "pdq,qr")
    assert [kind.name for kind in detectors()] == ["pdq", "qr"]
    assert [kind.name for kind in detectors("sound,points")] == ["sound", "points"]


def test_mutants_follow_from_their_seed_alone(seeds: dict[str, bytes]) -> None:
    one, other = (mutant("mp4", seeds, Random(3)) for _ in range(2))
    assert one == other
    assert mutant("mp4", seeds, Random(4)) != one


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_changes_what_it_gets(name: str, seeds: dict[str, bytes]) -> None:
    random = Random(5)
    assert sum(MUTATIONS[name](seeds["mp4"], seeds, random) != seeds["mp4"] for _ in range(10)) >= 8


def test_boxes_are_changed_with_the_sizes_around_them_right(seeds: dict[str, bytes]) -> None:
    longer = edited(seeds["mp4"], b"stsd", lambda body: body + b"1234")
    sizes = {kind: size for kind, _, size in walk(longer)}
    before = {kind: size for kind, _, size in walk(seeds["mp4"])}
    assert sizes.keys() == before.keys()
    assert sizes[b"moov"] == before[b"moov"] + 4
    assert sum(size for kind, _, size in walk(longer) if kind in (b"ftyp", b"free", b"mdat", b"moov")) == len(longer)
    zero = put(seeds["mp4"], b"mvhd", 12, bytes(4))
    assert len(zero) == len(seeds["mp4"])
    assert zero[zero.index(b"mvhd") + 16 :][:4] == bytes(4)


@pytest.mark.parametrize(("leak", "found"), [(20_000, 20_000_000), (0, 0)])
def test_a_leak_shows_and_one_large_picture_does_not(leak: int, found: int, tmp_path: Path) -> None:
    pool = WatchedPool(load(), [], tmp_path)
    large = 100 << 20
    pool._sizes[1] = [number * leak + (large if number > 333 else 0) for number in range(600)]
    assert pool.growth() == found


def test_a_process_that_has_read_little_says_nothing_of_growth(tmp_path: Path) -> None:
    pool = WatchedPool(load(), [], tmp_path)
    pool._sizes[1] = [number << 20 for number in range(300)]
    assert pool.growth() is None
