"""`publisher`, `registrar`, `identity`, `features`: the registry on the command line."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from agents.identity.digests import Digester, KeyFile, KeyFileError, rotate
from agents.identity.enrol import facts
from schemas.message import Refused, decode, encode
from schemas.registry import Acceptance, Consent, Feature, NumberKind, Publisher, RealName
from schemas.topics import FEATURES, PUBLISHERS
from streams.cli.console import AsJson, Broker, err, fail, out, run, settings
from streams.cli.state import print_row, read_row, send

if TYPE_CHECKING:
    from streams.settings import Settings

publisher = typer.Typer(no_args_is_help=True, help="Register publishers and look them up.")
registrar = typer.Typer(no_args_is_help=True, help="Register publishers over HTTP.")
features = typer.Typer(no_args_is_help=True, help="Creation features and their safety assessments.")
identity = typer.Typer(no_args_is_help=True, help="Keys for the digests of identity numbers.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(publisher, name="publisher")
    app.add_typer(registrar, name="registrar")
    app.add_typer(features, name="features")
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


@registrar.command("serve")
def registrar_serve(
    broker: Broker = None,
    host: Annotated[str | None, typer.Option(help="where it listens [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="[default: 9465]")] = None,
) -> None:
    """Register publishers over HTTP: `PUT /publishers/ID` with {kind, numbers, name, agreement, consent, devices}.

    Numbers are checked, verified and digested in memory; none is ever sent to a topic or written to a log. Where it
    can be reached from elsewhere, VERISTREAM_REGISTRAR_TOKEN must be set, and TLS is for a proxy before it to add.
    """
    named = settings(broker=broker, registrar_host=host, registrar_port=port)
    run(_serve(named))


async def _serve(named: Settings) -> None:
    from agents.identity.registrar import Registrar, serve
    from agents.identity.verifier import verifier_of

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def ready(registrar: Registrar) -> None:
        err.print(f"ready: PUT http://{named.registrar_host}:{registrar.port}/publishers/ID", soft_wrap=True)

    await serve(named, verifier_of(named), stop=stop, ready=ready)


@features.command("list")
def features_list(
    broker: Broker = None,
    missing: Annotated[bool, typer.Option("--missing", help="only those without an assessment in force")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the creation features, and until when each one's safety assessment is valid (Provisions, Art. 10)."""
    now = datetime.now(UTC)
    found = sorted(run(_features(settings(broker=broker))), key=lambda feature: feature.feature_id)
    shown = [feature for feature in found if not missing or lacks(feature, now)]
    if as_json:
        for feature in shown:
            out.print(encode(feature).decode(), soft_wrap=True, markup=False)
        return
    table = Table("feature", "name", "assessment")
    for feature in shown:
        until = f"valid until {feature.assessment.valid_until:%Y-%m-%d}" if feature.assessment else ""
        table.add_row(escape(feature.feature_id), escape(feature.name), lacks(feature, now) or until)
    out.print(table)


async def _features(named: Settings) -> list[Feature]:
    from streams.client import Feed

    rows: dict[str, Feature] = {}
    async with Feed(named, [FEATURES], from_beginning=True) as feed:
        while not await feed.at_end():
            for record in await feed.read(0.3):
                rows.pop(record.key, None)
                if record.value is not None:
                    try:
                        rows[record.key] = decode(Feature, record.value)
                    except Refused as refused:
                        err.print(f"note: row {record.key!r} cannot be read: {refused}", markup=False)
    return list(rows.values())


def lacks(feature: Feature, now: datetime) -> str:
    """What a feature's assessment lacks; empty if it is in force."""
    if feature.assessment is None:
        return "none"
    return "" if feature.assessment.valid_until > now else f"expired {feature.assessment.valid_until:%Y-%m-%d}"


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
