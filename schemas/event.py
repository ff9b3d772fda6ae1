"""Events: what the platform's ingest tier announces, and what identity lets through."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from schemas.message import Count, Id, Message, Seconds, Sha256, Text, Utc

#: Where media may lie. Which hosts and folders of these are allowed is the worker's setting, not the wire's.
URI_SCHEMES = frozenset({"file", "s3", "http", "https"})


#: Tags are words, not texts.
Tag = Annotated[str, msgspec.Meta(max_length=200)]


class Media(Message, kw_only=True, frozen=True):
    """Where the media lies, and what must be found there. An event carries a link, never the media."""

    uri: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=4096, extra_json_schema={"pattern": "^(file|s3|https?)://"}),
    ]
    sha256: Sha256
    bytes: Count

    def __post_init__(self) -> None:
        scheme = urlsplit(self.uri).scheme
        # As it stands, too: urlsplit overlooks blanks and capitals, and whoever fetches it may not.
        if scheme not in URI_SCHEMES or not self.uri.startswith(f"{scheme}://"):
            allowed = ", ".join(f"{allowed}://" for allowed in sorted(URI_SCHEMES))
            raise ValueError(f"`uri` has the scheme {scheme!r}; it must begin exactly with one of {allowed}")


class Event(Message, kw_only=True, frozen=True):
    """One upload, or one segment of a livestream: the form in which every later stage carries it on.

    On the wire, `uploads` holds `Upload` and `segments` holds `Segment`; both are events.
    """

    event_id: Id
    content_id: Id
    publisher_id: Id
    provider_id: Id
    service: Annotated[Id, msgspec.Meta(description="e.g. short_video, live, audio")]
    media: Media
    created_at: Utc
    title: Text = ""
    description: Text = ""
    tags: Annotated[tuple[Tag, ...], msgspec.Meta(max_length=100)] = ()
    category: Annotated[str, msgspec.Meta(max_length=64, description="e.g. news")] = ""
    news_source: Annotated[str | None, msgspec.Meta(description="of reposted news: where it was taken from")] = None
    declared_synthetic: Annotated[
        bool | None, msgspec.Meta(description="what the publisher said; null: said nothing")
    ] = None
    feature_id: Annotated[Id | None, msgspec.Meta(description="the creation feature it was made with")] = None
    stream_id: Id | None = None
    seq: Count | None = None
    start_s: Seconds | None = None
    duration_s: Seconds | None = None
    last: bool = False
    audience: Annotated[
        str, msgspec.Meta(max_length=64, description="whom it is offered to, e.g. minors; empty: everybody")
    ] = ""
    reach: Annotated[
        Count | None,
        msgspec.Meta(description="how many people it is expected to reach, as the platform counts them; null: unknown"),
    ] = None


class Upload(Event, kw_only=True, frozen=True):
    """A whole item, on topic `uploads`."""

    schema_rules: ClassVar[tuple[dict[str, Any], ...]] = (
        {"description": "only a segment has a stream", "properties": {"stream_id": {"type": "null"}}},
    )

    def __post_init__(self) -> None:
        if self.stream_id is not None:
            raise ValueError("`stream_id` belongs to a livestream segment: produce this to the topic `segments`")


class Segment(Event, kw_only=True, frozen=True):
    """A piece of a livestream, decodable alone, on topic `segments`. Its content_id is its own, not the stream's."""

    stream_id: Id
    seq: Count
    start_s: Seconds
    duration_s: Seconds


#: What of a publisher gives reason to look closer at its items.
PublisherStanding = Literal["new", "sanctioned"]


class Admitted(Message, kw_only=True, frozen=True):
    """An event whose publisher, provider and feature passed the identity agent."""

    event: Event
    admitted_at: Utc
    labels: Annotated[
        tuple[Id, ...], msgspec.Meta(description="of the entity memory, on its publisher, devices and medium")
    ] = ()
    standing: Annotated[
        tuple[PublisherStanding, ...],
        msgspec.Meta(description="of the publisher, where it gives reason to look closer"),
    ] = ()
