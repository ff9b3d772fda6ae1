"""The plan: how closely one item is looked at, and why. Policy and what is known of the publisher set it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from schemas.message import Id, Message, Seconds

#: Why an item is looked at more closely than every item is.
Why = Literal["always", "publisher_new", "publisher_sanctioned", "labelled", "news", "declared_synthetic", "near_miss"]


class Look(Message, kw_only=True, frozen=True):
    """How one detector looks at an item."""

    run: Annotated[
        Literal["always", "cued", "off"],
        msgspec.Meta(description="cued: only at what another detector pointed to, e.g. speech, text"),
    ] = "always"
    every_s: Annotated[
        Seconds | None, msgspec.Meta(description="a frame each so many seconds, scenes besides; null: all sampled")
    ] = None


class Plan(Message, kw_only=True, frozen=True):
    """How an item is looked at: tier 0 is what every item gets, tier 1 what gives reason for more."""

    tier: Annotated[int, msgspec.Meta(ge=0, le=1)] = 0
    why: Annotated[tuple[Why, ...], msgspec.Meta(description="what put it into tier 1")] = ()
    every_s: Annotated[
        Seconds | None, msgspec.Meta(description="a frame is sampled each so many seconds; null: the worker's setting")
    ] = None
    key_frames: Annotated[bool, msgspec.Meta(description="each key frame is sampled as well")] = True
    decode: Annotated[
        Literal["all", "cheap"],
        msgspec.Meta(description="cheap: no frame that no other needs, no loop filter, nothing after the last sample"),
    ] = "cheap"
    detectors: Annotated[dict[Id, Look], msgspec.Meta(description="one not named runs as an unnamed Look")] = {}


class Ran(Message, kw_only=True, frozen=True):
    """The plan as it was carried out."""

    plan: Plan
    cued: Annotated[
        dict[Id, int], msgspec.Meta(description="detector → frames and stretches of sound that a cue brought to it")
    ] = {}
