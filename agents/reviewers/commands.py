"""`reviews`: what waits for people, who has taken it, what they rule, and how often they confirm what agents ask."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.console import AsJson, Broker, err, fail, out, run, settings

if TYPE_CHECKING:
    from agents.reviewers.people import Task
    from schemas.policy import Policy
    from schemas.worklist import WorkItem
    from streams.settings import Settings

reviews = typer.Typer(
    no_args_is_help=True,
    help="See what waits for people, take it, and rule on it.",
    epilog="A reviewer's day: `reviews claim --next -r ME`, look at it, `reviews rule REVIEW keep -r ME --reason …`.",
)

Name = Annotated[str, typer.Argument(help="as `veristream reviews list` prints it; its first letters will do")]
Reviewer = Annotated[
    str, typer.Option("--reviewer", "-r", envvar="VERISTREAM_REVIEWER", help="who you are; kept with what you do")
]
Days = Annotated[float, typer.Option(help="how far back the work list is read")]
Outcome = Literal["keep", "remove", "label", "escalate"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(reviews, name="reviews")


@reviews.command("list")
def reviews_list(
    broker: Broker = None,
    free: Annotated[bool, typer.Option("--free", help="only what nobody has taken")] = False,
    mine: Annotated[str | None, typer.Option(help="only what this reviewer has taken", metavar="REVIEWER")] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="only those whose promised time is over")] = False,
    severity: Annotated[str | None, typer.Option(help="only of this severity: low, medium, high, highest")] = None,
    agent: Annotated[str | None, typer.Option(help="only what this agent asks")] = None,
    publisher: Annotated[str | None, typer.Option("--publisher", "-p", help="only items of this publisher")] = None,
    everything: Annotated[bool, typer.Option("--all", help="also what is settled")] = False,
    limit: Annotated[int, typer.Option(min=1, help="so many at most, the most urgent; --json has all")] = 40,
    days: Days = 30.0,
    as_json: AsJson = False,
) -> None:
    """List what waits for people, the most urgent first: by severity, reach, and how much of its time is over."""
    from agents.reviewers.tables import print_json, print_tasks
    from schemas.policy import SEVERITIES

    if severity is not None and severity not in SEVERITIES:
        raise typer.Exit(fail(f"--severity: {severity!r} is none of {', '.join(SEVERITIES)}"))
    named, now = settings(broker=broker), datetime.now(UTC)
    found = [
        task
        for task in _tasks(named, days, now)
        if (everything or task.is_open)
        and not (free and task.holding)
        and (mine is None or (task.holding is not None and task.holding.reviewer_id == mine))
        and (not overdue or task.overdue)
        and severity in (None, task.question.severity)
        and agent in (None, task.question.agent)
        and publisher in (None, task.item.publisher_id)
    ]
    if as_json:
        print_json(found)
        return
    print_tasks(found[:limit], now)
    more = f", the first {limit} shown" if len(found) > limit else ""
    err.print(f"{len(found)} {'in all' if everything else 'waiting'}{more}")


@reviews.command("show")
def reviews_show(name: Name, broker: Broker = None, days: Days = 30.0, as_json: AsJson = False) -> None:
    """Show one review: why it is asked, with the evidence, what else was decided on its item, and what people said.

    The name may also be that of an event or a content: then all that is asked about it.
    """
    from agents.reviewers.people import evidence
    from agents.reviewers.tables import print_item, print_json

    named, now = settings(broker=broker), datetime.now(UTC)
    found = _found(_tasks(named, days, now), name)
    if as_json:
        print_json(found)
        return
    for task in found:
        print_item(task, run(evidence(named, task, now)), now)


@reviews.command("claim")
def reviews_claim(
    reviewer: Reviewer,
    name: Annotated[str | None, typer.Argument(help="which review", show_default=False)] = None,
    take_next: Annotated[bool, typer.Option("--next", help="the most urgent that is free")] = False,
    broker: Broker = None,
    days: Days = 30.0,
    as_json: AsJson = False,
) -> None:
    """Take a review, so that nobody else works on it. It is yours for the policy's `reviewers.claim_minutes`.

    Of two who take the same at once one gets it; the other is told who has it, with exit code 1.
    """
    from agents.reviewers.people import claim, free_for
    from agents.reviewers.tables import print_item, print_json

    if (name is None) != take_next:
        raise typer.Exit(fail("name a review, or say --next"))
    named = settings(broker=broker)
    while True:
        now = datetime.now(UTC)
        found = _tasks(named, days, now)
        wanted = _one(found, name) if name else next((task for task in found if free_for(task, reviewer)), None)
        if wanted is None:
            raise typer.Exit(fail("nothing is free: `veristream reviews list` shows who has what"))
        if name and not free_for(wanted, reviewer):
            raise typer.Exit(fail(_taken(wanted, reviewer)))
        given = _done(claim(named, wanted, reviewer))
        if given and given.reviewer_id == reviewer:
            break
        if name:
            by = f"{given.reviewer_id} has it until {given.until:%H:%M}Z" if given else "it is not open any more"
            raise typer.Exit(fail(f"review {wanted.question.review_id}: {by}"))
    wanted = wanted._replace(holding=given)
    if as_json:
        print_json([wanted])
        return
    print_item(wanted, None, now)
    out.print(f"review {wanted.question.review_id} is yours until {given.until:%Y-%m-%d %H:%M}Z", markup=False)


@reviews.command("release")
def reviews_release(name: Name, reviewer: Reviewer, broker: Broker = None, days: Days = 30.0) -> None:
    """Give a review back, so that others may take it."""
    from agents.reviewers.people import release

    named = settings(broker=broker)
    task = _one(_tasks(named, days, datetime.now(UTC)), name)
    if task.holding is None or task.holding.reviewer_id != reviewer:
        by = f"{task.holding.reviewer_id} has it" if task.holding else "nobody has it"
        raise typer.Exit(fail(f"review {task.question.review_id} is not yours: {by}"))
    _done(release(named, task, reviewer))
    out.print(f"review {task.question.review_id} is free again", markup=False)


@reviews.command("rule")
def reviews_rule(
    name: Annotated[str, typer.Argument(help="a review; with --item also an event or a content")],
    outcome: Annotated[Outcome, typer.Argument(help="what becomes of the item")],
    reviewer: Reviewer,
    reason: Annotated[str, typer.Option(help="why; kept with the ruling")],
    article: Annotated[str, typer.Option(help="which it rests on, e.g. AVP-9 [default: by the outcome]")] = "",
    bank: Annotated[
        Literal["banned", "known_good"] | None,
        typer.Option(help="put the item's hashes there: banned with remove, known_good with keep or label"),
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=0, max=3, help="of a label: 1 is generated, 2 may be, 3 suspected, 0 a notice")
    ] = None,
    text: Annotated[str | None, typer.Option(help="of a label: what people read [default: the policy's words]")] = None,
    item: Annotated[bool, typer.Option("--item", help="on the item as a whole: every agent is set aside")] = False,
    publisher: Annotated[
        str | None, typer.Option("--publisher", "-p", help="of an item that is not on the work list: whose it is")
    ] = None,
    content: Annotated[str | None, typer.Option(help="of an item that is not on the work list: its content_id")] = None,
    force: Annotated[bool, typer.Option("--force", help="also on what another reviewer has taken")] = False,
    broker: Broker = None,
    days: Days = 30.0,
    as_json: AsJson = False,
) -> None:
    """Rule on a review: it wins over the agents, and the item's verdict follows.

    keep: what was asked does not hold; whoever else stops the item still does. remove: away with it. label: publish it
    with a label. escalate: somebody else must say. An item that is long off the work list is named by its event, with
    --item, --publisher and --content.
    """
    import msgspec

    from agents.reviewers.people import answer, ruling

    named = settings(broker=broker)
    label = _label(named, outcome, level, text)
    about = _about(named, name, reviewer, days, item=item, publisher=publisher, content=content, force=force)
    try:
        made = ruling(reviewer, outcome, reason, about, article=article, bank=bank, label=label)
    except ValueError as error:
        raise typer.Exit(fail(str(error))) from None
    row = _done(answer(named, made))
    if as_json:
        out.print(msgspec.json.encode(row).decode(), soft_wrap=True, markup=False)
        return
    out.print(f"ruling {made.ruling_id}: {_came_to(row, made.ruling_id)}", markup=False, soft_wrap=True)


@reviews.command("report")
def reviews_report(
    broker: Broker = None,
    days: Days = 30.0,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="comma-separated, with a header")] = False,
) -> None:
    """Show how often people confirm what they are asked, by reason code and version of the policy.

    A removal or a label confirms, a keep does not. The interval is Wilson's at 95 %.
    """
    from agents.reviewers.people import work
    from agents.reviewers.report import precision
    from agents.reviewers.tables import print_precision

    rows = precision(run(work(settings(broker=broker), days)).values())
    print_precision(rows, as_json=as_json, as_csv=as_csv)


def _policy(named: Settings) -> Policy:
    from schemas.message import decode
    from schemas.policy import Policy, default_policy
    from schemas.topics import POLICIES
    from streams.cli.state import read_row

    row = run(read_row(named, POLICIES, named.policy))
    return decode(Policy, row) if row else default_policy(named.policy)


def _tasks(named: Settings, days: float, now: datetime) -> list[Task]:
    from agents.reviewers.people import tasks, work

    return tasks(run(work(named, days)).values(), _policy(named).reviewers, now)


def _found(tasks: list[Task], name: str) -> list[Task]:
    """Those that a name means: reviews whose id begins so, else all of an event or content."""
    found = [task for task in tasks if task.question.review_id.startswith(name)]
    found = found or [task for task in tasks if name in (task.item.event_id, task.item.content_id)]
    if not found:
        raise typer.Exit(fail(f"{name!r} is not on the work list; `veristream reviews list --all --days 184` has all"))
    return found


def _one(tasks: list[Task], name: str) -> Task:
    found = _found(tasks, name)
    if len(found) > 1:
        ids = ", ".join(task.question.review_id for task in found[:10])
        raise typer.Exit(fail(f"{name!r} means {len(found)} reviews: {ids}"))
    return found[0]


def _item(named: Settings, name: str, days: float) -> WorkItem:
    """The item that a name means: its event, content, a decision or a review on it. Also one that was stopped and that
    nobody was asked about."""
    from agents.reviewers.people import work

    rows: dict[str, WorkItem] = run(work(named, days))
    found = [row for row in rows.values() if name in _names(row)]
    if not found:
        raise typer.Exit(fail(f"{name!r} is not on the work list: name the event, with --publisher and --content"))
    if len(found) > 1:
        raise typer.Exit(fail(f"{name!r} means {len(found)} items: {', '.join(row.event_id for row in found[:10])}"))
    return found[0]


def _names(row: WorkItem) -> set[str]:
    asked = {each.review_id for each in row.questions} | {each.decision_id for each in row.questions}
    return {row.event_id, row.content_id, *asked, *(each.decision_id for each in row.positions), *row.decisions}


def _taken(task: Task, reviewer: str) -> str:
    """Why a reviewer may not take a task."""
    review = f"review {task.question.review_id}"
    if task.holding and task.holding.reviewer_id != reviewer:
        return f"{review}: {task.holding.reviewer_id} has it until {task.holding.until:%H:%M}Z"
    if not task.is_open:
        return f"{review} is {task.question.state}: {task.question.outcome or 'another review asks on'}"
    return f"{review}: you have ruled on it; a second person must"


def _about(
    named: Settings,
    name: str,
    reviewer: str,
    days: float,
    *,
    item: bool,
    publisher: str | None,
    content: str | None,
    force: bool,
) -> dict[str, Any]:
    """The fields of a ruling that say on what it is."""
    from agents.reviewers.people import about_item, free_for

    if publisher or content:
        if not (item and publisher and content):
            raise typer.Exit(fail("an item that is not on the work list is named by --item, --publisher and --content"))
        return {"publisher_id": publisher, "event_id": name, "content_id": content}
    if item:
        return about_item(_item(named, name, days))
    task = _one(_tasks(named, days, datetime.now(UTC)), name)
    if not force and not free_for(task, reviewer):
        hint = "" if not task.is_open else " (--force rules nevertheless)"
        if task.question.state == "settled":
            hint = " (--force changes that)"
        raise typer.Exit(fail(_taken(task, reviewer) + hint))
    return about_item(task.item) | {"review_id": task.question.review_id, "decision_id": task.question.decision_id}


def _label(named: Settings, outcome: str, level: int | None, text: str | None) -> Any:
    from schemas.decision import LabelTerms

    if outcome != "label":
        if level is not None or text is not None:
            raise typer.Exit(fail("--level and --text belong to the outcome label"))
        return None
    if level is None:
        raise typer.Exit(fail("--level is missing: 1 is generated, 2 may be, 3 suspected, 0 a notice of another kind"))
    terms = _policy(named)
    words = {
        0: terms.rumor.notice,
        1: terms.synthetic.text_generated,
        2: terms.synthetic.text_possible,
        3: terms.synthetic.text_suspected,
    }
    return LabelTerms(level=level, text=text or words[level])


def _came_to(row: WorkItem, ruling_id: str) -> str:
    """What a ruling did, in a sentence."""
    vote = next(vote for vote in row.votes if vote.ruling_id == ruling_id)
    question = next((each for each in row.questions if each.review_id == vote.on), None)
    bank = f"; its hashes go into the bank as {vote.bank}" if vote.bank else ""
    if question is None or question.state == "settled":
        return f"{row.content_id} is to {vote.outcome}{bank}"
    if question.state == "second":
        return f"a second reviewer must agree before {vote.outcome} takes effect"
    return "others are asked now: " + next(e.review_id for e in row.questions if e.escalates == vote.on)


def _done(work: Coroutine[Any, Any, Any]) -> Any:
    """Do it; a refusal is said in its sentence."""
    from agents.reviewers.people import NoAnswer
    from schemas.message import Refused

    try:
        return run(work)
    except Refused as refused:
        raise typer.Exit(fail(f"refused: {refused}")) from None
    except NoAnswer as error:
        raise typer.Exit(fail(str(error))) from None
