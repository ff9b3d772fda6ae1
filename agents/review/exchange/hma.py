"""Banked content of Hasher-Matcher-Actioner (HMA), as its curation API answers with `include_signals=true`.

Source: `hasher-matcher-actioner/src/OpenMediaMatch/schemas/curation.py` of github.com/facebook/ThreatExchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.review.exchange.lines import Bad
from agents.review.exchange.row import Given, Outcome, Passed
from agents.review.exchange.signals import ELSEWHERE, NAMES, Malformed, fields_of
from agents.review.exchange.threatexchange import BY_LIST

SOURCE = "hma"


def record(number: int, value: Mapping[str, Any], given: Given) -> Outcome:
    """One piece of banked content: all its signals are one entry."""
    signals = value.get("signals")
    if not isinstance(signals, Mapping) or not signals:
        return Bad(number, "signals", "is missing: ask HMA for the content with include_signals=true")
    fields: dict[str, Any] = {}
    for name, text in signals.items():
        kind = NAMES.get(name)
        if kind is None and name not in ELSEWHERE:
            return Bad(number, f"signals.{name}", "is no signal type that is known here")
        if kind is None:
            continue
        try:
            found = fields_of(kind, str(text))
        except Malformed as error:
            return Bad(number, f"signals.{name}", str(error))
        fields |= found | {"frames": [*fields.get("frames", ()), *found.get("frames", ())]}
    if not fields:
        return Passed(number, ", ".join(sorted(signals)))
    note = str(value.get("note") or "")
    bank = value.get("bank")
    name = str(bank.get("name") or "") if isinstance(bank, Mapping) else ""
    if value.get("disable_until_ts", 1) == 0:
        fields |= {"active": False}
        note = f"{BY_LIST} disabled in the bank of HMA. {note}".strip()
    own = value.get("id")
    metadata = value.get("metadata")
    collabs = metadata.get("collab") if isinstance(metadata, Mapping) else None
    return given.row(
        number, ("hma", name, own) if own is not None else ("hma", *sorted(map(str, signals.items()))), SOURCE,
        bank=name or None, note=note or None,
        tags=[str(collab) for collab in collabs] if isinstance(collabs, Mapping) else [], **fields,
    )  # fmt: skip
