"""What sanctions, rulings and the policy's rules put into the entity memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from agents.sanctions.ladder import in_force
from schemas.decision import Decision
from schemas.entity import EntityLabel, label_id
from schemas.policy import Policy
from schemas.sanction import Ruling, Sanction, Standing


def labels_of_standing(standing: Standing, policy: Policy, now: datetime) -> Iterator[EntityLabel]:
    """Each label that the ladder sets on the publisher, until the last of the sanctions that set it ends; one that
    nothing sets any more ends now."""
    by_label: dict[str, list[Sanction]] = {}
    names = {rung.level: rung.label for rung in policy.sanctions.ladder}
    for sanction in standing.sanctions:
        if name := names.get(sanction.level):
            by_label.setdefault(name, []).append(sanction)
    for name in dict.fromkeys(filter(None, names.values())):
        standing_now = [sanction for sanction in by_label.get(name, ()) if in_force(sanction, now)]
        ends = [sanction.lifted_at or sanction.until for sanction in standing_now]
        last = max(standing_now, key=lambda sanction: sanction.begins_at, default=None)
        yield EntityLabel(
            label_id=label_id("publisher", standing.publisher_id, name),
            kind="publisher",
            entity_id=standing.publisher_id,
            label=name,
            reason=f"sanction: {last.level}" if last else "no sanction is in force",
            set_by=last.sanction_id if last else "sanctions",
            set_at=now,
            expires_at=now if last is None else None if None in ends else max(end for end in ends if end),
        )


def labels_of(ruling: Ruling) -> Iterator[EntityLabel]:
    """The labels that a ruling sets."""
    for wanted in ruling.labels:
        yield EntityLabel(
            label_id=label_id(wanted.kind, wanted.entity_id, wanted.label),
            kind=wanted.kind,
            entity_id=wanted.entity_id,
            label=wanted.label,
            reason=ruling.reason,
            set_by=ruling.ruling_id,
            set_at=ruling.ruled_at,
            expires_at=wanted.expires_at,
        )


def labels_by_rule(decision: Decision, policy: Policy) -> Iterator[EntityLabel]:
    """The labels that the policy's rules set for a decision's reasons; the same decision always sets the same."""
    codes = {reason.code for reason in decision.reasons}
    for rule in policy.sanctions.labels:
        entity = decision.publisher_id if rule.kind == "publisher" else decision.stream_id
        if rule.code in codes and entity is not None:
            yield EntityLabel(
                label_id=label_id(rule.kind, entity, rule.label),
                kind=rule.kind,
                entity_id=entity,
                label=rule.label,
                reason=f"{rule.code} on {decision.content_id}",
                set_by=decision.decision_id,
                set_at=decision.decided_at,
                expires_at=None if rule.days is None else decision.decided_at + timedelta(days=rule.days),
            )
