"""`complaints`: the entry for complaints, what is open, what was ruled, and the month's summary."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from streams.cli.console import AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from agents.complaints.report import Line, Summary
    from schemas.complaint import Complaint, ComplaintResult
    from schemas.message import Message
    from schemas.topics import Topic
    from streams.settings import Settings

complaints = typer.Typer(no_args_is_help=True, help="Take complaints in, rule on them, and sum them up.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(complaints, name="complaints")


@complaints.command("serve")
def complaints_serve(
    broker: Broker = None,
    host: Annotated[str | None, typer.Option(help="[default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="0: any free port [default: 8081]")] = None,
) -> None:
    """Run the entry for complaints: a page, POST /complaints, GET /complaints/RECEIPT, and probes.

    Whoever sends a complaint gets a receipt only once the broker has it; without the receipt nobody sees its result.
    """
    from agents.complaints.serve import serve

    named = settings(broker=broker, complaints_host=host, complaints_port=port)
    run(serve(named, lambda at: err.print(f"ready: complaints are taken at http://{named.complaints_host}:{at}/")))


@complaints.command("list")
def complaints_list(
    broker: Broker = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="only those whose promised time is over")] = False,
    as_json: AsJson = False,
) -> None:
    """List complaints without a result, the most urgent first, with what they say."""
    found = run(_open(settings(broker=broker)))
    now = datetime.now(UTC)
    rows = sorted((row for row in found if not overdue or now >= row[1].due_at), key=lambda row: row[1].due_at)
    for complaint, result in rows:
        late = now >= result.due_at
        if as_json:
            row = {name: getattr(complaint, name) for name in ("complaint_id", "kind", "publisher_id", "content_id")}
            row |= {"state": result.state, "due_at": result.due_at.isoformat(), "overdue": late, "text": complaint.text}
            row["attachments"] = [media.uri for media in complaint.attachments]
            out.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False, emoji=False)
        else:
            mark = "OVERDUE" if late else result.state
            head = f"{complaint.complaint_id}  {mark}  due {result.due_at:%Y-%m-%d %H:%M}Z  {complaint.kind}"
            where = f"publisher {complaint.publisher_id}  item {complaint.content_id}"
            # Texts are strangers' words: no control character of theirs reaches the terminal.
            words = "".join(char if char.isprintable() else " " for char in complaint.text)
            out.print(f"{head}  {where}\n    {words}", soft_wrap=True, markup=False, emoji=False)
    if not as_json:
        err.print(f"{len(rows)} open" + (", overdue" if overdue else ""))


async def _open(named: Settings) -> list[tuple[Complaint, ComplaintResult]]:
    from schemas.complaint import Complaint, ComplaintResult
    from schemas.topics import COMPLAINT_RESULTS, COMPLAINTS

    filed: dict[str, Complaint] = {}
    results: dict[str, ComplaintResult] = {}
    async for message in _lying(named, (COMPLAINTS, COMPLAINT_RESULTS)):
        if isinstance(message, Complaint):
            filed[message.complaint_id] = message
        elif isinstance(message, ComplaintResult):
            results[message.complaint_id] = message
            if message.state in ("upheld", "rejected"):
                filed.pop(message.complaint_id, None)
    return [
        (complaint, results[name])
        for name, complaint in filed.items()
        if name in results and results[name].state not in ("upheld", "rejected")
    ]


async def _lying(named: Settings, topics: Sequence[Topic]) -> AsyncIterator[Message]:
    """What lies on the topics now, message by message; what cannot be read is passed over."""
    from schemas.message import Refused, decode
    from schemas.topics import TOPICS
    from streams.client import Feed

    async with Feed(named, topics, from_beginning=True) as feed:
        ended = False
        while not ended:
            ended = await feed.at_end()
            for record in await feed.read(0.3):
                try:
                    yield decode(TOPICS[record.topic].message, record.value or b"")
                except Refused:
                    continue


@complaints.command("rule")
def complaints_rule(
    complaint_id: Annotated[str, typer.Argument()],
    publisher: Annotated[str, typer.Option(help="whose item it is")],
    upheld: Annotated[bool, typer.Option("--upheld/--rejected", help="whether the complaint is right")],
    reviewer: Annotated[str, typer.Option(help="who rules")],
    reason: Annotated[str, typer.Option(help="why; for the record, the complainant does not see it")],
    article: Annotated[str, typer.Option(help="which the ruling rests on, e.g. AVP-9")] = "",
    broker: Broker = None,
) -> None:
    """Rule on a complaint: its complainant is told, and what they complain of next weighs more or less."""
    from schemas.sanction import Ruling
    from schemas.topics import RULINGS
    from streams.cli.state import send

    ruling = Ruling(
        ruling_id=str(uuid4()),
        publisher_id=publisher,
        outcome="upheld" if upheld else "reversed",
        reviewer_id=reviewer,
        reason=reason,
        ruled_at=datetime.now(UTC),
        complaint_id=complaint_id,
        article=article,
    )
    run(send(settings(broker=broker), [(RULINGS, ruling)]))
    out.print(f"complaint {complaint_id} is {'upheld' if upheld else 'rejected'}")


@complaints.command("report")
def complaints_report(
    month: Annotated[str, typer.Option(help="of China Standard Time, e.g. 2026-11")],
    broker: Broker = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated, with a header")] = False,
) -> None:
    """Sum a month up: decisions, takedowns, labels, refutations, sanctions, and complaints with what became of them."""
    from agents.complaints.report import Line, Summary, month_of

    try:
        summary = Summary(*month_of(month), now=datetime.now(UTC))
    except ValueError as error:
        raise typer.Exit(fail(f"--month: {error}")) from None
    lines: list[Line] = run(_summed(settings(broker=broker), summary))
    if as_json:
        for line in lines:
            out.print(json.dumps(line._asdict(), ensure_ascii=False), soft_wrap=True, markup=False, emoji=False)
    elif as_csv:
        rows = csv.writer(sys.stdout)
        rows.writerows([Line._fields, *lines])
    else:
        from rich.table import Table

        table = Table(*Line._fields, title=f"{month}, China Standard Time", title_justify="left")
        for line in lines:
            table.add_row(*map(str, line))
        out.print(table)


async def _summed(named: Settings, summary: Summary) -> list[Line]:
    from agents.complaints.report import SOURCES

    async for message in _lying(named, SOURCES):
        summary.add(message)
    return summary.lines()
