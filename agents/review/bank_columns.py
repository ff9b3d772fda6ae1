"""Entries of the hash bank packed into flat arrays, so that nothing of a frame is a Python object. Pure.

A million frames with the tables to search them take some 140 MB (`make bench ARGS=bank`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from agents.review import multihash
from schemas.bank import BankFrame, HashEntry
from schemas.message import encode

#: Rows, bytes and entries that are copied at once: bounds what a merge takes beside its result, and how long it keeps
#: the interpreter from other threads.
COPIED, COPIED_ENTRIES = 1 << 18, 1 << 14
#: Hashes of which chunks are cut at once.
CUT = 1 << 16

KNOWN_GOOD, INACTIVE = 1, 2
NEVER = float("inf")

Array = NDArray[Any]


#: The arrays: name → type. Those of rows (frames), of entries (sorted by `keys`), and of what entries have of bytes.
_ROWS = {"words": "u8", "at": "f8", "quality": "u1", "variant": "u2"}
_ENTRIES = {"keys": "u8", "ident": "u8", "first": "u4", "flags": "u1", "expires": "f8"}
_BYTES = {"about": "u1", "heavy": "u1"}
_FILES = {"file": "u8", "file_entry": "u4"}


class About(msgspec.Struct, frozen=True):
    """What is told of an entry that is matched."""

    entry_id: str
    category: str
    kind: Literal["banned", "known_good"] = "banned"
    bank: str = "default"
    severity: Literal["low", "medium", "high", "highest"] = "high"


#: Fields that no match tells of, and that are large: they lie apart, so that what is told lies close together.
_HEAVY = ("sounds", "points")
_KEPT = [field for field in msgspec.structs.fields(HashEntry) if field.name not in ("frames", *_HEAVY)]
_pack = msgspec.msgpack.Encoder().encode
_about = msgspec.msgpack.Decoder(About).decode
_unpack = msgspec.msgpack.Decoder().decode


def key_of(entry_id: str) -> int:
    """The number by which an entry is looked up; two ids may have the same one."""
    return int.from_bytes(blake2b(entry_id.encode(), digest_size=8).digest(), "little")


def ident_of(entry: HashEntry) -> tuple[int, int]:
    """What tells this entry from every other, and from its former and later rows."""
    digest = blake2b(encode(entry), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def digest_number(digest: str) -> int:
    """The number by which a file's SHA-256 or MD5 is looked up: its first 64 bits."""
    return int(digest[:16], 16)


class Columns:
    """The arrays of some entries, with tables to search them or without."""

    def __init__(self, arrays: Mapping[str, Array], variants: Sequence[str]) -> None:
        self.arrays = arrays
        self.variants = tuple(variants)
        self.words: multihash.Words = arrays["words"]
        self.keys, self.ident, self.first = arrays["keys"], arrays["ident"], arrays["first"]
        self.flags, self.expires, self.quality = arrays["flags"], arrays["expires"], arrays["quality"]
        self.tables = _tables(arrays, len(self.words)) if "ids" in arrays else None

    @property
    def rows(self) -> int:
        """Frames."""
        return len(self.words)

    @property
    def entries(self) -> int:
        """Entries."""
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """What the arrays take."""
        return sum(array.nbytes for array in self.arrays.values())

    def near(self, queries: multihash.Words, distance: int, sure: int | None) -> multihash.Found:
        """All pairs of a query and a row within the distance."""
        if self.tables is None:
            return multihash.scan(self.words.T, queries, distance)
        return multihash.near(self.words, self.tables, queries, distance, sure=sure)

    def entry_of(self, rows: NDArray[Any]) -> multihash.Numbers:
        """The numbers of the entries that these rows are of."""
        return np.searchsorted(self.first, rows, side="right") - 1

    def number(self, entry_id: str, key: int) -> int | None:
        """The number of the entry with this id."""
        at = int(np.searchsorted(self.keys, np.uint64(key)))
        while at < self.entries and int(self.keys[at]) == key:
            if self.about(at).entry_id == entry_id:
                return at
            at += 1
        return None

    def with_file(self, digest: str) -> Iterable[int]:
        """Entries that may be of the file with this SHA-256 or MD5."""
        number, files = np.uint64(digest_number(digest)), self.arrays["file"]
        at = int(np.searchsorted(files, number))
        while at < len(files) and files[at] == number:
            yield int(self.arrays["file_entry"][at])
            at += 1

    def about(self, entry: int) -> About:
        """What is told of it."""
        return _about(self._bytes("about", entry))

    def entry(self, number: int, *, frames: bool = True) -> HashEntry:
        """The entry as it came, or without its frames, sounds and points."""
        fields: dict[str, Any] = _unpack(self._bytes("about", number))
        if frames:
            fields["frames"] = self._frames(slice(int(self.first[number]), int(self.first[number + 1])))
            heavy = self._bytes("heavy", number)
            fields |= _unpack(heavy) if heavy else {}
        return msgspec.convert(fields, HashEntry)

    def _frames(self, rows: slice) -> list[dict[str, Any]]:
        words = np.ascontiguousarray(self.words[rows])
        columns = (self.arrays[name][rows].tolist() for name in ("quality", "at", "variant"))
        return [
            {"pdq": code.tobytes().hex(), "quality": quality, "at_s": at_s, "variant": self.variants[variant]}
            for code, quality, at_s, variant in zip(words, *columns, strict=True)
        ]

    def _bytes(self, name: str, entry: int) -> bytes:
        ends = self.arrays[f"{name}_at"]
        return self.arrays[name][int(ends[entry]) : int(ends[entry + 1])].tobytes()


def _tables(arrays: Mapping[str, Array], rows: int) -> multihash.Tables:
    ids = arrays["ids"]
    ends = np.cumsum([0, *((1 << width) + 1 for width in multihash.widths(len(ids)))])
    starts = [arrays["starts"][begin:end] for begin, end in pairwise(ends)]
    return multihash.Tables(list(ids), starts)


def packed(entries: Iterable[tuple[HashEntry, tuple[int, int]]]) -> Columns:
    """Arrays of these entries, each with its `ident_of`."""
    given = sorted(((key_of(entry.entry_id), entry, ident) for entry, ident in entries), key=lambda one: one[0])
    frames: list[BankFrame] = []
    first, about, heavy, flags, expires = [0], [], [], [], []
    files: list[tuple[int, int]] = []
    for number, (_, entry, _) in enumerate(given):
        frames += entry.frames
        first.append(len(frames))
        about.append(_packed_about(entry))
        large = {name: value for name in _HEAVY if (value := getattr(entry, name))}
        heavy.append(_pack(large) if large else b"")
        flags.append(KNOWN_GOOD * (entry.kind == "known_good") | INACTIVE * (not entry.active))
        expires.append(entry.expires_at.timestamp() if entry.expires_at else NEVER)
        files += [(digest_number(digest), number) for digest in (entry.sha256, entry.md5) if digest]
    files.sort()
    variants = sorted({frame.variant for frame in frames})
    numbers = {variant: number for number, variant in enumerate(variants)}
    return Columns(
        {
            "words": multihash.words([frame.pdq for frame in frames]),
            "at": np.array([frame.at_s for frame in frames], "f8"),
            "quality": np.array([frame.quality for frame in frames], "u1"),
            "variant": np.array([numbers[frame.variant] for frame in frames], "u2"),
            "keys": np.array([key for key, _, _ in given], "u8"),
            "ident": np.array([ident for _, _, ident in given], "u8").reshape(-1, 2),
            "first": np.array(first, "u4"),
            "flags": np.array(flags, "u1"),
            "expires": np.array(expires, "f8"),
            **_joined_bytes("about", about),
            **_joined_bytes("heavy", heavy),
            "file": np.array([number for number, _ in files], "u8"),
            "file_entry": np.array([entry for _, entry in files], "u4"),
        },
        variants,
    )


def _packed_about(entry: HashEntry) -> bytes:
    values = {field.name: getattr(entry, field.name) for field in _KEPT}
    return _pack({field.name: values[field.name] for field in _KEPT if values[field.name] != field.default})


def _joined_bytes(name: str, parts: Sequence[bytes]) -> dict[str, Array]:
    ends = np.zeros(len(parts) + 1, "u8")
    np.cumsum([len(part) for part in parts], out=ends[1:])
    return {name: np.frombuffer(b"".join(parts), "u1"), f"{name}_at": ends}


class Part(NamedTuple):
    """Columns, and which of their entries are taken."""

    columns: Columns
    taken: NDArray[np.bool_]


def merged(parts: Sequence[Part], *, searched: bool = True, ended: Callable[[], bool] = lambda: False) -> Columns:
    """What is taken of all parts, in memory; `searched`: with tables to search it.

    Raises:
        InterruptedError: `ended` said so.
    """
    plan = Merge(parts, searched=searched)
    arrays = {name: np.zeros(shape, kind) for name, (kind, shape) in plan.layout.items()}
    plan.fill(arrays, ended)
    return Columns(arrays, plan.variants)


class Merge:
    """Where each entry of a merge comes from, and what the result looks like."""

    def __init__(self, parts: Sequence[Part], *, searched: bool = True) -> None:
        self.parts = [part.columns for part in parts]
        numbers = [np.flatnonzero(part.taken) for part in parts]
        source = np.repeat(np.arange(len(parts)), [len(some) for some in numbers])
        number = np.concatenate([*numbers, np.zeros(0, np.int64)])
        keys = np.concatenate(
            [*(part.keys[some] for part, some in zip(self.parts, numbers, strict=True)), np.zeros(0, "u8")]
        )
        order = np.argsort(keys, kind="stable")
        self.source, self.number, self.keys = source[order], number[order], keys[order]
        self.variants = sorted({variant for part in self.parts for variant in part.variants})
        self.first = self._ends("first", "u4")
        self.byte_ends = {name: self._ends(f"{name}_at", "u8") for name in _BYTES}
        self.files = self._files()
        rows, entries = int(self.first[-1]), len(self.keys)
        self.layout: dict[str, tuple[str, tuple[int, ...]]] = {
            "words": ("u8", (rows, 4)),
            **{name: (kind, (rows,)) for name, kind in _ROWS.items() if name != "words"},
            **{name: (kind, (entries,)) for name, kind in _ENTRIES.items()},
            "ident": ("u8", (entries, 2)),
            "first": ("u4", (entries + 1,)),
            **{name: (kind, (int(self.byte_ends[name][-1]),)) for name, kind in _BYTES.items()},
            **{f"{name}_at": ("u8", (entries + 1,)) for name in _BYTES},
            **{name: (kind, (len(self.files[0]),)) for name, kind in _FILES.items()},
        }
        if searched:
            chunks = multihash.chunks_for(rows)
            starts = sum((1 << width) + 1 for width in multihash.widths(chunks))
            self.layout |= {"ids": ("u4", (chunks, rows)), "starts": ("u4", (starts,))}

    def _of(self, name: str) -> Array:
        """An array's values for all entries, each from its part."""
        found = np.zeros((len(self.keys), *self.parts[0].arrays[name].shape[1:]), self.parts[0].arrays[name].dtype)
        for place, part in enumerate(self.parts):
            here = self.source == place
            found[here] = part.arrays[name][self.number[here]]
        return found

    def _ends(self, name: str, kind: str) -> Array:
        sizes = np.zeros(len(self.keys), np.int64)
        for place, part in enumerate(self.parts):
            here, ends = self.source == place, part.arrays[name]
            sizes[here] = ends[self.number[here] + 1].astype(np.int64) - ends[self.number[here]].astype(np.int64)
        found = np.zeros(len(sizes) + 1, kind)
        np.cumsum(sizes, out=found[1:])
        return found

    def _files(self) -> tuple[Array, Array]:
        numbers, entries = [np.zeros(0, "u8")], [np.zeros(0, "u4")]
        for place, part in enumerate(self.parts):
            here = np.flatnonzero(self.source == place)
            now_at = np.full(part.entries, -1, np.int64)
            now_at[self.number[here]] = here
            entry = now_at[part.arrays["file_entry"]]
            numbers.append(part.arrays["file"][entry >= 0])
            entries.append(entry[entry >= 0].astype("u4"))
        number, entry = np.concatenate(numbers), np.concatenate(entries)
        order = np.argsort(number, kind="stable")
        return number[order], entry[order]

    def fill(self, arrays: Mapping[str, Array], ended: Callable[[], bool]) -> None:
        """Write everything."""

        def go_on() -> None:
            if ended():
                raise InterruptedError("the merge is not wanted any longer")

        for name, values in (("keys", self.keys), ("first", self.first), ("file", self.files[0])):
            arrays[name][:] = values
        arrays["file_entry"][:] = self.files[1]
        for name in ("ident", "flags", "expires"):
            arrays[name][:] = self._of(name) if self.parts else 0
        for name, ends in self.byte_ends.items():
            arrays[f"{name}_at"][:] = ends
            self._copy((name,), f"{name}_at", ends, arrays, go_on)
        self._copy(tuple(_ROWS), "first", self.first, arrays, go_on)
        if "ids" in arrays:
            _index(arrays["words"], arrays["ids"], arrays["starts"], go_on)

    def _copy(
        self, names: Sequence[str], by: str, ends: Array, arrays: Mapping[str, Array], go_on: Callable[[], None]
    ) -> None:
        """Copy what entries have several of, block by block."""
        at = 0
        while at < len(self.keys):
            most = int(np.searchsorted(ends, int(ends[at]) + COPIED, side="right")) - 1
            until = min(len(self.keys), max(at + 1, min(most, at + COPIED_ENTRIES)))
            for place, part in enumerate(self.parts):
                here = np.flatnonzero(self.source[at:until] == place) + at
                begins = ends[here].astype(np.int64)
                counts = ends[here + 1].astype(np.int64) - begins
                target = multihash.ranges(begins, counts)
                origin = multihash.ranges(part.arrays[by][self.number[here]].astype(np.int64), counts)
                for name in names:
                    values = part.arrays[name][origin]
                    if name == "variant":
                        renamed = np.array([self.variants.index(variant) for variant in part.variants], "u2")
                        values = renamed[values]
                    arrays[name][target] = values
            at = until
            go_on()


def _index(words: multihash.Words, ids: Array, starts: Array, go_on: Callable[[], None]) -> None:
    """Write the tables that these hashes are searched by."""
    chunks, begin = len(ids), 0
    values = np.empty((chunks, len(words)), "u4")
    for at in range(0, len(words), CUT):
        values[:, at : at + CUT] = multihash.chunk_values(words[at : at + CUT], chunks)
        go_on()
    for chunk, width in enumerate(multihash.widths(chunks)):
        end = begin + (1 << width) + 1
        multihash.fill(values[chunk], ids[chunk], starts[begin:end])
        begin = end
        go_on()
