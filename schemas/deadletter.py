"""Dead letters: what could not be handled, kept whole so that it can be mended and sent again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from schemas.message import Count, Id, Message, Utc

#: Kafka headers of a message that was put back: how often by now, and the dead letter and the place it comes from.
REPLAY_HEADER = "veristream-replay"
LETTER_HEADER = "veristream-deadletter"
ORIGIN_HEADER = "veristream-origin"

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
    replays: Annotated[Count, msgspec.Meta(description="how often it had been put back before it failed again")] = 0


class Replay(Message, kw_only=True, frozen=True):
    """What became of a dead letter that somebody puts back. Of each letter the first `begun` that names nobody else's
    counts, then `done`: their order on the topic decides, so that two who replay at once do not both send it."""

    letter: Annotated[Id, msgspec.Meta(description="partition@offset of the dead letter")]
    state: Literal["begun", "done"]
    run: Annotated[Id, msgspec.Meta(description="whoever puts it back")]
    topic: str
    partition: Count
    offset: Annotated[
        Count, msgspec.Meta(description="done: where it lies now; begun: it lies there or later, if at all")
    ]
    at: Utc
    over: Annotated[
        Id | None, msgspec.Meta(description="the run that began and did not end, which this one takes over")
    ] = None


def replays_of(headers: Iterable[tuple[str, bytes | str]] | None) -> int:
    """How often a message was put back, by its Kafka headers; what is no number there counts as never."""
    for name, value in headers or ():
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        if name == REPLAY_HEADER and text.isascii() and text.isdigit() and len(text) < 10:
            return int(text)
    return 0
