"""The verdict judge: from an item's decisions to its one answer. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from agents.decide import SEVERITY, ground
from schemas.decision import Decision, Until, stable_id
from schemas.policy import Policy
from schemas.verdict import Answer, Verdict

#: Decisions of people carry this as their agent.
PEOPLE = "reviewers"
#: Decisions of who makes labelled copies: one that labels ends every hold until then.
LABELER = "labeler"


def in_force(decisions: Mapping[str, Decision], policy: Policy) -> dict[str, Decision]:
    """The decisions that people have not set aside. They are in the order in which they came: what an agent that items
    do not wait for (complaints) says after the people have ruled is new, and stands."""
    ruling = decisions[PEOPLE].ruling if PEOPLE in decisions else None
    if ruling is None or not ruling.overrules:
        return dict(decisions)
    names = list(decisions)
    later = set(names[names.index(PEOPLE) :]) - set(policy.verdict.agents)
    return {
        agent: decision
        for agent, decision in decisions.items()
        if agent in later or not ("*" in ruling.overrules or agent in ruling.overrules)
    }


def is_final(decisions: Mapping[str, Decision], policy: Policy) -> bool:
    """Whether no further decision could change the answer.

    So it is once every agent has decided, once one of them or a person removes the item or people set all of them
    aside, and once identity holds it: what identity holds is not passed on, so nothing else will come.
    """
    if set(policy.verdict.agents) <= decisions.keys() or removes(in_force(decisions, policy).values()):
        return True
    ruling = decisions[PEOPLE].ruling if PEOPLE in decisions else None
    if ruling and "*" in ruling.overrules:
        return True
    identity = decisions.get("identity")
    return identity is not None and identity.action == "takedown"


def removes(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that removes the item for good, if there is one."""
    return next((d for d in decisions if d.stop and d.stop.kind != "hold"), None)


def judge(
    decisions: Mapping[str, Decision],
    policy: Policy,
    now: datetime,
    *,
    former: Verdict | None = None,
    cut: bool = False,
    forgotten: bool = False,
) -> Verdict:
    """The answer these decisions add up to; those that people have set aside count no more.

    Removed (or of a stream that was cut) → block; stopped, under review or not decided in time → hold; labelled →
    publish_labelled; else publish. At least one decision is there. `forgotten`: it is an item of long ago, of which no
    more decisions are known, or will come.
    """
    every = sorted(decisions.values(), key=lambda decision: (-SEVERITY[decision.action], decision.agent))
    standing = in_force(decisions, policy)
    # What people say comes first: it is why the answer is what it is.
    ordered = sorted((d for d in every if standing.get(d.agent) is d), key=lambda decision: decision.agent != PEOPLE)
    final = forgotten or is_final(decisions, policy)
    answer, until = _answer(ordered, policy.verdict.agents, final=final, cut=cut)
    reasons = [reason for decision in ordered for reason in decision.reasons]
    if cut and answer == "block" and not removes(ordered):
        reasons.insert(0, ground("STREAM-CUT"))
    elif not cut and not final:
        missing = sorted(set(policy.verdict.agents) - decisions.keys())
        reasons.insert(0, ground("VERDICT-TIMEOUT", score=1 - len(missing) / len(policy.verdict.agents)))
    first = every[0]
    created_at = first.decided_at.timestamp() - first.latency_s
    return Verdict(
        verdict_id=stable_id("verdict", first.event_id, answer, *(decision.decision_id for decision in every)),
        event_id=first.event_id,
        content_id=first.content_id,
        publisher_id=first.publisher_id,
        stream_id=first.stream_id,
        seq=first.seq,
        verdict=answer,
        until=until,
        reasons=tuple(reasons),
        labels=tuple(d.label for d in ordered if d.label and answer == "publish_labelled"),
        media=next((d.media for d in ordered if d.agent == LABELER and answer == "publish_labelled"), None),
        decisions=tuple(decision.decision_id for decision in every),
        ruling=decisions[PEOPLE].decision_id if PEOPLE in decisions else None,
        policy=policy.ref,
        decided_at=now,
        latency_s=max(0.0, now.timestamp() - created_at),
        replaces=former.verdict_id if former else None,
    )


def _answer(
    decisions: Sequence[Decision], waited: Collection[str], *, final: bool, cut: bool
) -> tuple[Answer, Until | None]:
    if cut or removes(decisions):
        return "block", "forever"
    copied = any(decision.agent == LABELER and decision.action == "label" for decision in decisions)
    stops = [decision.stop for decision in decisions if decision.stop]
    if copied:
        stops = [stop for stop in stops if stop.until != "labelled"]
    if stops:
        return "hold", stops[0].until
    # Who asks for a person beside the agents that items wait for (complaints) does not stop what is published.
    if not final or any(decision.action == "review" and decision.agent in waited for decision in decisions):
        return "hold", "reviewed"
    if any(decision.action == "label" for decision in decisions):
        return "publish_labelled", None
    return "publish", None
