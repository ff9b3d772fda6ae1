"""Options that several commands of `hashbank` have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from streams.cli.console import fail

if TYPE_CHECKING:
    from agents.review.exchange.table import Filter

Severity = Literal["low", "medium", "high", "highest"]
Kind = Literal["banned", "known_good"]

OneBank = Annotated[str | None, typer.Option("--bank", help="the list it belongs to [default: default]")]
OneKind = Annotated[Kind | None, typer.Option("--kind", help="known_good: the negative bank [default: banned]")]
OneSeverity = Annotated[
    Severity | None, typer.Option("--severity", help="the policy says what each means [default: high]")
]
Licence = Annotated[str | None, typer.Option(help="on what terms the hashes may be used, e.g. TLP:AMBER")]
Expires = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="until when it is matched (UTC)", metavar="DATE"),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="may be repeated")]

Banks = Annotated[list[str] | None, typer.Option("--bank", help="only of this bank; may be repeated")]
Sources = Annotated[list[str] | None, typer.Option("--source", help="only of this source; may be repeated")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="only of this kind", metavar="banned|known_good")]
Severities = Annotated[
    list[str] | None,
    typer.Option("--severity", help="only of this severity; may be repeated", metavar="low|medium|high|highest"),
]
Licences = Annotated[list[str] | None, typer.Option("--licence", help="only on these terms; may be repeated")]


def expiry(given: datetime | None) -> datetime | None:
    """The time until which an entry is matched; it has to come yet."""
    if given is None:
        return None
    until = given.replace(tzinfo=UTC)
    if until <= datetime.now(UTC):
        raise typer.Exit(fail(f"--expires {given:%Y-%m-%d}: has passed; an entry that has expired matches nothing"))
    return until


def wanted(
    bank: list[str] | None,
    source: list[str] | None,
    tag: list[str] | None,
    kind: list[str] | None,
    severity: list[str] | None,
    licence: list[str] | None,
    *,
    active: bool | None = None,
) -> Filter:
    """The entries that options like these mean."""
    from agents.review.exchange.table import Filter

    # Typer takes no list of words of a fixed choice.
    for option, given, choice in (("kind", kind, get_args(Kind)), ("severity", severity, get_args(Severity))):
        if unknown := [word for word in given or () if word not in choice]:
            raise typer.Exit(fail(f"--{option} {unknown[0]}: there are {', '.join(choice)}"))

    return Filter(
        banks=bank or (), sources=source or (), tags=tag or (), kinds=kind or (), severities=severity or (),
        licences=licence or (), active=active,
    )  # fmt: skip
