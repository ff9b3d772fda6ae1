"""Where a view's rows lie: small views in a dict of messages, big ones packed, in memory or on disk.

Packed, a million publishers take less than half of what they take as messages, keys and all (`make bench
ARGS=registry`), for some microseconds a look-up. With the setting `state_dir` they lie on disk instead (RocksDB), for
registries that do not fit memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, MutableMapping
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import msgspec
from msgspec import inspect

from schemas.topics import PUBLISHERS, STANDINGS, Topic
from streams.metrics import Metrics
from streams.settings import SettingsError

#: Views with a row for each publisher; every other one is small enough for a dict of messages.
BIG = frozenset({PUBLISHERS.name, STANDINGS.name})
#: What RocksDB may keep of the rows in memory, in bytes. Filters and indexes come on top: about 2 bytes a row.
DISK_CACHE = 128 * 2**20
#: Bits a row of the filter that spares looking on disk for what is not there: 1 % go amiss (Bloom, 1970).
FILTER_BITS = 10

_HEX = "^[0-9a-f]{64}$"

Convert = Callable[[Any], Any]
#: How values of a type are packed and unpacked; None: as they are.
Codec = tuple[Convert, Convert] | None


class PackedRows(MutableMapping[str, Any]):
    """key → row, each row as few bytes: values in the order of their fields, words of a fixed choice as their number,
    digests as raw bytes, and without the key, which is there already. A row is unpacked at each lookup."""

    def __init__(self, topic: Topic, store: MutableMapping[str, bytes] | None = None) -> None:
        self._packed = {} if store is None else store
        found = _codec(inspect.type_info(topic.message), without=topic.key)
        assert found is not None
        self._pack, self._unpack = found
        self._key = topic.key

    def __getitem__(self, key: str) -> Any:
        return self._unpack([*_load(self._packed[key]), key])

    def __setitem__(self, key: str, row: Any) -> None:
        if getattr(row, self._key) != key:
            raise ValueError(f"the row of {key!r} names another key")
        self._packed[key] = _dump(self._pack(row))

    def __delitem__(self, key: str) -> None:
        del self._packed[key]

    def __contains__(self, key: object) -> bool:
        return key in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


class DiskRows(PackedRows):
    """Packed rows on disk: a cache of a compacted topic, wiped at each start and filled again from the topic, so that
    it can neither go stale nor be damaged for good."""

    def __init__(self, topic: Topic, folder: Path) -> None:
        """Raises SettingsError: the folder cannot be used, another process uses it, or RocksDB is not installed."""
        self._disk = _Disk(folder / f"{topic.name}.rocksdb")
        super().__init__(topic, self._disk)

    def close(self) -> None:
        """Let go of the folder; the rows can no longer be looked up."""
        self._disk.close()


class RowsFactory(Protocol):
    """Makes a place for the rows of one topic that is more than a mapping, such as an index of what they hold; found by
    the topic's name in the entry point group `veristream.rows`."""

    def __call__(self, *, folder: Path | None, metrics: Metrics | None) -> MutableMapping[str, Any]:
        """`folder`: where it may keep files, those that all workers of the machine share among them."""


def rows_for(topic: Topic, state_dir: Path | None = None, metrics: Metrics | None = None) -> MutableMapping[str, Any]:
    """An empty place for the rows of a topic."""
    for point in entry_points(group="veristream.rows", name=topic.name):
        made: RowsFactory = point.load()
        return made(folder=state_dir, metrics=metrics)
    if topic.name not in BIG:
        return {}
    return DiskRows(topic, state_dir) if state_dir else PackedRows(topic)


class _Disk(MutableMapping[str, bytes]):
    """A RocksDB as a mapping, with its rows counted: RocksDB itself only estimates how many there are."""

    def __init__(self, path: Path) -> None:
        try:
            from rocksdict import BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, WriteOptions
        except ImportError as error:
            raise SettingsError("state_dir: install the extra `disk` (pip install 'veristream[disk]')") from error
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(FILTER_BITS, False)
        blocks.set_block_cache(Cache(DISK_CACHE))
        options = Options(raw_mode=True)
        options.set_block_based_table_factory(blocks)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(1)
        unlogged = WriteOptions()
        # Nothing is to survive a crash: the topic has it. It is a property; the library's stubs take it for a method.
        unlogged.disable_wal = True  # type: ignore[method-assign, assignment]
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists():
                Rdict.destroy(str(path), options)  # refuses while another process has it open
                shutil.rmtree(path, ignore_errors=True)
            self._db = Rdict(str(path), options)
        except Exception as error:  # RocksDB's errors have no type of their own
            raise SettingsError(f"state_dir: {path} cannot be used, or another worker uses it: {error}") from error
        self._db.set_write_options(unlogged)
        self._count = 0

    def __getitem__(self, key: str) -> bytes:
        found = self._db.get(key.encode())
        if found is None:
            raise KeyError(key)
        return bytes(found)

    def __setitem__(self, key: str, value: bytes) -> None:
        raw = key.encode()
        self._count += raw not in self._db
        self._db[raw] = value

    def __delitem__(self, key: str) -> None:
        raw = key.encode()
        if raw not in self._db:
            raise KeyError(key)
        del self._db[raw]
        self._count -= 1

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.encode() in self._db

    def __iter__(self) -> Iterator[str]:
        # RocksDB's handle iterates over its keys only when asked for them.
        return (raw.decode() for raw in self._db.keys() if isinstance(raw, bytes))  # noqa: SIM118

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        self._db.close()


_dump = msgspec.msgpack.Encoder().encode
#: Without a type: what comes out is put into its type by the codec, from values that were checked before.
_load = msgspec.msgpack.Decoder().decode


def _codec(kind: inspect.Type, without: str = "") -> Codec:
    """How values of this type are packed. A struct's field `without` is left out, and expected last in unpacking."""
    match kind:
        case inspect.Metadata():
            return _codec(kind.type)
        case inspect.StructType():
            return _struct(kind, without)
        case inspect.StrType(pattern=pattern) if pattern == _HEX:
            return bytes.fromhex, bytes.hex
        case inspect.LiteralType():
            numbers = {word: number for number, word in enumerate(kind.values)}
            return numbers.__getitem__, kind.values.__getitem__
        case inspect.VarTupleType():
            return _each(_codec(kind.item_type), tuple)
        case inspect.ListType():
            return _each(_codec(kind.item_type), list)
        case inspect.DictType():
            return _values(_codec(kind.value_type))
        case inspect.UnionType():
            return _optional(kind)
    return None  # numbers, words, times: MessagePack has them


def _struct(kind: inspect.StructType, without: str) -> Codec:
    fields = sorted(kind.fields, key=lambda field: field.name == without)
    names = [field.name for field in fields]
    kept = [name for name in names if name != without]
    converted = [(place, codec) for place, field in enumerate(fields) if (codec := _codec(field.type))]
    get: Convert = attrgetter(*kept) if len(kept) > 1 else lambda row: [getattr(row, name) for name in kept]

    def pack(row: Any) -> list[Any]:
        values = list(get(row))
        for place, (convert, _) in converted:
            values[place] = convert(values[place])
        return values

    def unpack(values: list[Any]) -> Any:
        for place, (_, convert) in converted:
            values[place] = convert(values[place])
        return kind.cls(**dict(zip(names, values, strict=True)))

    return pack, unpack


def _each(codec: Codec, made: Callable[[Any], Any]) -> Codec:
    if codec is None:
        return list, made
    pack, unpack = codec
    return lambda values: [*map(pack, values)], lambda values: made(map(unpack, values))


def _values(codec: Codec) -> Codec:
    if codec is None:
        return None
    pack, unpack = codec
    return (
        lambda values: {key: pack(value) for key, value in values.items()},
        lambda values: {key: unpack(value) for key, value in values.items()},
    )


def _optional(kind: inspect.UnionType) -> Codec:
    others = [codec for part in kind.types if (codec := _codec(part))]
    if not others:
        return None
    if len(kind.types) > 2 or not kind.includes_none:
        raise TypeError(f"rows with a choice of types cannot be packed: {kind}")
    pack, unpack = others[0]
    return (
        lambda value: None if value is None else pack(value),
        lambda value: None if value is None else unpack(value),
    )
