"""The lists of python-threatexchange: lines of type and signal, the CSV of `threatexchange dataset -P --csv`, and the
`.te` files of its former versions; and the JSON of the ThreatExchange API.

Source: `exchanges/impl/file_api.py`, `cli/dataset_cmd.py`, `cli/dataset/simple_serialization.py` and
`exchanges/clients/fb_threatexchange/` of python-threatexchange.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agents.review.exchange.lines import Bad, Lines
from agents.review.exchange.row import Given, Outcome, Passed
from agents.review.exchange.signals import ELSEWHERE, NAMES, Malformed, fields_of

SOURCE = "threatexchange"
#: How the note of an entry begins that its own list switched off.
BY_LIST = "switched off:"
#: What the members of an exchange think of a signal → fields of ours. One that nobody has confirmed asks a person, and
#: one that members call a false match is kept, switched off.
OPINIONS: Mapping[str, Mapping[str, Any]] = {
    "POSITIVE_CLASS": {"severity": "high"},
    "INVESTIGATION_SEED": {"severity": "medium"},
    "DISPUTED": {"severity": "low"},
    "NEGATIVE_CLASS": {"active": False, "note": f"{BY_LIST} the list calls it a false match (NEGATIVE_CLASS)"},
}
#: Status of a ThreatExchange descriptor → its opinion.
STATUS: Mapping[str, str] = {
    "MALICIOUS": "POSITIVE_CLASS",
    "SUSPICIOUS": "INVESTIGATION_SEED",
    "UNKNOWN": "INVESTIGATION_SEED",
    "NON_MALICIOUS": "NEGATIVE_CLASS",
}
#: Tags by which a `.te` row says what was thought of it.
SPECIAL: Mapping[str, str] = {
    "true_positive": "POSITIVE_CLASS",
    "false_positive": "NEGATIVE_CLASS",
    "disputed": "DISPUTED",
}
#: After the signal: the collaboration in quotes, the opinion, tags (`threatexchange dataset -P`).
_REST = re.compile(r"""^\s*(?:'(?P<a>[^']*)'|"(?P<b>[^"]*)")?\s*(?P<opinion>[A-Z_]+)?\s*(?P<tags>\S+)?\s*$""")
_CSV = ("signal_type", "signal_str", "collab", "category", "tags")


def signal(
    number: int, signal_type: str, text: str, given: Given, source: str = "", where: str = "signal", **fields: Any
) -> Outcome:
    """The outcome of one signal."""
    kind = NAMES.get(signal_type)
    if kind is None:
        if signal_type in ELSEWHERE:
            return Passed(number, signal_type)
        names = ", ".join(dict.fromkeys(NAMES.values()))
        return Bad(number, "signal_type", f"{signal_type!r} is no signal type; {names} are matched here")
    try:
        found = fields_of(kind, text)
    except Malformed as error:
        return Bad(number, where, str(error))
    return given.row(number, (kind, text.strip().lower()), source or SOURCE, **found, **fields)


def read_signals(lines: Lines, given: Given) -> Iterator[Outcome]:
    """`TYPE SIGNAL` a line, as the exchange of local files reads them, or SIGNAL alone where the type is given; what
    `threatexchange dataset -P` prints after it, collaboration, opinion and tags, is read too."""
    for number, line in lines:
        text = line.strip()
        if text.startswith("#"):
            continue
        kind = given.signal_type
        first, _, rest = text.partition(" ")
        if kind is None or NAMES.get(first) == NAMES.get(kind, kind):
            kind, text = first, rest.strip()
        if not text:
            reason = "nothing follows the signal type; of lines that are hashes alone, say their type: --signal-type"
            yield Bad(number, "signal", reason)
            continue
        one, after = _split(text)
        match = _REST.match(after)
        if match is None:
            yield Bad(number, "signal", f"{after.strip()[:80]!r} after it: write TYPE SIGNAL, no more")
            continue
        collab = match["a"] or match["b"] or ""
        fields = dict(OPINIONS.get(match["opinion"] or "", {}))
        yield signal(number, kind, one, given, collab, tags=_tags(match["tags"], ","), **fields)


def _split(text: str) -> tuple[str, str]:
    """The signal, and what follows: a JSON list has blanks inside."""
    if text.startswith(("[", "{")):
        end = max(text.rfind("]"), text.rfind("}")) + 1
        return text[:end], text[end:]
    one, _, after = text.partition(" ")
    return one, after


def _tags(text: str | None, separator: str | None = None) -> list[str]:
    return [tag for tag in (text or "").split(separator) if tag]


def _cells(line: str) -> list[str]:
    """The cells of a line. A record is a line: a quote that is not closed spoils its own line, not those after it."""
    csv.field_size_limit(2**22)
    (row,) = csv.reader([line], strict=True)
    return row


def read_csv(lines: Lines, given: Given) -> Iterator[Outcome]:
    """`signal_type,signal_str,collab,category,tags`, with its header: what `threatexchange dataset -P --csv` writes."""
    header: list[str] | None = None
    for number, line in lines:
        try:
            cells = _cells(line)
        except csv.Error as error:
            yield Bad(number, "", f"is not CSV: {error}")
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if missing := [name for name in _CSV[:2] if name not in header]:
                yield Bad(number, missing[0], f"the header has no such column; it is {','.join(_CSV)}")
                return
        elif len(cells) != len(header):
            yield Bad(number, "", f"has {len(cells)} cells, the header {len(header)}")
        else:
            yield _of_cells(number, dict(zip(header, cells, strict=True)), given)


def _of_cells(number: int, cells: Mapping[str, str], given: Given) -> Outcome:
    opinion = cells.get("category", "")
    fields = dict(OPINIONS.get(opinion, {"category": opinion} if opinion else {}))
    return signal(
        number, cells["signal_type"], cells["signal_str"], given, cells.get("collab", ""), "signal_str",
        tags=_tags(cells.get("tags")), **fields,
    )  # fmt: skip


def read_te(lines: Lines, given: Given) -> Iterator[Outcome]:
    """`simple.TYPE.te`: CSV without a header, indicator, (its id,) first descriptor's id, since when, tags."""
    for number, line in lines:
        try:
            cells = _cells(line)
        except csv.Error as error:
            yield Bad(number, "", f"is not CSV: {error}")
            continue
        if len(cells) not in (4, 5):
            yield Bad(number, "", f"has {len(cells)} cells; a .te row has 4, or 5 with the indicator's id")
            continue
        tags = _tags(cells[-1])
        fields: dict[str, Any] = dict(OPINIONS["INVESTIGATION_SEED"])
        for tag in tags:
            fields = dict(OPINIONS[SPECIAL[tag]]) if tag in SPECIAL else fields
        kept = [tag for tag in tags if tag not in SPECIAL]
        yield signal(
            number, given.signal_type or "", cells[0], given, where="indicator",
            tags=kept, added_at=_time(cells[-2]), **fields,
        )  # fmt: skip


def _time(text: object) -> datetime | None:
    """A time as the API writes it, 2020-07-01T18:31:15+0000, or in seconds; None if it is neither."""
    if isinstance(text, int) or (isinstance(text, str) and text.isdigit()):
        return datetime.fromtimestamp(int(text), UTC) if 0 <= int(text) < 2**34 else None
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None


def record(number: int, value: Mapping[str, Any], given: Given) -> Outcome:
    """One update of `/threat_updates`, or one threat descriptor."""
    text: Any = value.get("indicator", value.get("raw_indicator"))
    kind: Any = value.get("type")
    if isinstance(text, Mapping):  # a descriptor asked for with its indicator's fields
        text, kind = text.get("indicator"), text.get("type", kind)
    for name, found in (("indicator", text), ("type", kind)):
        if not isinstance(found, str) or not found:
            return Bad(number, name, "is missing, or not text")
    if NAMES.get(kind) is not None and value.get("should_delete"):
        return given.gone(number, (NAMES[kind], text.strip().lower()), SOURCE)
    page = value.get("descriptors")
    descriptors = page.get("data", ()) if isinstance(page, Mapping) else (value,)
    said = [descriptor for descriptor in descriptors if isinstance(descriptor, Mapping)]
    opinions = [STATUS.get(str(one.get("status", "UNKNOWN")), "INVESTIGATION_SEED") for one in said]
    times = [time for one in said if (time := _time(one.get("added_on"))) is not None]
    tags = [tag for one in said for tag in _texts(one.get("tags"))]
    levels = sorted({str(one["share_level"]) for one in said if one.get("share_level")})
    return signal(
        number, kind, text, given, where="indicator", tags=list(dict.fromkeys(tags)),
        added_at=min(times, default=None), licence=f"TLP {', '.join(levels)}" if levels else None,
        **OPINIONS[_together(opinions)],
    )  # fmt: skip


def _texts(tags: object) -> Iterator[str]:
    if isinstance(tags, Mapping):
        tags = tags.get("data")
    for tag in tags if isinstance(tags, list) else ():
        yield str(tag.get("text", "")) if isinstance(tag, Mapping) else str(tag)


def _together(opinions: Sequence[str]) -> str:
    """What members think together: the surest, and disputed where some call it false and some do not."""
    if "NEGATIVE_CLASS" in opinions:
        return "NEGATIVE_CLASS" if set(opinions) == {"NEGATIVE_CLASS"} else "DISPUTED"
    return "POSITIVE_CLASS" if "POSITIVE_CLASS" in opinions else "INVESTIGATION_SEED"
