"""The synthetic judge (Provisions, Art. 11 and 12; labelling measures, Art. 6). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agents.decide import Finding, decide, ground, hold, label, review
from agents.synthetic.marks import Earlier
from schemas.decision import Decision, LabelTerms, Level, Reason
from schemas.policy import Policy, SyntheticPolicy
from schemas.signals import Evidence, Signal, Signals

#: Signals that hint at generation without saying so in the form that the standard asks for.
TRACES = ("c2pa.synthetic", "tool")


def judge(signals: Signals, policy: Policy, now: datetime, earlier: Earlier | None = None) -> Decision:
    """Is it real, and if not, is it labelled? The first ground in the order of LBL-6 decides; the rest add nothing.

    `earlier`: the labelled item that this one shows again, without a label.
    """
    found = list(_first(signals, policy.synthetic, earlier))
    return decide("synthetic", signals.event, policy, found, now, signals.models)


def _first(signals: Signals, policy: SyntheticPolicy, earlier: Earlier | None) -> Iterator[Finding]:
    if compliant := signals.best("aigc.compliant"):
        level = _stated(compliant) or 1
        yield label(ground("SYNTH-LABELLED", evidence=compliant.evidence), level, _words(level, policy))
    elif faulty := signals.best("aigc.non_compliant") or signals.best("aigc.inconclusive"):
        reason = ground("SYNTH-NONCOMPLIANT", evidence=faulty.evidence)
        yield _unlabelled(policy.non_compliant, reason, _stated(faulty) or 3, policy)
    elif earlier and policy.removed != "allow":
        reason = ground("LABEL-REMOVED", evidence=earlier.evidence)
        if policy.removed == "review":
            yield review(reason)
        else:
            yield _unlabelled(policy.removed, reason, earlier.mark.level, policy)
    elif signals.event.declared_synthetic:
        reason = ground("SYNTH-DECLARED", evidence=[Evidence(text="declared by the publisher")])
        yield _unlabelled(policy.declared, reason, 2, policy)
    elif traces := [trace for name in TRACES if (trace := signals.best(name))]:
        reason = ground("SYNTH-TRACE", evidence=[evidence for trace in traces for evidence in trace.evidence])
        if policy.traces == "review":
            yield review(reason)
        elif policy.traces != "allow":
            yield _unlabelled(policy.traces, reason, 3, policy)


def _stated(signal: Signal) -> Level | None:
    """The level that the metadata itself states."""
    return next((int(found.entry) for found in signal.evidence if found.entry in ("1", "2", "3")), None)


def _unlabelled(action: str, reason: Reason, level: Level, policy: SyntheticPolicy) -> Finding:
    words = _words(level, policy)
    if action == "takedown":
        return hold(reason, "labelled", LabelTerms(level=level, text=words))
    return label(reason, level, words)


def _words(level: Level, policy: SyntheticPolicy) -> str:
    return {1: policy.text_generated, 2: policy.text_possible, 3: policy.text_suspected}[level]
