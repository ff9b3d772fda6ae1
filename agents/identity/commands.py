"""`publisher`, `identity`, `features`: the registry on the command line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agents.identity.digests import Digester, KeyFile, KeyFileError, rotate
from agents.identity.enrol import facts
from schemas.registry import Acceptance, Consent, NumberKind, Publisher, RealName
from schemas.topics import PUBLISHERS
from streams.cli.common import AsJson, Broker, err, fail, out, run, settings
from streams.cli.state import print_row, read_row, send

if TYPE_CHECKING:
    from streams.settings import Settings

publisher = typer.Typer(no_args_is_help=True, help="Register publishers and look them up.")
identity = typer.Typer(no_args_is_help=True, help="Keys for the digests of identity numbers.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(publisher, name="publisher")
    app.add_typer(identity, name="identity")


def _number(about: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(help=f"{about}; `-`: ask for it, so that no shell history keeps it")
    return option


@publisher.command("put")
def publisher_put(
    publisher_id: Annotated[str, typer.Argument()],
    broker: Broker = None,
    kind: Annotated[Literal["person", "organisation"], typer.Option()] = "person",
    real_name: Annotated[RealName, typer.Option(help="what the verifier found")] = "unverified",
    id_number: Annotated[str | None, _number("GB 11643")] = None,
    organisation_code: Annotated[str | None, _number("GB 32100")] = None,
    mobile: Annotated[str | None, _number("mobile number")] = None,
    passport: Annotated[str | None, _number("foreign passport")] = None,
    permit: Annotated[str | None, _number("residence or travel permit")] = None,
    agreement: Annotated[
        str | None, typer.Option(help="version of the service agreement that was accepted now")
    ] = None,
    consent: Annotated[str | None, typer.Option(help="reference of a guardian's consent, given now")] = None,
    device: Annotated[list[str] | None, typer.Option(help="digest of a device; may be repeated")] = None,
) -> None:
    """Register a publisher, or replace its row.

    Numbers are checked for their form here, in memory; what is sent is whether they pass, the month of birth and,
    where VERISTREAM_IDENTITY_KEYS names a key file, a keyed digest.
    """
    named = settings(broker=broker)
    now = datetime.now(UTC)
    given: dict[NumberKind, str | None] = {
        "id_number": id_number,
        "organisation_code": organisation_code,
        "mobile": mobile,
        "passport": passport,
        "permit": permit,
    }
    numbers = {name: _asked(name) if value == "-" else value for name, value in given.items() if value}
    try:
        known = facts(numbers, now.date(), digester(named))
    except KeyFileError as error:
        raise typer.Exit(fail(str(error))) from None
    row = Publisher(
        publisher_id=publisher_id,
        kind=kind,
        real_name=real_name,
        verified_at=now if real_name == "verified" else None,
        numbers=known.numbers,
        born=known.born,
        agreement=Acceptance(version=agreement, accepted_at=now) if agreement else None,
        consent=Consent(reference=consent, given_at=now) if consent else None,
        devices=tuple(device or ()),
    )
    run(send(named, [(PUBLISHERS, row)]))
    for number in {number.kind for number in known.numbers if number.form == "invalid"}:
        err.print(f"note: the {number.replace('_', ' ')} is not of the right form; the publisher will be held")
    out.print(f"publisher {publisher_id} is registered; the next event is judged by it")


def _asked(name: str) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(name.replace("_", " "), hide_input=True))
    return sys.stdin.readline().strip()


def digester(named: Settings) -> Digester | None:
    """Digests with the keys that the settings name; None where they name none."""
    return Digester(KeyFile(named.identity_keys)) if named.identity_keys else None


@publisher.command("show")
def publisher_show(publisher_id: str, broker: Broker = None, as_json: AsJson = False) -> None:
    """Show a publisher's row."""
    row = run(read_row(settings(broker=broker), PUBLISHERS, publisher_id))
    print_row(row, f"publisher {publisher_id!r}", as_json=as_json)


@identity.command("key")
def identity_key(
    name: Annotated[str, typer.Argument(help="of the new key, e.g. 2026-11")],
    file: Annotated[Path | None, typer.Option(help="[default: VERISTREAM_IDENTITY_KEYS]")] = None,
) -> None:
    """Add a random key to the key file, made if need be; the next digests are made with it.

    Older keys stay, so that rows digested before are still recognised: a row gets the new digest, beside the older
    ones, when its publisher is registered again.
    """
    path = file or settings().identity_keys
    if path is None:
        raise typer.Exit(fail("name the key file with --file or VERISTREAM_IDENTITY_KEYS"))
    try:
        rotate(path, name)
    except KeyFileError as error:
        raise typer.Exit(fail(str(error))) from None
    out.print(f"{path}: key {name} is in use from now on; back the file up where only its owner can read it")
