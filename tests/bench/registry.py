"""What a registry of a platform's size costs: memory a million publishers take, looking one up on disk among ten
million, and judging an event with its look-ups. No broker."""

from __future__ import annotations

import gc
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from agents.identity.agent import Identity
from schemas.examples import EXAMPLES
from schemas.policy import default_policy
from schemas.registry import Acceptance, IdentityNumber, Publisher
from schemas.topics import POLICIES, PROVIDERS, PUBLISHERS, UPLOADS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.rows import DiskRows, PackedRows
from streams.settings import Settings
from streams.views import View
from tests.bench.report import Row
from tests.bench.traffic import uploads

NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: Look-ups that are timed together.
LOOKUPS = 20_000


def measure(quick: bool) -> Iterator[Row]:
    """All of it."""
    yield _check(quick)
    yield _memory(quick)
    yield from _disk(quick)


def publisher(number: int) -> Publisher:
    """A row as the registrar makes it: every second one has two numbers. Drawn from the number, so that it can be made
    again."""
    random = Random(number)
    kinds = ("id_number", "mobile")[: 1 + number % 2]
    numbers = tuple(
        IdentityNumber(kind=kind, form="valid", digest=random.randbytes(32).hex(), key_id="2026-01") for kind in kinds
    )
    return Publisher(
        publisher_id=key(number),
        kind="person",
        real_name="verified",
        verified_at=NOW + timedelta(microseconds=random.randrange(10**12)),
        verified_until=NOW + timedelta(days=365),
        verifier="verifier.example",
        verification=random.randbytes(16).hex(),
        numbers=numbers,
        born="1990-01",
        agreement=Acceptance(version="2026-01", accepted_at=NOW),
    )


def key(number: int) -> str:
    """An id of 36 characters, as long as a UUID."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def _check(quick: bool) -> Row:
    """The identity agent on an event, from looking everything up to the decision, among packed rows."""
    runs, count = (3, 10_000) if quick else (15, 100_000)
    metrics = Metrics(CollectorRegistry())
    views = {topic.name: View(topic, metrics) for topic in Identity.views}
    people = views[PUBLISHERS.name].rows
    assert isinstance(people, PackedRows)
    fill(people, count)
    for topic, row in ((PROVIDERS, EXAMPLES["providers"]), (POLICIES, default_policy())):
        views[topic.name].rows[getattr(row, topic.key)] = row

    async def nothing(*_: object) -> AsyncIterator[Incoming]:
        for none in ():
            yield none

    agent = Identity(
        Context(settings=Settings(), metrics=metrics, views=views, clock=lambda: datetime.now(UTC), read_back=nothing)
    )
    places = Random(1).sample(range(count), 1000)
    events = [replace(event, publisher_id=key(place)) for event, place in zip(uploads(1000), places, strict=True)]
    assert not any(out.topic.name == "takedowns" for event in events for out in agent.handle(_incoming(event)))
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        for event in events:
            list(agent.handle(_incoming(event)))
        seconds.append(time.perf_counter() - begun)
    return Row("identity.check_us", median(seconds) / len(events) * 1e6, f"µs an event, {count:,} publishers", runs)


def _incoming(event: Any) -> Incoming:
    return Incoming(UPLOADS.name, 0, 0, event)


def _memory(quick: bool) -> Row:
    """What a process grows by, in one of its own: freed memory of others would be used first."""
    count = 100_000 if quick else 1_000_000
    script = f"from tests.bench.registry import grown; print(grown({count}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return Row("identity.registry_mb.1m", float(done.stdout) / count, "MB a million publishers", count)


def grown(count: int) -> int:
    """Bytes by which this process grows with so many rows."""
    people = PackedRows(PUBLISHERS)
    fill(people, 1000)
    gc.collect()
    before = _resident()
    fill(people, count, first=1000)
    gc.collect()
    return _resident() - before


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fill(rows: MutableMapping[str, Any], count: int, first: int = 0) -> None:
    """Put so many publishers in."""
    for number in range(first, first + count):
        row = publisher(number)
        rows[row.publisher_id] = row


def _disk(quick: bool) -> Iterator[Row]:
    """Ten million rows on disk. Only the key and the digests differ: making the rows is not what is measured."""
    count = 200_000 if quick else 10_000_000
    name = "200k" if quick else "10m"
    with tempfile.TemporaryDirectory(prefix="veristream-bench-", dir="build" if Path("build").is_dir() else None) as at:
        rows = DiskRows(PUBLISHERS, Path(at))
        template, begun = publisher(1), time.perf_counter()
        for number in range(count):
            digests = secrets.token_hex(64)
            first, second = template.numbers
            row = replace(
                template,
                publisher_id=key(number),
                numbers=(replace(first, digest=digests[:64]), replace(second, digest=digests[64:])),
            )
            rows[row.publisher_id] = row
        yield Row(f"identity.build_s.{name}_disk", time.perf_counter() - begun, "s, one process", count)
        size = sum(path.stat().st_size for path in Path(at).rglob("*") if path.is_file())
        yield Row(f"identity.registry_gb.{name}_disk", size / 1e9, "GB on disk", count)
        random = Random(2)
        keys = [key(random.randrange(count)) for _ in range(LOOKUPS)]
        begun = time.perf_counter()
        for each in keys:
            rows[each]
        yield Row(
            f"identity.lookup_us.{name}_disk", (time.perf_counter() - begun) / LOOKUPS * 1e6, "µs a look-up", LOOKUPS
        )
        absent = [key(count + random.randrange(count)) for _ in range(LOOKUPS)]
        begun = time.perf_counter()
        for each in absent:
            rows.get(each)
        yield Row(
            f"identity.absent_us.{name}_disk", (time.perf_counter() - begun) / LOOKUPS * 1e6, "µs a look-up", LOOKUPS
        )
        rows.close()
