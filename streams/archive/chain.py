"""The chain: one signed line for everything that ever happened to the archive's files, each naming the line before."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.archive import proof

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: What the first line names as the one before it.
GENESIS = "0" * 64
Record = dict[str, Any]


class ArchiveError(RuntimeError):
    """The archive cannot be used as it is; the text says what is wrong and what to do."""


def load_key(path: Path, *, create: bool = False) -> Ed25519PrivateKey:
    """The archive's private key; with `create`, made if there is none.

    Raises:
        ArchiveError: there is none, others may read it, or it is no Ed25519 key.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not path.exists():
        if not create:
            raise ArchiveError(f"archive_key: there is no file {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        making = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        making.rename(path)
    if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        raise ArchiveError(f"archive_key: others may read {path} (mode {mode:04o}): say chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"archive_key: {path} is not a PEM file of a private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ArchiveError(f"archive_key: {path} is not an Ed25519 key")
    return key


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """The public half, as a PEM file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Chain:
    """The file `_chain/chain.jsonl` of an archive. One process writes it; any may read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "_chain"
        self.path = self.folder / "chain.jsonl"
        self.seq = 0
        self.head = GENESIS

    @property
    def public(self) -> Path:
        """Where the public key lies."""
        return self.folder / "public.pem"

    def records(self) -> Iterator[Record]:
        """Every record, in order; leaves the chain's head known.

        Raises:
            ArchiveError: a line is damaged or out of order. `verify` says more.
        """
        self.seq, self.head = 0, GENESIS
        for number, line in enumerate(self.lines(), 1):
            try:
                record: Record = json.loads(line)["record"]
                if record["seq"] != self.seq or record["prev"] != self.head:
                    raise ValueError("it does not follow the line before it")
            except (ValueError, KeyError, TypeError) as error:
                raise ArchiveError(
                    f"{self.path} line {number} is damaged ({error}): see `veristream evidence verify`; "
                    "nothing is written after it"
                ) from error
            self.seq, self.head = self.seq + 1, proof.line_hash(line)
            yield record

    def lines(self) -> Iterator[bytes]:
        """The lines that were written whole: a last one without its end was never answered for."""
        if self.path.exists():
            with self.path.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def mend(self) -> None:
        """Cut off the beginning of a line that a crash left at the end."""
        if not self.path.exists():
            return
        whole = sum(map(len, self.lines()))
        if whole != self.path.stat().st_size:
            os.truncate(self.path, whole)

    def append(self, key: Ed25519PrivateKey, records: Sequence[Record]) -> list[Record]:
        """Sign records and put them at the end, on the disk when this returns; all of them or, with OSError, none."""
        seq, head, lines, made = self.seq, self.head, [], []
        for record in records:
            whole = {"seq": seq, "prev": head, **record}
            signature = key.sign(proof.CHAIN + proof.canonical(whole)).hex()
            line = proof.canonical({"record": whole, "sig": signature}) + b"\n"
            seq, head = seq + 1, proof.line_hash(line)
            lines.append(line)
            made.append(whole)
        self.folder.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                _write_all(file.fileno(), b"".join(lines))
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), before)
                raise
        if new:
            sync_folder(self.folder)
        self.seq, self.head = seq, head
        return made


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(*folders: Path) -> None:
    """Bring names that were made, changed or removed in these folders to the disk."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def files_of(records: Iterable[Record]) -> dict[str, Record]:
    """The files that are in force after these records: path → its record."""
    live: dict[str, Record] = {}
    for record in records:
        if record["kind"] == "file":
            for former in record.get("replaces", ()):
                live.pop(former["path"], None)
            live[record["path"]] = record
        elif record["kind"] == "expire":
            for former in record["files"]:
                live.pop(former["path"], None)
    return live
