"""What a load asks for: cores, cells, brokers, disks and money, from figures that were measured on one core.

A **cell** is one pipeline of its own: topics under its own prefix, its own groups and workers, the publishers whose id
hashes to it. It is as large as the partitions of a topic let it be.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from schemas.examples import EXAMPLES
from schemas.message import encode
from schemas.signals import FrameHash
from schemas.topics import PARTITIONS, TOPICS

#: The figures that ship, by the names that `make bench` gives them.
FIGURES = Path(__file__).with_name("figures.json")
DAY_S = 86_400.0

EXTRACTION = "extraction.tier0.vs_full_decode.h264_720p.with_detectors"
EVENTS = "events.identity.vs_bare_aiokafka"
LOOKUP = "review.lookup_ms.100k"
TERMS = "review.terms_us"
RUMORS = "rumor.match_ms.1k_entries"
RECOVERY = "state.recovery_s_per_million_rows"
VERDICT_MB = "state.verdict_mb.100k_items"

#: What is another in each message.
_DIFFERS = re.compile(r"(?P<hash>[0-9a-f]{8,})|(?P<time>\d\d:\d\d:\d\d)|(?P<words>[\u4e00-\u9fff]{2,})")

#: Agents that read each item once, besides extraction: identity, review, synthetic, rumor; and those that read every
#: decision: verdict, sanctions, complaints.
READERS = 4
DECISION_READERS = 3


class FigureMissing(ValueError):
    """A figure is not in the file; the text says which and what to do."""


def figures(path: Path | None = None) -> dict[str, float]:
    """Measured figures by name: those that ship, and over them those of a file that `make bench` wrote.

    Raises:
        FigureMissing: the file is none that `make bench` wrote.
    """
    found: dict[str, float] = json.loads(FIGURES.read_text("utf-8"))
    if path is None:
        return found
    try:
        rows = {row["name"]: row["value"] for row in json.loads(path.read_text("utf-8"))}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FigureMissing(f"{path} is not what `make bench` writes: {error!r}") from error
    return found | {name: value for name, value in rows.items() if name in found and value is not None}


@dataclass(frozen=True)
class Load:
    """What a platform sends. Everything here is an assumption to be replaced by the platform's own numbers."""

    uploads_a_day: float = 1e8
    streams: float = 1e5
    #: The busiest minutes against the mean of the day.
    peak: float = 2.0
    upload_s: float = 60.0
    segment_s: float = 2.0
    publishers: float = 1e8
    #: The share of its cores that a pool is planned to use at the peak: the rest is for skew, failures and growth.
    used: float = 0.6
    #: Fewer than partitions: those of a worker that is lost then go to several others, not all to one.
    workers_a_cell: int = 6
    cores_a_worker: int = 128
    replicas: int = 3
    #: Of what a broker can: a NIC of 25 Gbit/s and disks behind it, half used.
    broker_mb_s: float = 1500.0
    broker_disk_tb: float = 60.0
    #: US dollars, list prices of large clouds rounded; a platform has its own.
    core_hour: float = 0.04
    disk_tb_month: float = 40.0

    @property
    def uploads_s(self) -> float:
        """Uploads a second at the peak."""
        return self.uploads_a_day / DAY_S * self.peak

    @property
    def segments_s(self) -> float:
        """Segments a second at the peak, when all streams are on."""
        return self.streams / self.segment_s


@dataclass(frozen=True)
class Item:
    """What one item leaves on the topics, in bytes before replication: JSON, and compressed in batches."""

    topics: Mapping[str, float]
    compressed: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of all topics."""
        return sum(self.topics.values())


def item(event: str, frames: float) -> Item:
    """The sizes of the messages of one ordinary item, from the examples of the topics."""
    signals: Any = EXAMPLES["signals"]
    picture = signals.frames[0]
    hashes = tuple(
        FrameHash(at_s=float(at), pdq=f"{at * 0x9E3779B97F4A7C15 % 2**256:064x}"[::-1], quality=picture.quality)
        for at in range(max(1, round(frames)))
    )
    messages: dict[str, tuple[Any, int]] = {
        event: (EXAMPLES[event], 1),
        "admitted": (EXAMPLES["admitted"], 1),
        "signals": (replace(signals, frames=hashes), 1),
        "decisions": (replace(EXAMPLES["decisions"], reasons=(), stop=None), READERS),  # most find nothing
        "verdicts": (replace(EXAMPLES["verdicts"], reasons=()), 1),
    }
    whole = {name: float(len(encode(message)) * count) for name, (message, count) in messages.items()}
    return Item(whole, {name: size * _packed(messages[name][0]) for name, size in whole.items()})


def _packed(message: Any) -> float:
    """What is left of a message in a compressed batch of a hundred that differ in what differs between items: ids,
    hashes, times and words."""
    chance = Random(1)

    def other(found: re.Match[str]) -> str:
        if found["hash"]:
            return f"{chance.getrandbits(4 * len(found['hash'])):0{len(found['hash'])}x}"
        if found["time"]:
            return f"{chance.randrange(24):02}:{chance.randrange(60):02}:{chance.randrange(60):02}"
        return "".join(chr(0x4E00 + chance.randrange(2500)) for _ in found["words"])

    text = encode(message).decode()
    raw = "".join(_DIFFERS.sub(other, text) for _ in range(100)).encode()
    return len(zlib.compress(raw, 6)) / len(raw)


@dataclass(frozen=True)
class Plan:
    """What the load asks for."""

    load: Load
    cores: Mapping[str, float]
    cells: int
    workers: int
    upload: Item
    segment: Item
    write_mb_s: float
    brokers: int
    disk_tb: float
    disk_tb_plain: float
    month: Mapping[str, float]


def plan(load: Load, measured: Mapping[str, float]) -> Plan:
    """Cores by agent at the peak, and what follows."""
    media_s = load.uploads_s * load.upload_s + load.streams
    items_s = load.uploads_s + load.segments_s
    core_s = measured[EXTRACTION] / 60.0
    event = 1.0 / measured[EVENTS]
    cores = {
        "extraction": media_s * core_s,
        "review": items_s * (event + measured[TERMS] / 1e6) + media_s * measured[LOOKUP] / 1e3,
        "rumor": items_s * (event + measured[RUMORS] / 1e3),
        "identity": items_s * event,
        "synthetic": items_s * event,
        "verdict, sanctions, complaints": items_s * READERS * DECISION_READERS * event,
    }
    planned = {agent: needed / load.used for agent, needed in cores.items()}
    cell = min(load.workers_a_cell, PARTITIONS) * load.cores_a_worker
    cells = ceil(planned["extraction"] / cell)
    upload, segment = item("uploads", load.upload_s), item("segments", load.segment_s)
    write = (load.uploads_s * upload.total + load.segments_s * segment.total) / 1e6

    def kept(sizes: str) -> float:
        """TB on disk with replicas, at the mean of the day."""
        total = 0.0
        for each, rate in ((upload, load.uploads_a_day / DAY_S), (segment, load.segments_s / load.peak)):
            for name, size in getattr(each, sizes).items():
                total += rate * size * DAY_S * (TOPICS[name].retention_days or 0) * load.replicas
        return total / 1e12

    disk, plain = kept("compressed"), kept("topics")
    # Written once and sent to each replica; read by every agent of the topic.
    traffic = write * load.replicas * 2
    brokers = max(3, ceil(traffic / load.broker_mb_s), ceil(disk / load.broker_disk_tb))
    month = {
        "cores": sum(planned.values()) * load.core_hour * 730,
        "disks": disk * load.disk_tb_month,
    }
    workers = cells * min(load.workers_a_cell, PARTITIONS)
    return Plan(load, planned, cells, workers, upload, segment, write, brokers, disk, plain, month)
