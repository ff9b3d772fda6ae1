"""The archiver: a process that takes what lies on the archived topics and puts it into the archive.

It is no agent. An agent's batches are of all partitions and end in messages; here a partition's rows wait until they
are worth a file, and where to go on is told by the archive itself, not by the group. So partitions are assigned by
hand, there are no rebalances, and the offsets that are committed under PREFIX-archiver tell others how far it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, PlatformCollector, ProcessCollector

from streams.archive.chain import ArchiveError, load_key
from streams.archive.columns import ARCHIVED, Row
from streams.archive.compact import compact
from streams.archive.retention import expire
from streams.archive.store import Archive, Place
from streams.health import Health
from streams.kafka import closed, partitions_of, started
from streams.security import connection
from streams.settings import Settings, SettingsError

log = logging.getLogger(__name__)

#: The consumer group's name after the prefix.
GROUP = "archiver"
#: Rows that wait are written once they take so much memory, whatever the time.
MOST_WAITING = 32 * 2**20
#: Records taken at once.
TAKEN = 5000
#: How long what still lies there is taken before a broker goes that keeps nothing.
DRAIN_S = 5.0
#: How often a disk that refuses is tried again.
RETRY_S = 5.0
#: How often it is looked whether files are worth merging, or too old.
UPKEEP_S = 60.0


class Archiver:
    """Takes, waits, writes, commits; one step after the other."""

    def __init__(self, settings: Settings, archive: Archive, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._archive = archive
        self._waiting: dict[TopicPartition, list[Row]] = {}
        self._size = 0
        self._since = 0.0
        self._consumer: AIOKafkaConsumer
        self._kept_up = monotonic()
        #: Why nothing can be written now; None while it can.
        self.refused: str | None = None
        self.taking = False
        self.rows = Counter("veristream_archive_rows", "Rows archived", ["topic"], registry=registry)
        self.full = Gauge("veristream_archive_refused", "1 while the disk takes nothing", registry=registry)
        self.gaps = Counter(
            "veristream_archive_gaps", "Stretches that the broker no longer had", ["topic"], registry=registry
        )
        self.files = Gauge("veristream_archive_files", "Files in force", registry=registry)
        self.waiting = Gauge("veristream_archive_waiting_bytes", "What waits to be written", registry=registry)
        self.behind = Gauge(
            "veristream_archive_lag_messages", "Messages that are not in the archive", ["topic"], registry=registry
        )

    def problems(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        found = [] if self.taking else ["the topics are not being read yet"]
        return [*found, f"nothing can be written: {self.refused}; it is tried again"] if self.refused else found

    async def run(self, stop: asyncio.Event, *, drain: bool = False) -> None:
        """Archive until `stop` is set; what waits then is written first, unless the disk refuses it. `drain`: and what
        lies on the topics then, because it will not be there later.

        Raises:
            ArchiveError: the topics were made anew since the archive was written.
            KafkaUnusable: no broker answers, or a topic is missing.
        """
        parts = await partitions_of(self._settings, ARCHIVED)
        self._consumer = await started(
            AIOKafkaConsumer(
                **connection(self._settings),
                group_id=f"{self._settings.group_prefix}-{GROUP}",
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=int(self._settings.fetch_max_wait_s * 1000),
            ),
            self._settings,
        )
        try:
            await self._find_places(parts)
            self.taking = True
            while not stop.is_set():
                await self._turn(stop)
            last = monotonic() + DRAIN_S
            while drain and await self._turn(stop) and monotonic() < last:
                pass
            await self._flush(stop)
        finally:
            await closed(self._consumer.stop())

    async def _find_places(self, parts: list[TopicPartition]) -> None:
        self._consumer.assign(parts)
        begins = await self._consumer.beginning_offsets(parts)
        for part in parts:
            if (begin := begins[part]) > self._archive.next_of(self._place(part)):
                self._gap(part, begin)
            self._consumer.seek(part, self._archive.next_of(self._place(part)))

    def _place(self, part: TopicPartition) -> Place:
        return Place(part.topic.removeprefix(self._settings.topic_prefix), part.partition)

    def _gap(self, part: TopicPartition, until: int) -> None:
        place = self._place(part)
        log.warning("%s: offsets before %d are no longer on the broker: the chain says so", place, until)
        self._archive.gap(place, until, "no longer on the broker")
        self.gaps.labels(place.topic).inc()

    async def _turn(self, stop: asyncio.Event) -> int:
        """Take what is there, write what is due. Returns how many partitions had something."""
        try:
            # Woken four times a second, to stop soon.
            got = await self._consumer.getmany(timeout_ms=250, max_records=TAKEN)
        except OffsetOutOfRangeError as error:
            await self._out_of_range(error.args[0])
            return 0
        for part, records in got.items():
            rows = [Row(one.offset, one.timestamp, one.key, one.value) for one in records]
            self._since = self._since if self._size else monotonic()
            self._waiting.setdefault(part, []).extend(rows)
            self._size += sum(row.size for row in rows)
        self.waiting.set(self._size)
        self._measure()
        due = self._size and monotonic() - self._since >= self._settings.archive_flush_s
        if due or self._size >= MOST_WAITING:
            await self._flush(stop)
        if monotonic() - self._kept_up >= UPKEEP_S:
            await self._keep_up()
        return len(got)

    async def _out_of_range(self, places: dict[TopicPartition, int]) -> None:
        """The broker no longer has what comes next; or never had it, because the topic is another one."""
        await self._flush(asyncio.Event())
        begins = await self._consumer.beginning_offsets(list(places))
        for part, begin in begins.items():
            if begin <= self._archive.next_of(self._place(part)):
                raise self._made_anew(part, places[part])
            self._gap(part, begin)
            self._consumer.seek(part, begin)

    def _made_anew(self, part: TopicPartition, end: int) -> ArchiveError:
        return ArchiveError(
            f"topic {part.topic} was made anew: partition {part.partition} ends at {end}, and the archive has it up to "
            f"{self._archive.next_of(self._place(part))}; name a new folder with VERISTREAM_ARCHIVE_DIR"
        )

    def _measure(self) -> None:
        behind: dict[str, int] = {}
        for part in self._consumer.assignment():
            place, end = self._place(part), self._consumer.highwater(part)
            if end is None:
                continue
            if end < self._archive.next_of(place):
                raise self._made_anew(part, end)
            lag = end - max(self._archive.next_of(place), 0)
            behind[place.topic] = behind.get(place.topic, 0) + lag
        for topic, lag in behind.items():
            self.behind.labels(topic).set(lag)
        self.files.set(len(self._archive.live))

    async def _flush(self, stop: asyncio.Event) -> None:
        """Write what waits, and commit. While the disk refuses, nothing more is taken."""
        if not self._size:
            return
        batches = {self._place(part): rows for part, rows in self._waiting.items()}
        while True:
            try:
                await asyncio.to_thread(self._archive.append, batches)
                break
            except OSError as error:
                if self.refused is None:
                    log.error("nothing can be archived, nothing is lost, it is tried again: %s", error)
                self.refused = str(error)
                self.full.set(1)
                if stop.is_set():
                    return  # what waits was never committed, and comes again
                try:
                    async with asyncio.timeout(RETRY_S):
                        await stop.wait()
                except TimeoutError:
                    continue
        if self.refused is not None:
            log.warning("the disk takes again what is archived")
        self.refused = None
        self.full.set(0)
        for place, rows in batches.items():
            self.rows.labels(place.topic).inc(len(rows))
        reached = {part: rows[-1].offset + 1 for part, rows in self._waiting.items()}
        self._waiting, self._size = {}, 0
        self.waiting.set(0)
        try:
            await self._consumer.commit(reached)
        except KafkaError as error:  # it only tells others; the archive knows itself how far it is
            log.warning("offsets are not committed, the next time will do: %s", error)

    async def _keep_up(self) -> None:
        try:
            await asyncio.to_thread(compact, self._archive, 1)
            if self._settings.archive_days is not None:
                await asyncio.to_thread(expire, self._archive, self._settings.archive_days)
        except (OSError, ArchiveError) as error:
            log.error("files are neither merged nor deleted: %s", error)
        self._kept_up = monotonic()


async def serve(settings: Settings, stop: asyncio.Event, ready: Callable[[int], None], *, drain: bool = False) -> None:
    """Run the archiver, with its probes, until `stop` is set; `ready` is told their port. `drain`: see `Archiver.run`.

    Raises:
        SettingsError: no folder is named, or the port is taken.
        ArchiveError: the archive can't be written; the text says why.
        KafkaUnusable: no broker answers, or a topic is missing.
    """
    if settings.archive_dir is None:
        raise SettingsError("archive_dir: name the archive's folder: --archive DIR, or VERISTREAM_ARCHIVE_DIR")
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    with Archive(settings.archive_dir, load_key(settings.archive_key, create=True)) as archive:
        archiver = Archiver(settings, archive, registry)
        health = Health(registry, archiver.problems)
        try:
            await health.start(settings.http_host, settings.archive_http_port)
        except OSError as error:
            where = f"{settings.http_host}:{settings.archive_http_port}"
            raise SettingsError(f"archive_http_port: cannot listen on {where} ({error.strerror})") from error
        try:
            ready(health.port)
            await archiver.run(stop, drain=drain)
        finally:
            await health.stop()


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[None]:
    """The archiver in this process for as long as the block runs, if a folder is named; its end ends nothing else."""
    if settings.archive_dir is None:
        yield
        return
    stop = asyncio.Event()
    own = asyncio.create_task(serve(settings, stop, lambda _: None, drain=True), name="archiver")
    own.add_done_callback(_say_why)
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(own, return_exceptions=True)


def _say_why(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("nothing is archived any more: %s", error)


async def until_ended(settings: Settings, ready: Callable[[int], None]) -> None:
    """`serve` until SIGTERM or Ctrl-C."""
    import signal

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop, ready)
