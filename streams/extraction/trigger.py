"""What a trigger is: by what the first reading of an item found, it asks for another, more closely.

Extraction knows no agent; what only an agent can tell, such as that frames nearly match its bank, comes by one line in
the entry point group `veristream.triggers`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from schemas.plan import Why
from schemas.policy import Policy
from schemas.signals import Signal
from streams.extraction.read import Reading
from streams.views import View


class Trigger(abc.ABC):
    """Says of a reading whether the item must be looked at again."""

    #: What it stands for in the policy's list of reasons to look closer.
    why: ClassVar[Why]

    def __init__(self, views: Mapping[str, View[Any]]) -> None:
        """`views`: those of the extraction agent."""
        self.views = views

    @abc.abstractmethod
    def fires(self, reading: Reading, policy: Policy, now: datetime) -> bool:
        """Whether this reading gives reason for a closer one."""

    def signals(self, reading: Reading, policy: Policy, now: datetime) -> tuple[Signal, ...]:
        """What the last reading of the item is found to be like; called in a thread, for each item anew."""
        return ()
