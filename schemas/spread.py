"""What goes round: sentences that many say, and footage that comes again. Inner messages, keyed by what is alike in
them, so that what was said or shown by publishers of all partitions meets in one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.message import Count, Id, Message, Score, Utc
from schemas.signals import FrameHash


class Sighting(Message, kw_only=True, frozen=True):
    """A sentence that an item says and that has been said before, under one of the keys that sentences much like it
    share."""

    cluster: Annotated[Id, msgspec.Meta(description="the key; alike sentences share some of theirs")]
    event_id: Id
    content_id: Id
    publisher_id: Id
    at: Utc
    text: Annotated[str, msgspec.Meta(max_length=300, description="the sentence as it was written")]
    field: Id = "title"
    low: Annotated[
        bool, msgspec.Meta(description="the publisher is new, sanctioned, or labelled by the entity memory")
    ] = False
    usual: Annotated[Score, msgspec.Meta(description="share of such publishers among all items, where it was seen")] = (
        0.1
    )
    keys: Annotated[tuple[Id, ...], msgspec.Meta(description="all keys of the sentence")] = ()
    called: Annotated[
        bool, msgspec.Meta(description="people have been asked about this cluster under another of its keys")
    ] = False
    stream_id: Id | None = None
    seq: Count | None = None
    created_at: Utc


class Footage(Message, kw_only=True, frozen=True):
    """Pictures of an item, under one of the keys that pictures much like them share, and what its text says of where
    and when they were taken."""

    bucket: Annotated[Id, msgspec.Meta(description="the key; alike pictures share some of theirs")]
    event_id: Id
    content_id: Id
    publisher_id: Id
    at: Utc
    frames: Annotated[tuple[FrameHash, ...], msgspec.Meta(min_length=1, description="what is compared")]
    places: tuple[Id, ...] = ()
    dates: Annotated[
        tuple[Id, ...], msgspec.Meta(description="as YYYY, YYYY-MM or YYYY-MM-DD, as far as the title says")
    ] = ()
    title: Annotated[str, msgspec.Meta(max_length=300)] = ""
    stream_id: Id | None = None
    seq: Count | None = None
    created_at: Utc


class Marked(Message, kw_only=True, frozen=True):
    """An item whose file carried a label of generated media, and its pictures: the same without one is known by it."""

    publisher_id: Id
    event_id: Id
    content_id: Id
    level: Annotated[Literal[1, 2, 3], msgspec.Meta(description="as the label states it")]
    frames: Annotated[tuple[FrameHash, ...], msgspec.Meta(min_length=1, description="one of each scene")]
    created_at: Utc
