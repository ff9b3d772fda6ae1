"""`acls`: who may do what at the broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.console import AsJson, Broker, fail, out, run, settings

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from streams.acls import Right
    from streams.settings import Settings

acls = typer.Typer(no_args_is_help=True, help="List, give and check the rights of each role at the broker.")

Roles = Annotated[list[str], typer.Option("--role", "-r", help="as `veristream acls list` names them; may be repeated")]
User = Annotated[str, typer.Option("--user", "-u", help="of SASL, or a certificate's distinguished name (CN=…,O=…)")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(acls, name="acls")


def _rights(names: list[str], named: Settings) -> tuple[Right, ...]:
    from streams.acls import rights_of

    try:
        return rights_of(names, named)
    except ValueError as error:
        raise typer.Exit(fail(str(error))) from None


@acls.command("list")
def list_(
    role: Annotated[list[str] | None, typer.Option("--role", "-r", help="show its rights; may be repeated")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the roles, or with --role every right of some; asks no broker."""
    from streams.acls import roles

    named = settings()
    if role:
        for right in _rights(role, named):
            out.print(json.dumps(right._asdict()) if as_json else str(right), soft_wrap=True, markup=False)
        return
    table = Table("role", "who", "reads", "writes")
    for each in roles().values():
        reads, writes = ([topic.name for topic in topics] for topics in (each.reads, each.writes))
        if as_json:
            row = {"role": each.name, "about": each.about, "reads": reads, "writes": writes}
            out.print(json.dumps(row), soft_wrap=True, markup=False)
        table.add_row(each.name, each.about, *(_brief(names) for names in (reads, writes)))
    if not as_json:
        out.print(table)


def _brief(names: list[str]) -> str:
    from schemas.topics import TOPICS

    return "everything" if len(names) == len(TOPICS) else " ".join(names)


@acls.command()
def create(
    role: Roles,
    user: User,
    broker: Broker = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be given, and give nothing")] = False,
) -> None:
    """Give a user the rights of a role. None is taken away; run this as a user that may alter the cluster.

    The topics and groups are those of the settings in force: VERISTREAM_TOPIC_PREFIX, VERISTREAM_GROUP_PREFIX.
    """
    from streams.acls import give

    named = settings(broker=broker)
    rights = _rights(role, named)
    if dry_run:
        for right in rights:
            out.print(f"would give {user}: {right}", soft_wrap=True, markup=False)
        return
    _asked(give(named, user, rights))
    out.print(f"{user} has the {len(rights)} rights of {', '.join(role)}", soft_wrap=True, markup=False)


@acls.command()
def check(role: Roles, user: User, broker: Broker = None, as_json: AsJson = False) -> None:
    """Compare the rights that a user was given with those of its roles; exit 1 if any is missing, or is one more."""
    from streams.acls import compare_rights

    named = settings(broker=broker)
    held = _asked(compare_rights(named, user, _rights(role, named)))
    found = [("missing", str(right)) for right in held.missing] + [("more than needed", one) for one in held.more]
    for what, right in found:
        line = json.dumps({"what": what, "right": right}) if as_json else f"{what}: {right}"
        out.print(line, soft_wrap=True, markup=False)
    if held.missing and not as_json:
        given = " ".join(f"--role {name}" for name in role)
        out.print(f"→ veristream acls create {given} --user {user}", soft_wrap=True, markup=False)
    if not found and not as_json:
        out.print(f"{user} has the rights of {', '.join(role)}, and no others", soft_wrap=True, markup=False)
    raise typer.Exit(1 if found else 0)


def _asked(work: Coroutine[Any, Any, Any]) -> Any:
    from streams.admin import Unanswered

    try:
        return run(work)
    except Unanswered as refused:
        raise typer.Exit(
            fail(
                f"the broker does not answer about rights: {refused}. It needs an authorizer "
                "(authorizer.class.name), and this user the right to ALTER the cluster"
            )
        ) from None
