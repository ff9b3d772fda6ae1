"""H.264's parameter sets in mp4, mkv and flv (ISO/IEC 14496-15): two encoders' pictures in one stream need both."""

from __future__ import annotations

from typing import NamedTuple

#: Ids that sequence parameter sets may have, and x264 gives its picture parameter sets the same.
IDS = 32


class Sets(NamedTuple):
    """The parameter sets of a stream (avcC)."""

    #: Version, profile, constraints, level, and the size of lengths, less one.
    head: bytes
    sequence: tuple[bytes, ...]
    picture: tuple[bytes, ...]
    #: What High profiles have behind them.
    tail: bytes

    @property
    def ids(self) -> set[int]:
        """Ids that are taken."""
        return {_number(one[4:]) for one in self.sequence} | {_number(one[1:]) for one in self.picture}

    @property
    def length(self) -> int:
        """Bytes of the length in front of each unit."""
        return (self.head[4] & 3) + 1


def read(data: bytes) -> Sets:
    """Read an avcC.

    Raises:
        ValueError: it is none.
    """
    if len(data) < 7 or data[0] != 1:
        raise ValueError("no avcC")
    at, found = 5, []
    for mask in (0x1F, 0xFF):
        count, at, units = data[at] & mask, at + 1, []
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            units.append(data[at + 2 : at + 2 + size])
            if len(units[-1]) < 2 or len(units[-1]) != size:
                raise ValueError("avcC breaks off")
            at += 2 + size
        found.append(tuple(units))
        if at >= len(data) and mask == 0x1F:
            raise ValueError("avcC breaks off")
    return Sets(data[:5], found[0], found[1], data[at:])


def written(sets: Sets, more: Sets) -> bytes:
    """An avcC of both; the first one's profile stands, with the higher of their levels."""
    sequence, picture = (*sets.sequence, *more.sequence), (*sets.picture, *more.picture)
    head = sets.head[:3] + bytes((max(sets.head[3], more.head[3]), sets.head[4]))
    made = head + bytes((0xE0 | len(sequence),)) + b"".join(map(_sized, sequence))
    return made + bytes((len(picture),)) + b"".join(map(_sized, picture)) + sets.tail


def _sized(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def units(data: bytes) -> list[bytes]:
    """The units of a stream with start codes (Annex B)."""
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.strip(b"\0")]


def of_start_codes(data: bytes) -> Sets:
    """The parameter sets of an encoder that writes start codes."""
    found = units(data)
    sequence = tuple(unit for unit in found if unit[0] & 0x1F == 7)
    picture = tuple(unit for unit in found if unit[0] & 0x1F == 8)
    return Sets(b"\x01" + sequence[0][1:4] + b"\xff", sequence, picture, b"")


def with_lengths(data: bytes, length: int) -> bytes:
    """A coded picture of start codes with lengths instead, its parameter sets left out: they stand in the avcC."""
    kept = (unit for unit in units(data) if unit[0] & 0x1F not in (7, 8))
    return b"".join(len(unit).to_bytes(length, "big") + unit for unit in kept)


def _number(data: bytes) -> int:
    """An Exp-Golomb number at the beginning."""
    bits = int.from_bytes(data[:8].ljust(8, b"\0"), "big")
    zeros = 64 - bits.bit_length()
    return (bits >> (63 - 2 * zeros)) - 1 if zeros < 32 else IDS
