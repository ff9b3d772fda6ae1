"""The demonstration in the terminal: a pipeline of its own, the scenario going through it, one table at the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from rich.live import Live
from rich.table import Table

from deploy.commands import beside, own_archive
from deploy.demo.footage import FootageError
from deploy.demo.media import DemoMedia, make_media
from deploy.demo.runner import Result, Runner
from deploy.demo.scenario import Seen
from deploy.embedded import BrokerError, EmbeddedBroker, free_port
from deploy.submit import COLOURS
from streams.cli.console import err, fail, out, run, settings
from streams.cli.pipeline import until_stopped
from streams.kafka import create_topics
from streams.settings import Settings
from streams.worker import Worker

#: Ports people and Prometheus know, for the demonstration that stays; `--once` takes free ones and disturbs nobody.
BROKER_PORT = 9092
STAGES = ("identity", "extraction", "review", "synthetic", "rumor", "verdict")


def show(*, once: bool, wanted: Sequence[int]) -> int:
    """Run the demonstration; returns the exit code: 0 if every case came out as the table of truth says."""
    try:
        with EmbeddedBroker(free_port() if once else BROKER_PORT) as embedded:
            # A line of log in the middle would tear the board.
            named = settings(
                **beside(embedded),
                archive_dir=own_archive(settings()),
                http_port=0 if once else None,
                log_level="warning",
            )
            results: list[Result] = run(_show(named, once=once, wanted=wanted))
    except (BrokerError, FootageError) as error:
        return fail(str(error))
    return 1 if any(result.faults for result in results) else 0


async def _show(named: Settings, *, once: bool, wanted: Sequence[int]) -> list[Result]:
    begun = monotonic()
    folder = named.store.parent / "demo"
    ready: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
    with err.status("creating topics, starting the agents, making media from real footage") as status:
        await create_topics(named)
        working = asyncio.create_task(_work(named, ready.set_result))
        media = await asyncio.to_thread(make_media, folder, lambda name: status.update(f"making {name}"))
        status.update("waiting for the agents to join their groups")
        either: set[asyncio.Future[Any]] = {ready, working}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if working.done():  # it failed, or was stopped before it was ready
        await working
        return []
    out.print(
        f"[green]ready[/] after {monotonic() - begun:.1f} s: broker {named.broker}, metrics {_metrics(ready.result())}"
    )
    scenario = asyncio.create_task(_scenario(named, media, folder, once=once, wanted=wanted))
    await asyncio.wait({scenario, working}, return_when=asyncio.FIRST_COMPLETED)
    if not scenario.done():  # Ctrl-C
        scenario.cancel()
        with suppress(asyncio.CancelledError):
            await scenario
        await working
        return []
    results = await scenario
    out.print(_table(results))
    if once:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
    else:
        _what_next(ready.result(), folder)
        await working
    return results


async def _work(named: Settings, ready: Callable[[Worker], None]) -> None:
    from streams.archive.serve import beside as archiver_beside

    async with archiver_beside(named):
        await until_stopped(named, ready)


async def _scenario(
    named: Settings, media: DemoMedia, folder: Path, *, once: bool, wanted: Sequence[int]
) -> list[Result]:
    board = _Board()
    with Live(get_renderable=board.table, console=out, refresh_per_second=8, transient=once):
        return await Runner(named, media, folder / "segments", board.see).run(wanted)


class _Board:
    """Each item's way, as it goes it. A livestream is one row: its segments go the same way."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], dict[str, list[str]]] = {}

    def see(self, seen: Seen) -> None:
        """Note what happened."""
        row = self._rows.setdefault((seen.case, _family(seen.item)), {})
        row.setdefault(seen.stage, []).append(seen.said)

    def table(self) -> Table:
        """The way of every item so far."""
        table = Table("case", "item", *STAGES, title="each item's way", title_justify="left")
        for (case, family), row in sorted(self._rows.items()):
            count = len(row.get("submitted", ()))
            item = f"{family} ×{count}" if count > 1 else family
            table.add_row(str(case), item, *(_cell(stage, row.get(stage, ())) for stage in STAGES))
        return table


def _family(item: str) -> str:
    """`stream-007.mp4` → `stream-….mp4`."""
    return re.sub(r"-\d{3}\.", "-….", item)


def _cell(stage: str, said: Sequence[str]) -> str:
    lines = []
    for words in dict.fromkeys(said):
        often = f" ×{said.count(words)}" if len(said) > 1 else ""
        if stage == "verdict":
            answer = "dead letter" if words.startswith("dead letter") else words.split(" ", 1)[0]
            lines.append(f"[{COLOURS.get(answer, 'cyan')}]{answer}{often}[/]")
        else:
            lines.append(f"[green]✓[/]{often}" if words in ("allow", "read") else words.replace(" ", "\n") + often)
    return "\n".join(lines)


def _table(results: Sequence[Result]) -> Table:
    table = Table(
        "", "item", "expected verdict", "verdict", "reasons", "seconds", title="the scenario", title_justify="left"
    )
    for result in results:
        case = result.case
        expected, got = (_counted([step.expect for step in case.steps]), _counted(result.verdicts))
        codes = dict.fromkeys(code for step in result.codes for code in step)
        table.add_row(
            f"{case.number}",
            case.name,
            expected,
            f"[green]{got}[/]" if not result.faults else f"[bold red]{got}[/]\n" + "\n".join(result.faults),
            "\n".join(codes),
            f"{max(result.seconds, default=0.0):.2f}",
        )
    good = sum(not result.faults for result in results)
    table.caption = f"{good} of {len(results)} cases as expected"
    return table


def _counted(words: Sequence[str]) -> str:
    """`publish ×6, block ×6` for a livestream, in the order of first appearance."""
    return ", ".join(f"{word} ×{words.count(word)}" if words.count(word) > 1 else word for word in dict.fromkeys(words))


def _metrics(worker: Worker) -> str:
    return f"http://{worker.settings.http_host}:{worker.health.port}/metrics"


def _what_next(worker: Worker, folder: Path) -> None:
    out.print(f"\nThe pipeline stays up. Metrics: {_metrics(worker)}   Ctrl-C ends it. Try, in another terminal:\n")
    command = "  .venv/bin/veristream"
    for line in (
        f"{command} submit {folder / 'sound.m4a'} --as alice",
        f"{command} submit {folder / 'ordinary.mp4'} --as alice --title '喝盐水可以预防核辐射'",
        f"{command} submit --live {folder / 'stream.mp4'} --segment 2 --realtime --as alice",
        f"{command} hashbank add {folder / 'ordinary.mp4'}   # and submit it again",
        f"{command} tail decisions verdicts takedowns",
    ):
        out.print(line, soft_wrap=True, markup=False)
