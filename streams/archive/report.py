"""A backtest's result as a page that needs nothing else, and runs nothing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

#: Width of the longest bar, in pixels.
_BAR = 320


def page(result: Mapping[str, Any]) -> str:
    """HTML of `Result.shown()`."""
    decisions, changed = result["decisions"], result["changed"]
    share = f"{100 * changed / decisions:.2f} %" if decisions else "none"
    parts = [
        f"<h1>Backtest: policy {_text(result['policy'])}</h1>",
        f"<p><b>{changed:,}</b> of {decisions:,} decisions would change ({share}); {result['failed']:,} could not be "
        "decided again.</p>",
    ]
    for name, title in (
        ("moves", "What would change"),
        ("by_agent", "By agent"),
        ("reasons_more", "Reasons that would be given more often"),
        ("reasons_fewer", "Reasons that would be given less often"),
        ("by_service", "By service"),
    ):
        parts.append(_bars(title, result[name]))
    parts.append(_rulings(result["against_rulings"]))
    rows = (
        (one["move"], one["content_id"], one["title"], " ".join(one["before"]), " ".join(one["after"]))
        for one in result["examples"]
    )
    parts.append(_table("Examples", ("change", "item", "title", "reasons before", "reasons after"), rows))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Backtest</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;"
        "padding:.3em .5em;text-align:left}i{display:inline-block;height:.8em;background:#48c}</style>"
        f"{''.join(parts)}</html>\n"
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(title: str, heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    if not lines:
        return ""
    head = "".join(f"<th>{_text(one)}</th>" for one in heads)
    return f"<h2>{_text(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _bars(title: str, counts: Mapping[str, int]) -> str:
    most = max(counts.values(), default=0)
    lines = [
        f"<tr><td>{_text(name)}</td><td>{number:,}</td>"
        f'<td><i style="width:{round(_BAR * number / most)}px"></i></td></tr>'
        for name, number in counts.items()
    ]
    return f"<h2>{_text(title)}</h2><table>{''.join(lines)}</table>" if lines else ""


def _rulings(against: Mapping[str, Any]) -> str:
    rows = [
        (agent, when, found["ruled"], _interval(found["precision"]), _interval(found["recall"]))
        for agent, both in against.items()
        for when, found in both.items()
    ]
    if not rows:
        return "<p>People ruled on none of these items: precision and recall are not known.</p>"
    heads = ("agent", "policy", "items ruled on", "precision (95 %)", "recall (95 %)")
    note = "<p>Counted over items that people ruled on; what nobody looked at is in neither.</p>"
    return _table("Against rulings", heads, rows) + note


def _interval(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "–"
    return f"{share['share']:.3f} ({share['low']:.3f} to {share['high']:.3f}), {share['hits']} of {share['of']}"
