"""The policy that is in force until the policy team sends its own."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import msgspec

from schemas.message import convert
from schemas.policy import Policy


def default_policy(name: str = "default") -> Policy:
    """The documented policy file that ships in `agents/policy.toml`, under the given name."""
    text = files("agents").joinpath("policy.toml").read_text("utf-8")
    return msgspec.structs.replace(convert(Policy, tomllib.loads(text)), name=name)
