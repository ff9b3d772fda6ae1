"""Entity memory: labels on publishers, streams, devices, media and complainants that every judge can read."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.message import Id, Message, Utc

EntityKind = Literal["publisher", "stream", "device", "media", "complainant"]


class EntityLabel(Message, kw_only=True, frozen=True):
    """One label on one entity. `label_id` is `kind:id:label`, so that setting it again replaces it."""

    label_id: Annotated[str, msgspec.Meta(min_length=1, max_length=800)]
    kind: EntityKind
    entity_id: Id
    label: Id
    reason: str
    set_by: Annotated[Id, msgspec.Meta(description="a ruling, a sanction, a rule or a person")]
    set_at: Utc
    expires_at: Utc | None = None


def label_id(kind: str, entity_id: str, label: str) -> str:
    """The key of a label."""
    return f"{kind}:{entity_id}:{label}"
