"""What every message on the wire has in common: its base type, its field types, and how it is read and written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec

#: Kafka keys, file names and Prometheus never see an id longer than this; a UUID or a URN fits with room.
MAX_ID = 256
#: Longer than any platform's description field; keeps a hostile event from filling a broker's message.
MAX_TEXT = 20_000

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Utc = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339, with a zone")]
Score = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, msgspec.Meta(ge=0.0, description="seconds")]
Count = Annotated[int, msgspec.Meta(ge=0)]
#: See `schemas.trim`.
Trimmed = Annotated[
    int, msgspec.Meta(ge=0, description="frames, evidence and texts left out or shortened so that the message fits")
]
#: The length too, because `$` also matches before a line break at the end.
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="lower-case hexadecimal")]
#: For exchange with lists that know files by it; nothing rests on it alone where a SHA-256 is at hand.
Md5 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$", max_length=32, description="lower-case hexadecimal")]
#: A PDQ hash: 256 bits as 64 hexadecimal digits (Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ
#: Image-Hashing Algorithm", 2019).
Pdq = Annotated[
    str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="256 bits, lower-case hexadecimal")
]


class Message(msgspec.Struct, kw_only=True, frozen=True):
    """A message as it goes over the wire. Unknown fields in input are dropped, not refused: readers of one
    version can read writers of the next."""

    #: What `__post_init__` checks, in JSON Schema's words; `schemas.generate` adds it to the type's schema.
    schema_rules: ClassVar[tuple[dict[str, Any], ...]] = ()


class Refused(ValueError):
    """A message that is not what its topic promises: which field, and why.

    `field` is a path such as `media.sha256` (empty when the whole message is at fault).
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}" if field else reason)


M = TypeVar("M", bound=Message)

#: msgspec puts the place at the end of its sentence, after what may be the sender's own words.
_WHERE = re.compile(r"(?:key )?(?:in )?\$\.?(?P<path>.*)`", re.DOTALL)
#: …and says which field is missing or unknown inside the sentence instead; our own checks begin with the field.
_NAMED = re.compile(r"^(?:Object (?:missing required field|contains unknown field) )?`(?P<name>[^`]*)`")


def _refusal(error: Exception) -> Refused:
    reason, _, place = str(error).rpartition(" - at `")
    if where := _WHERE.fullmatch(place):
        path = where["path"]
    else:
        reason, path = str(error), ""
    if named := _NAMED.match(reason):
        path = f"{path}.{named['name']}" if path else named["name"]
    return Refused(path, reason)


@cache
def _decoder(kind: type[Message]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


def decode(kind: type[M], data: bytes) -> M:
    """Read one message of the given type from UTF-8 JSON.

    Raises:
        Refused: not JSON, a missing field, a wrong type, a value out of bounds; names the field.
    """
    try:
        return _decoder(kind)(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(error) from error


def convert(kind: type[M], tree: object) -> M:
    """Read a message from plain Python objects, e.g. of a TOML file. Raises Refused as `decode` does."""
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise _refusal(error) from error


encode: Callable[[Message], bytes] = msgspec.json.Encoder().encode
"""One message as UTF-8 JSON; the same message always gives the same bytes."""
