"""What the archive costs: writing and proving rows, room, and answers over ten million decisions."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

from schemas.decision import Decision, PolicyRef, Reason, Stop, decision_id
from schemas.message import encode
from schemas.signals import Evidence
from streams.archive.chain import load_key
from streams.archive.columns import Row, schema, table
from streams.archive.parquet import encoded_seeds
from streams.archive.query import QUESTIONS, ask
from streams.archive.store import Archive, Place
from streams.archive.verify import verify
from tests.bench.report import Row as Figure

PLACE = Place("decisions", 0)
POLICY = PolicyRef(name="default", version=12)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
#: Rows of a file: what a busy partition writes in some seconds.
FILE = 10_000
#: Days of the archive that is asked.
DAYS = 100
#: (agent, action, reason): most items pass.
KINDS = (
    *(("identity", "allow", ""), ("review", "allow", ""), ("synthetic", "allow", ""), ("rumor", "allow", "")) * 4,
    ("review", "review", "REVIEW-TERM"), ("synthetic", "label", "AIGC-IMPLICIT"), ("rumor", "label", "RUMOR-MATCH"),
    ("identity", "takedown", "ID-UNKNOWN"),
)  # fmt: skip


def write(quick: bool) -> Iterator[Figure]:
    """The archiver's work from bytes to files on the disk, and a look at all of them; CPU seconds, all threads."""
    count = 20_000 if quick else 200_000
    rows = list(_decisions(count))
    with tempfile.TemporaryDirectory(prefix="veristream-archive-") as work:
        folder = Path(work, "archive")
        with Archive(folder, load_key(Path(work, "key.pem"), create=True)) as archive:
            begun = time.process_time()
            for first in range(0, count, FILE):
                archive.append({PLACE: rows[first : first + FILE]})
            yield Figure("archive.rows_s", count / (time.process_time() - begun), "rows/s a core", count)
            size = sum(record["bytes"] for record in archive.live.values())
        yield Figure("archive.bytes_per_decision", size / count, "bytes", count)
        begun = time.process_time()
        found = verify(folder)
        assert not found.faults
        yield Figure("evidence.verify_rows_s", found.rows / (time.process_time() - begun), "rows/s a core", count)


def query(quick: bool) -> Iterator[Figure]:
    """The three ready-made questions over as many decisions; the median of five askings each, opening included."""
    count = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory(prefix="veristream-archive-") as work:
        folder = Path(work, "archive")
        content = _synthetic(folder, Path(work, "key.pem"), count)
        given = {"why": {"content_id": content}, "publisher": {"publisher_id": "p77"}, "reasons": {}}
        runs, total = 5, 0.0
        name = f"{count // 1_000_000}m"
        for question, parameters in given.items():
            seconds = []
            for _ in range(runs):
                begun = time.perf_counter()
                answer = ask(folder, QUESTIONS[question].sql, parameters)
                seconds.append(time.perf_counter() - begun)
                assert answer.rows, question
            total += median(seconds)
            yield Figure(f"archive.query_s.{question}.{name}", median(seconds), "s", runs)
        yield Figure(f"archive.query_s.{name}", total, "s, all three", runs)


def _decisions(count: int) -> Iterator[Row]:
    random = np.random.default_rng(7)
    for number in range(count):
        agent, action, code = KINDS[number % len(KINDS)]
        event, item = random.bytes(16).hex(), random.bytes(16).hex()
        at = BEGIN + timedelta(milliseconds=40 * number)
        evidence = (Evidence(at_s=float(number % 60), entry=f"term {number % 500}", text="沿着河边一路向北"),)
        made = Decision(
            decision_id=decision_id(event, agent, POLICY), event_id=event, content_id=item,
            publisher_id=f"p{random.integers(20_000)}", agent=agent, action=action, policy=POLICY, decided_at=at,
            latency_s=round(float(random.exponential(0.4)), 6), models={"nudity": "1.0.0"} if agent == "review" else {},
            reasons=(Reason(code=code, score=0.875, threshold=0.5, evidence=evidence),) if code else (),
            stop=Stop(kind="hold", until="identified") if action == "takedown" else None,
        )  # fmt: skip
        yield Row(number, int(at.timestamp() * 1000), made.publisher_id.encode(), encode(made))


def _synthetic(folder: Path, key: Path, count: int) -> str:
    """An archive of so many decisions of DAYS days; gives a content_id in the middle.

    One day's columns come from the archiver's own code; ids, publishers and times are drawn anew for each day. The
    messages' bytes are left out: no question reads them, and they would take most of the time and gigabytes.
    """
    random = np.random.default_rng(11)
    day_rows = count // DAYS
    seed = b"\0" * 16
    first, _ = table("decisions", 0, list(_decisions(day_rows)), seed)
    content = ""
    with Archive(folder, load_key(key, create=True)) as archive:
        records = []
        for number in range(DAYS):
            day = (BEGIN + timedelta(days=number)).date()
            drawn = {
                "kafka_offset": pa.array(np.arange(number * day_rows, (number + 1) * day_rows)),
                "content_id": _ids(random, day_rows),
                "event_id": _ids(random, day_rows),
                "decision_id": _ids(random, day_rows),
                "publisher_id": pa.array([f"p{one}" for one in random.integers(20_000, size=day_rows)]),
                "happened_at": _times(random, day, day_rows),
                "value": pa.nulls(day_rows, pa.binary()),
                "leaf": pa.nulls(day_rows, pa.binary(8)),
            }
            names = [field.name for field in schema()]
            columns = pa.table([drawn.get(name, first[name]) for name in names], names=names).cast(schema())
            path = archive.path_of(PLACE, day.isoformat(), number * day_rows, (number + 1) * day_rows - 1)
            with archive.making(path) as writer:
                for at in range(0, day_rows, 1 << 17):
                    writer.write(columns.slice(at, 1 << 17), encoded_seeds([(0, seed)]))
            offsets = number * day_rows, (number + 1) * day_rows - 1
            records.append(archive.record_of(PLACE, day.isoformat(), path, [seed], *offsets))
            if number == DAYS // 2:
                content = columns["content_id"][day_rows // 2].as_py()
        archive.count(records)
    return content


def _ids(random: np.random.Generator, count: int) -> pa.Array:
    digits = pa.py_buffer(random.bytes(16 * count).hex().encode())
    return pa.Array.from_buffers(pa.binary(32), count, [None, digits]).cast(pa.binary()).cast(pa.string())


def _times(random: np.random.Generator, day: date, count: int) -> pa.Array:
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000_000)
    return pa.array(begin + np.sort(random.integers(86_400_000_000, size=count)), pa.timestamp("us", "UTC"))
