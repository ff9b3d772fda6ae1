"""Dead letters: what could not be handled, kept whole so that it can be mended and sent again."""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.message import Count, Message, Utc

#: JSON Schema only notes base64; the pattern makes it refuse what we refuse.
Base64 = Annotated[
    bytes,
    msgspec.Meta(
        extra_json_schema={"pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"},
    ),
]


class DeadLetter(Message, kw_only=True, frozen=True):
    """The original bytes of a message (base64 in JSON), where it lay, and why it could not be handled."""

    topic: str
    partition: Count
    offset: Count
    key: Base64 | None
    value: Base64 | None
    agent: str
    error: Annotated[str, msgspec.Meta(description="class of the error")]
    reason: Annotated[str, msgspec.Meta(description="what is wrong, in words")]
    field: Annotated[str, msgspec.Meta(description="path of the field at fault; empty: the whole message")]
    failed_at: Utc
