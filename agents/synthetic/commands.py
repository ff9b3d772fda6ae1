"""`label check`: does a file carry the label of GB 45438-2025, and is it right?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import UNSAFE, AsJson, fail, out, settings, shared_group

if TYPE_CHECKING:
    from agents.synthetic.report import Report

#: Exit codes: of files that are as they should be, with a fault, not readable.
FAULT, UNREADABLE = 1, 2
_SIGNS = {"compliant": "green", "non_compliant": "red", "not_found": "yellow", "inconclusive": "yellow"}
_WORDS = {
    "1": "is generated",
    "2": "may be generated",
    "3": "suspected to be generated",
}


def register(app: typer.Typer) -> None:
    """Add the command to the others on labels; before or after they are there."""
    shared_group(app, "label", "Labels of generated media (GB 45438-2025).").command("check")(check)


def check(
    files: Annotated[list[Path], typer.Argument(help="media files and pictures", show_default=False)],
    require: Annotated[
        bool, typer.Option("--require", help="a file without a label is a fault: all of these are generated")
    ] = False,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="PEM file of authorities whose Content Credentials are trusted [c2pa_trust]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the label in the metadata of files, and say what else they tell of their making. Nothing is decoded.

    Of each file one of four outcomes: **compliant**; **non_compliant**, with each fault by name; **not_found**;
    **inconclusive**, where something is there that cannot be read. Read are mp4, mov, m4a, mkv, webm, flv, avi, wav,
    mp3, flac, ogg, jpeg, png and webp.

    Content Credentials (C2PA) and tools that name themselves are told beside it. They are traces: no label, and no
    fault.

    Exit code: 0, every label is right, or none is there (with --require: every label is right); 1, a file is at fault;
    2, a file could not be read, or its label not.

    Example, of a media team's build: **veristream label check --require build/clip.mp4**
    """
    from agents.synthetic.provenance import Checker, checker
    from agents.synthetic.report import report_on

    settings()
    try:
        provenance = Checker(trust.read_text("utf-8")) if trust else checker()
    except (OSError, ValueError) as error:
        fail(f"--trust {trust}: {error}" if trust else str(error))
        sys.exit(UNREADABLE)
    faulty = unreadable = False
    for path in files:
        try:
            report = report_on(path, provenance)
        except OSError as error:
            unreadable = True
            fail(f"{_safe(str(path))}: {error.strerror or error}; name a file that can be read")
            if as_json:
                print(json.dumps({"file": str(path), "error": error.strerror or str(error)}))  # noqa: T201
            continue
        outcome = str(report.check.outcome)
        faulty = faulty or outcome == "non_compliant" or (require and outcome == "not_found")
        unreadable = unreadable or outcome == "inconclusive"
        if as_json:
            print(json.dumps({"file": str(path), **report.plain()}))  # noqa: T201
        else:
            _tell(path, report, require)
    sys.exit(FAULT if faulty else UNREADABLE if unreadable else 0)


def _tell(path: Path, report: Report, require: bool) -> None:
    check = report.check
    lines = [*check.faults]
    if check.label:
        lines.insert(0, f"Label {check.label}: {_WORDS[check.label]}; stands in {', '.join(check.places)}")
    if require and check.outcome == "not_found":
        lines.append("a label is required: write one with `veristream label write`")
    for field, provider in report.providers.items():
        role = f", {provider.role}" if provider.role else ""
        lines.append(f"{field}: organisation {provider.credit_code}{role} {provider.application}".rstrip())
    if c2pa := report.provenance:
        by = f", by {c2pa.generator}" if c2pa.generator else ""
        signer = f", signed by {c2pa.signer}" if c2pa.signer else ""
        lines.append(
            f"Content Credentials {c2pa.state}{by}{signer}: {', '.join(c2pa.source_types) or 'no source type'}"
        )
        lines += [f"Content Credentials: {problem}" for problem in c2pa.problems]
    lines += [f"trace: {trace.entry} names {trace.text}" for trace in report.traces]
    outcome = str(check.outcome)
    out.print(f"[{_SIGNS[outcome]}]{outcome:<14}[/]", end="")
    out.print(_safe(f"{path}  ({report.container or 'unknown container'})"), markup=False, soft_wrap=True)
    for line in lines:
        out.print(f"  {_safe(line)}", markup=False, soft_wrap=True)


def _safe(text: str) -> str:
    return UNSAFE.sub("\ufffd", text)
