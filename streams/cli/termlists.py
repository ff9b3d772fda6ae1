"""Long lists of terms and links in files beside a policy: read, checked, and cut into parts.

In a policy file, `[[review.term_lists]]` names a file; on the wire it names a digest, see `schemas.lists`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

#: Faults of a list that are told at once: the first show what is wrong with the rest.
TOLD = 20
#: Columns of a .csv file. Of `unless`, phrases are parted by `|`.
COLUMNS = ("text", "pattern", "category", "action", "severity", "boundary", "disguises", "unless")
#: What an entry of `term_lists` may say for all of its file, where the file does not say otherwise.
DEFAULTS = ("category", "action", "severity")


class ListFault(ValueError):
    """A list cannot be used; the text says which, where and why."""


class Read(NamedTuple):
    """A policy as it goes over the wire, and the parts of its lists. `counts`: list → how many entries."""

    tree: dict[str, Any]
    parts: list[Any]
    counts: Mapping[str, int]


def resolved(tree: dict[str, Any], folder: Path) -> Read:
    """The policy with each list that names a file replaced by the list's digest. `folder`: where files lie.

    Raises:
        ListFault: a file cannot be read, or lines of it are no terms or links; names the first of them.
    """
    from schemas.lists import parted
    from schemas.message import encode

    review = tree.get("review")
    entries = review.get("term_lists") if isinstance(review, dict) else None
    if not isinstance(entries, list):
        return Read(tree, [], {})
    found: list[Any] = []
    parts: list[Any] = []
    counts = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "file" not in entry:
            found.append(entry)  # it is in the form of the wire already, or the schema says what is wrong with it
            continue
        name = entry.get("name")
        if not isinstance(name, str) or not name:
            raise ListFault(f"review.term_lists[{number}].name: give the list a name")
        terms, links = _read(folder / str(entry["file"]), entry, f"review.term_lists[{number}]")
        ref, some = parted(name, terms, links)
        counts[name] = ref.entries
        parts += some
        found.append(json.loads(encode(ref)))
    return Read({**tree, "review": {**(review or {}), "term_lists": found}}, parts, counts)


def _read(path: Path, entry: Mapping[str, Any], field: str) -> tuple[list[Any], list[Any]]:
    from schemas.message import Refused, convert
    from schemas.policy import Link, Term

    if unknown := sorted(set(entry) - {"name", "file", *DEFAULTS}):
        raise ListFault(f"{field}.{unknown[0]}: unknown; beside name and file there are {', '.join(DEFAULTS)}")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ListFault(f"{field}.file: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    terms: list[Any] = []
    links: list[Any] = []
    wrong = []
    given = {name: entry[name] for name in DEFAULTS if name in entry}
    for line, row in _rows(path, text):
        try:
            if isinstance(row, str):
                raise Refused("", row)
            if "pattern" in row:
                links.append(convert(Link, given | row))
            else:
                terms.append(convert(Term, given | row))
        except Refused as refused:
            wrong.append(f"line {line}: {refused}")
    if wrong:
        further = f"; and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
        raise ListFault(f"{path}: " + "; ".join(wrong[:TOLD]) + further)
    if not terms and not links:
        raise ListFault(f"{field}.file: {path} holds no terms and no links")
    return terms, links


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """(line, what it says) of each line; what is wrong with it instead, as a sentence."""
    if path.suffix == ".csv":
        yield from _csv_rows(text)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or (path.suffix != ".jsonl" and line.startswith("#")):
            continue
        if path.suffix != ".jsonl":
            yield number, {"text": line.strip()}
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, f"is not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "is not an object"


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(reader, [])]
    if unknown := [name for name in header if name not in COLUMNS]:
        yield 1, f"column {unknown[0]!r} is unknown; there are {', '.join(COLUMNS)}"
        return
    if not {"text", "pattern"} & set(header):
        yield 1, "there is neither a column `text` nor `pattern`"
        return
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            yield reader.line_num, f"has {len(cells)} cells, and the header {len(header)}"
            continue
        row: dict[str, Any] = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if cell.strip()}
        if "unless" in row:
            row["unless"] = [phrase.strip() for phrase in row["unless"].split("|") if phrase.strip()]
        if "disguises" in row:
            row["disguises"] = {"true": True, "false": False}.get(row["disguises"].lower(), row["disguises"])
        yield reader.line_num, row
