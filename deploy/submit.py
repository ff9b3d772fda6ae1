"""`submit`: what a platform's ingest tier does, from the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer
from rich.table import Table

from streams.cli.console import EXIT_BLOCKED, EXIT_HELD, EXIT_NO_ANSWER, AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from schemas.event import Segment, Upload
    from schemas.verdict import Verdict
    from streams.settings import Settings

#: A verdict as a person should see it.
COLOURS = {"publish": "green", "publish_labelled": "yellow", "hold": "magenta", "block": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(
    files: Annotated[list[Path], typer.Argument(help="media files", exists=True, dir_okay=False, readable=True)],
    broker: Broker = None,
    publisher: Annotated[str, typer.Option("--as", help="publisher_id")] = "demo",
    provider: Annotated[str, typer.Option(help="provider_id")] = "demo-provider",
    service: Annotated[str | None, typer.Option(help="e.g. short_video, live, audio")] = None,
    title: Annotated[str, typer.Option()] = "",
    description: Annotated[str, typer.Option()] = "",
    tag: Annotated[list[str] | None, typer.Option(help="may be repeated")] = None,
    category: Annotated[str, typer.Option(help="e.g. news")] = "",
    declared_synthetic: Annotated[
        bool | None,
        typer.Option("--declared-synthetic/--declared-real", help="what the publisher says [default: nothing]"),
    ] = None,
    feature: Annotated[str | None, typer.Option(help="feature_id of the tool that it was made with")] = None,
    content_id: Annotated[
        str | None, typer.Option(help="of an item that is sent again, e.g. its labelled copy")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="cut the file into segments, as a livestream")] = False,
    segment: Annotated[float, typer.Option(help="seconds of one segment", min=0.2)] = 5.0,
    realtime: Annotated[
        bool, typer.Option(help="send segments as a livestream would, one every --segment seconds")
    ] = False,
    timeout: Annotated[float, typer.Option(help="seconds to wait for the verdicts")] = 150.0,
    as_json: AsJson = False,
) -> None:
    """Upload files, or one file as a livestream, and wait for the verdicts.

    Puts the media into the store (VERISTREAM_STORE), sends an event for each, and prints what comes back.

    Exit code: 0 all are published, 3 something is held, 4 something is blocked, 5 no verdict came in time, 1 error.
    """
    if live and len(files) != 1:
        raise typer.Exit(fail("--live takes one file: a livestream is one stream"))
    if content_id and (live or len(files) != 1):
        raise typer.Exit(fail("--content-id names one item: submit one file with it"))
    fields: dict[str, Any] = {
        "provider_id": provider,
        "title": title,
        "description": description,
        "tags": tuple(tag or ()),
        "category": category,
        "declared_synthetic": declared_synthetic,
        "feature_id": feature,
    }
    if service:
        fields["service"] = service
    if content_id:
        fields["content_id"] = content_id
    named = settings(broker=broker)
    pace = segment if realtime else 0.0
    with TemporaryDirectory(prefix="veristream-submit-") as folder:
        items = list(_segments(files[0], Path(folder), segment)) if live else [(path, {}) for path in files]
        plan = [(path, fields | extra) for path, extra in items]
        verdicts = run(_submit(named, publisher, plan, pace=pace, timeout_s=timeout, as_json=as_json))
    raise typer.Exit(_exit_code(verdicts, len(plan)))


def _segments(path: Path, folder: Path, seconds: float) -> Iterator[tuple[Path, dict[str, Any]]]:
    from deploy.demo.segments import cut_segments

    stream = f"{path.stem}-{uuid4().hex[:8]}"
    for part in cut_segments(path, folder, seconds):
        yield (
            part.path,
            {
                "stream_id": stream,
                "content_id": f"{stream}/{part.seq}",
                "seq": part.seq,
                "start_s": part.start_s,
                "duration_s": part.duration_s,
                "last": part.last,
            },
        )


async def _submit(
    named: Settings,
    publisher: str,
    plan: list[tuple[Path, dict[str, Any]]],
    *,
    pace: float,
    timeout_s: float,
    as_json: bool,
) -> list[Verdict]:
    from schemas.topics import VERDICTS
    from streams.client import Client, Feed, new_event, stored

    waiting: dict[str, tuple[Path, Upload | Segment]] = {}
    got: list[Verdict] = []
    async with Client(named) as client, Feed(named, [VERDICTS]) as feed:
        answers = asyncio.create_task(_answers(feed, waiting, len(plan), timeout_s + pace * len(plan)))
        for number, (path, fields) in enumerate(plan):
            if number and pace:
                await asyncio.sleep(pace)
            event = new_event(await stored(path, named.store), publisher, **fields)
            waiting[event.event_id] = (path, event)
            await client.submit(event)
        with err.status(f"waiting for {len(plan)} verdict{'s' if len(plan) > 1 else ''}"):
            got = await answers
    _print([(waiting[verdict.event_id][0], verdict) for verdict in got], as_json=as_json)
    for path, event in waiting.values():
        if event.event_id not in {verdict.event_id for verdict in got}:
            err.print(
                f"{path.name}: no verdict within {timeout_s:.0f} s. Does a worker run? `veristream doctor` looks."
            )
    return got


async def _answers(feed: Any, waiting: dict[str, Any], wanted: int, timeout_s: float) -> list[Verdict]:
    from schemas.message import decode
    from schemas.verdict import Verdict

    found: dict[str, Verdict] = {}
    deadline = monotonic() + timeout_s
    while len(found) < wanted and monotonic() < deadline:
        for record in await feed.read(0.2):
            if record.value is not None:
                verdict = decode(Verdict, record.value)
                if verdict.event_id in waiting:
                    found[verdict.event_id] = verdict
    return list(found.values())


def _print(rows: Iterable[tuple[Path, Verdict]], *, as_json: bool) -> None:
    from schemas.message import encode
    from schemas.reasons import CATALOGUE

    table = Table("item", "verdict", "why", "what now", "seconds")
    for path, verdict in rows:
        if as_json:
            out.print_json(json.dumps({"file": str(path)} | json.loads(encode(verdict))), indent=None)
            continue
        codes = list(dict.fromkeys(reason.code for reason in verdict.reasons))
        remedy = CATALOGUE[codes[0]].remedy if codes else ""
        table.add_row(
            path.name,
            f"[{COLOURS[verdict.verdict]}]{verdict.verdict}[/]",
            "\n".join(codes),
            remedy,
            f"{verdict.latency_s:.2f}",
        )
    if not as_json:
        out.print(table)


def _exit_code(verdicts: list[Verdict], wanted: int) -> int:
    answers = {verdict.verdict for verdict in verdicts}
    if len(verdicts) < wanted:
        return EXIT_NO_ANSWER
    return EXIT_BLOCKED if "block" in answers else EXIT_HELD if "hold" in answers else 0
