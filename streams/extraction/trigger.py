"""What a trigger is: by what the first reading of an item found, it asks for another, more closely.

Extraction knows no agent; what only an agent can tell, such as that frames nearly match its bank, comes by one line in
the entry point group `veristream.triggers`.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from schemas.plan import Why
from schemas.signals import FrameHash
from schemas.topics import Topic
from streams.agent import Context


class Trigger(abc.ABC):
    """Says of a reading whether the item must be looked at again."""

    #: What it stands for in the policy's list of reasons to look closer.
    why: ClassVar[Why]
    #: Compacted topics that it looks things up in.
    views: ClassVar[tuple[Topic, ...]] = ()

    def __init__(self, context: Context) -> None:
        self.context = context

    @abc.abstractmethod
    def pulls(self, frames: Sequence[FrameHash]) -> bool:
        """Whether these hashes ask for it. Called in a thread beside the worker's, for one item at a time."""
