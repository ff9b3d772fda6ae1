"""What sanctions and rulings put into the entity memory. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.entity import EntityLabel, label_id
from schemas.policy import Policy
from schemas.sanction import Ruling, Sanction


def label_of(sanction: Sanction, policy: Policy) -> EntityLabel | None:
    """The label on a sanctioned publisher, for as long as the sanction lasts; a lifted one ends it."""
    label = next((rung.label for rung in policy.sanctions.ladder if rung.level == sanction.level), "")
    if not label:
        return None
    return EntityLabel(
        label_id=label_id("publisher", sanction.publisher_id, label),
        kind="publisher",
        entity_id=sanction.publisher_id,
        label=label,
        reason=f"sanction: {sanction.level}",
        set_by=sanction.sanction_id,
        set_at=sanction.begins_at,
        expires_at=sanction.lifted_at or sanction.until,
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
