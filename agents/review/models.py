"""`models`: which models look at items, and whether those that the platform brought are fit for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from streams.cli.console import AsJson, fail, out, settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(models)


def models(
    folder: Annotated[
        Path | None,
        typer.Argument(help="manifests to check before they are put into force [default: the setting models_dir]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the detectors' models, and check the classifiers of your own by their manifests (docs/models.md).

    A model whose error was not measured looks at items too, but its signals are called trial.NAME, and nothing follows
    from them. Exit code 1 if one is refused; what is wrong with it is said field by field.
    """
    from agents.review.manifest import manifests
    from agents.review.plugin import Model
    from schemas.message import Refused
    from streams.registered import installed

    named = settings()
    rows: list[dict[str, Any]] = [
        {"model": name, "version": kind.version, "licence": "", "state": "ships", "signals": [], "measured": []}
        for name, kind in installed("veristream.detectors", named.detectors).items()
        if name != "plugin"
    ]
    refused: list[str] = []
    for found in manifests(folder or named.models_dir):
        manifest = found.manifest
        try:
            if manifest is None:
                raise Refused("", found.why.removeprefix(f"{found.path.name}: "))
            Model(manifest, found.model())
        except Refused as error:
            refused.append(f"{found.path.name}: {error}")
            continue
        armed = [one for one in manifest.signals if one.measured]
        rows.append(
            {
                "model": manifest.name,
                "version": manifest.version,
                "licence": manifest.licence,
                "state": "armed" if len(armed) == len(manifest.signals) else "trial: an error was not measured",
                "signals": [one.signal for one in manifest.signals],
                "measured": [f"{one.name}: {measured.said}" for one in manifest.signals for measured in one.measured],
            }
        )
    if as_json:
        for row in rows:
            out.print(json.dumps(row, ensure_ascii=False), soft_wrap=True, markup=False)
    else:
        shown = Table("model", "version", "licence", "state", "signals", "measured")
        for row in rows:
            cells = [row[name] for name in ("model", "version", "licence", "state")]
            cells += ["\n".join(row["signals"]), "\n".join(row["measured"])]
            shown.add_row(*map(escape, cells))
        out.print(shown)
    for why in refused:
        fail(f"refused: {why}")
    raise typer.Exit(1 if refused else 0)
