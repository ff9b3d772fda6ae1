"""News: which items are news, which of them are made with generated media, and whose news they are (Provisions, Art. 6
and 11). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from agents.decide import Finding, ground, remove, review
from agents.text import normalised
from schemas.event import Event
from schemas.policy import RumorPolicy
from schemas.signals import Evidence, Signals

#: How an item names where its news is from: "来源：某报", "转自某台", "Source: …", "via …".
_NAMED = re.compile(
    r"(?:来源|转自|转载自|据|信源|消息来源)\s*[:：]?\s*([^\s，。,;；!！?？|｜]{2,40})|\b(?:source|via)\s*:\s*([^\n,;|.]{2,40})",
    re.IGNORECASE,
)
#: Signals that prove that media is generated: its own label.
_LABELS = ("aigc.compliant", "aigc.non_compliant")
#: Signals that hint at it.
_TRACES = ("c2pa.synthetic", "tool")


def judge_news(signals: Signals, policy: RumorPolicy) -> Iterator[Finding]:
    """Is it news, and if so, is its media generated, and may it be taken from where it is taken from?"""
    told = is_news(signals, policy)
    if told is None:
        return
    yield from _fake(signals, told, policy)
    yield from _source(signals.event, policy)


def is_news(signals: Signals, policy: RumorPolicy) -> str | None:
    """By what it is known that the item is news; None: it is none, as far as can be told."""
    event = signals.event
    if event.category in policy.news_categories:
        return f"category {event.category}"
    if event.service in policy.news_services:
        return f"service {event.service}"
    if label := next((label for label in signals.labels if label in policy.news_labels), None):
        return f"publisher is labelled {label}"
    title = event.title.strip()
    if any(form.match(title) for form in _forms(policy.news_titles)):
        return "form of the title"
    return None


def proofs(signals: Signals, policy: RumorPolicy) -> list[Evidence]:
    """What proves that the media is generated: its label, its publisher's word, a detector that the policy trusts."""
    said = [
        Evidence(text=f"signal {signal.name}", entry=signal.detector)
        for name in _LABELS
        if (signal := signals.best(name))
    ]
    if signals.event.declared_synthetic:
        said.append(Evidence(text="declared by the publisher"))
    for name, least in policy.synthetic_signals.items():
        if (signal := signals.best(name)) and signal.score >= least and name not in _LABELS:
            said.append(Evidence(text=f"signal {name}, score {signal.score:.3f}", entry=signal.detector))
    return said


def _fake(signals: Signals, told: str, policy: RumorPolicy) -> Iterator[Finding]:
    # That the category is declared goes without saying.
    known = [] if told.startswith("category ") else [Evidence(text=f"news by its {told}")]
    if said := proofs(signals, policy):
        reason = ground("RUMOR-FAKE-NEWS", evidence=[*said, *known])
        yield remove(reason) if policy.fake_news == "takedown" else review(reason)
    elif traces := [name for name in _TRACES if signals.best(name)]:
        # Traces prove nothing, and removing true news is a harm of its own: a person looks.
        hints = [Evidence(text=f"signal {name}") for name in traces]
        yield review(ground("RUMOR-FAKE-NEWS", score=0.5, evidence=[*hints, *known]))


def _source(event: Event, policy: RumorPolicy) -> Iterator[Finding]:
    barred = {normalised(source): source for source in policy.unlicensed_sources}
    barred.pop("", None)
    if not barred:
        return
    named = [event.news_source or ""]
    for text in (event.title, event.description):
        named += [found for match in _NAMED.finditer(text) for found in match.groups() if found]
    for source in dict.fromkeys(named):
        plain = normalised(source)
        # In a text, what follows the name belongs to the sentence.
        if entry := next((barred[one] for one in barred if plain.startswith(one)), None):
            said = Evidence(entry=entry, text=f"the item names {source!r:.80} as its source")
            reason = ground("RUMOR-NEWS-SOURCE", evidence=[said])
            yield remove(reason) if policy.on_unlicensed == "takedown" else review(reason)
            return


@lru_cache(maxsize=16)
def _forms(forms: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(form) for form in forms)
