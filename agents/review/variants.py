"""Hashes of a picture turned or mirrored, from its own hash alone: for lists of hashes whose pictures nobody here has.

PDQ's bits say which of 16 × 16 coefficients of a cosine transform lie above their median, which is close to zero.
Turning a picture upside down or mirroring it changes the sign of the coefficients of odd frequency, and turning it by a
right angle swaps rows and columns besides. So the bits of the turned picture are these bits, moved and inverted, but
for the few whose coefficients lie between the median and zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from schemas.policy import ReviewPolicy
from schemas.signals import FrameHash, Signals

#: Coefficients on a side of the transform. Frequencies are 1 to 16, and a hash begins with the highest of both.
SIDE = 16
_ODD = np.arange(SIDE, 0, -1) % 2 == 1
#: Name → whether rows and columns are swapped, and whether odd frequencies across and down change their sign. The
#: picture as it was uploaded is `name` of the picture that was banned.
TURNS: dict[str, tuple[bool, bool, bool]] = {
    "mirror": (False, True, False),
    "rot180": (False, True, True),
    "mirror_rot180": (False, False, True),
    "rot90": (True, True, False),
    "rot270": (True, False, True),
    "mirror_rot90": (True, False, False),
    "mirror_rot270": (True, True, True),
}


def looked_for(signals: Signals, policy: ReviewPolicy) -> bool:
    """Whether an item's frames are looked up turned as well: seven times the work, so not of every item."""
    escalated = signals.ran is not None and signals.ran.plan.tier > 0
    return policy.hash_turned == "always" or (policy.hash_turned == "escalated" and escalated)


def turned(frames: Sequence[FrameHash], turn: str) -> list[FrameHash]:
    """The hashes that these frames would have, turned so; of film some 14 bits of 256 are wrong."""
    swaps, across, down = TURNS[turn]
    if not frames:
        return []
    packed = np.frombuffer(bytes.fromhex("".join(frame.pdq for frame in frames)), np.uint8).reshape(-1, 32)
    bits: NDArray[np.bool_] = np.unpackbits(packed, axis=1).astype(bool).reshape(-1, SIDE, SIDE)
    if swaps:
        bits = bits.transpose(0, 2, 1)
    if across:
        bits = bits ^ _ODD
    if down:
        bits = bits ^ _ODD[:, None]
    codes = np.packbits(bits.reshape(-1, SIDE * SIDE), axis=1)
    return [replace(frame, pdq=code.tobytes().hex()) for frame, code in zip(frames, codes, strict=True)]
