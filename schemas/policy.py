"""The policy: every threshold and rule that a policy team owns. Typos are refused, not dropped."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from schemas.decision import PolicyRef
from schemas.message import Id, Message, Score, Seconds, Text, convert

OnTerm = Literal["review", "takedown"]


class IdentityPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Who may publish."""

    require_real_name: bool = True
    require_number: Annotated[
        bool,
        msgspec.Meta(description="a person's ID or mobile number, an organisation's code, must be on file"),
    ] = True
    require_licence: bool = True
    require_assessment: bool = True


class Term(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A word or phrase that titles, descriptions and tags are searched for."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    category: Annotated[str, msgspec.Meta(max_length=64)]
    action: OnTerm = "review"


class ReviewPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What must not be published."""

    hash_max_distance: Annotated[
        int,
        msgspec.Meta(ge=0, le=128, description="bits of 256 that may differ; 31 is PDQ's published threshold"),
    ] = 31
    hash_min_quality: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    hash_min_frames: Annotated[
        int,
        msgspec.Meta(ge=1, description="frames that must match before a hit is a takedown; fewer: review"),
    ] = 1
    nudity_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.8
    nudity_takedown: Annotated[Score | None, msgspec.Meta(description="null: off")] = None
    blank_review: Annotated[Score | None, msgspec.Meta(description="null: off")] = 0.98
    terms: tuple[Term, ...] = ()


class SyntheticPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What happens to media that is not real. Each action is for an item without a valid label of its own."""

    declared: Literal["label", "takedown"] = "takedown"
    non_compliant: Literal["label", "takedown"] = "takedown"
    traces: Literal["allow", "label", "review", "takedown"] = "label"
    label_min_seconds: Annotated[Seconds, msgspec.Meta(description="GB 45438-2025: at least 2 s")] = 2.0
    text_generated: Text = "内容由AI生成 AI-generated"
    text_possible: Text = "内容可能由AI生成 May be AI-generated"
    text_suspected: Text = "内容疑似由AI生成 Suspected AI-generated"
    propagator: Annotated[
        str,
        msgspec.Meta(max_length=64, description="the platform's own code in the AIGC object (27 characters)"),
    ] = ""


class RumorPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Rumours, and fake news made with generated media."""

    match: Annotated[Score, msgspec.Meta(description="similarity from which a text repeats a listed claim")] = 0.8
    on_refuted: Literal["label", "review", "takedown"] = "label"
    on_suspected: Literal["allow", "label", "review"] = "review"
    notice: Text = "该内容涉及已辟谣信息 This repeats a claim that has been refuted"
    news_categories: tuple[str, ...] = ("news",)
    fake_news: Literal["review", "takedown"] = "takedown"


class VerdictPolicy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Whose decisions an item waits for, and how long, before it is held."""

    agents: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1)] = ("identity", "review", "synthetic", "rumor")
    upload_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="seconds")] = 120.0
    segment_deadline_s: Annotated[float, msgspec.Meta(gt=0, description="seconds")] = 15.0


class Policy(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One version of a policy. A version is never changed: what is changed gets the next number."""

    name: Id
    version: Annotated[int, msgspec.Meta(ge=1)]
    comment: Text = ""
    identity: IdentityPolicy = IdentityPolicy()
    review: ReviewPolicy = ReviewPolicy()
    synthetic: SyntheticPolicy = SyntheticPolicy()
    rumor: RumorPolicy = RumorPolicy()
    verdict: VerdictPolicy = VerdictPolicy()

    def __post_init__(self) -> None:
        review, takedown = self.review.nudity_review, self.review.nudity_takedown
        if review is not None and takedown is not None and takedown < review:
            raise ValueError("`review.nudity_takedown` lies below `review.nudity_review`: review would never happen")

    @property
    def ref(self) -> PolicyRef:
        """Name and version, as decisions carry them."""
        return PolicyRef(name=self.name, version=self.version)


def default_policy(name: str = "default") -> Policy:
    """The documented policy that ships as `schemas/policy.toml`: in force, under this name, until one is sent."""
    text = files("schemas").joinpath("policy.toml").read_text("utf-8")
    return msgspec.structs.replace(convert(Policy, tomllib.loads(text)), name=name)
