"""What proves a row: salted digests of its fields, a Merkle tree over a file's rows, a signed chain over the files.

This file is also the script that goes with every exported bundle: `python verify.py` in the unpacked bundle checks it
with nothing but Python's standard library and `cryptography`. So it imports nothing of the project.

- digest of a field: SHA-256(salt ‖ length of name, 2 bytes ‖ name ‖ raw value). Salts are 16 bytes each, cut from
  SHAKE-128(seed of the file ‖ offset, 8 bytes): who gets some fields of a row can't guess the others by trying.
- leaf (RFC 6962, 2.1): SHA-256(0x00 ‖ length of meta, 4 bytes ‖ meta ‖ digests), meta being topic, partition, offset
  and timestamp; node: SHA-256(0x01 ‖ left ‖ right).
- a record of the chain: one line of JSON, `{"record": …, "sig": …}`; its hash is that of the line, and stands in the
  next as `prev`; the signature is Ed25519 over the record's bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

#: As many bits as SHA-256 can be searched for: guessing a salt is no easier than forging a digest.
SALT = 16
#: What comes before the signed bytes, so that a signature on one thing never fits another.
CHAIN, MANIFEST = b"veristream-chain-1\n", b"veristream-manifest-1\n"


def salts(seed: bytes, offset: int, count: int) -> bytes:
    """The salts of a row's fields, one after the other."""
    return hashlib.shake_128(seed + offset.to_bytes(8, "big")).digest(SALT * count)


def head(name: bytes) -> bytes:
    """What a field's digest has between salt and value."""
    return len(name).to_bytes(2, "big") + name


def field_digest(salt: bytes, name: bytes, raw: bytes) -> bytes:
    """What stands for a field in the leaf, whether it is shown or not."""
    return hashlib.sha256(salt + head(name) + raw).digest()


def meta(topic: str, partition: int, offset: int, timestamp: int) -> bytes:
    """Where and when a row lay; `timestamp` in ms since 1970, as Kafka has it."""
    return f"{topic}\n{partition}\n{offset}\n{timestamp}".encode()


def leaf(about: bytes, digests: Iterable[bytes]) -> bytes:
    """The hash of a row."""
    return hashlib.sha256(b"\x00" + len(about).to_bytes(4, "big") + about + b"".join(digests)).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """From the leaves to the root; a last one without a neighbour goes up as it is, which gives RFC 6962's tree."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [node(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        levels.append(above + below[len(above) * 2 :])
    return levels


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves; of none, the hash of nothing."""
    return _levels(leaves)[-1][0] if leaves else hashlib.sha256(b"").digest()


def paths(leaves: Sequence[bytes], indices: Iterable[int]) -> list[list[bytes]]:
    """The hashes that lead from each of these leaves to the root, lowest first."""
    levels, found = _levels(leaves), []
    for index in indices:
        steps, at = [], index
        for level in levels[:-1]:
            if (beside := at ^ 1) < len(level):
                steps.append(level[beside])
            at //= 2
        found.append(steps)
    return found


def root_by_path(hashed: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its path give; None if the path does not fit a tree of that size."""
    at, last, steps = index, size - 1, iter(path)
    if not 0 <= index < size:
        return None
    while last:
        if at % 2 or at < last:
            step = next(steps, None)
            if step is None:
                return None
            hashed = node(step, hashed) if at % 2 else node(hashed, step)
        at, last = at // 2, last // 2
    return hashed if next(steps, None) is None else None


def canonical(record: object) -> bytes:
    """The bytes of a record that are hashed and signed."""
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def line_hash(line: bytes) -> str:
    """What the next record of the chain names as `prev`."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def signed_by(public_pem: bytes, signature: str, what: bytes) -> bool:
    """Whether this is the key's signature on these bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public_pem)
    try:
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(bytes.fromhex(signature), what)
    except (InvalidSignature, ValueError):
        return False
    return True


def row_fault(row: dict[str, Any], files: dict[str, dict[str, Any]]) -> str | None:
    """What is wrong with one exported row; None if it is proved."""
    where = f"{row['topic']}/{row['partition']}@{row['offset']}"
    record = files.get(row["file"])
    if record is None:
        return f"{where}: its file {row['file']} is not in the chain records of this bundle"
    if (record["topic"], record["partition"]) != (row["topic"], row["partition"]):
        return f"{where}: its file holds {record['topic']}/{record['partition']}"
    digests = []
    for field in row["fields"]:
        if "digest" in field:
            digests.append(bytes.fromhex(field["digest"]))
        else:
            raw = field["raw"].encode("utf-8", "surrogateescape")
            digests.append(field_digest(bytes.fromhex(field["salt"]), field["name"].encode(), raw))
    hashed = leaf(meta(row["topic"], row["partition"], row["offset"], row["timestamp"]), digests)
    found = root_by_path(hashed, row["index"], record["rows"], [bytes.fromhex(step) for step in row["path"]])
    if found is None or found.hex() != record["root"]:
        return f"{where}: it is not the row that was archived in {row['file']}"
    return None


def bundle_faults(folder: Path, public_pem: bytes | None = None) -> list[str]:
    """What is wrong with an unpacked bundle, each in one sentence; empty if all of it is proved.

    `public_pem` is the archive's public key as its owner gave it to you; without it the bundle's own is used, which
    proves that nothing was changed since, but not by whom it was signed.
    """
    key = public_pem or (folder / "public.pem").read_bytes()
    manifest = (folder / "manifest.json").read_bytes()
    if not signed_by(key, (folder / "manifest.sig").read_text().strip(), MANIFEST + manifest):
        return ["manifest.json: its signature is not by this key"]
    named = json.loads(manifest)["files"]
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    faults = [f"{name}: it is missing" for name in named if name not in found]
    faults += [
        f"{name}: it was changed" if name in named else f"{name}: it was added"
        for name, path in sorted(found.items())
        if name not in ("manifest.json", "manifest.sig")
        and named.get(name) != hashlib.sha256(path.read_bytes()).hexdigest()
    ]
    if faults:
        return faults
    files = {}
    for number, line in enumerate((folder / "chain.jsonl").read_bytes().splitlines(), 1):
        entry = json.loads(line)
        if not signed_by(key, entry["sig"], CHAIN + canonical(entry["record"])):
            faults.append(f"chain.jsonl line {number}: its signature is not by this key")
        elif entry["record"]["kind"] == "file":
            files[entry["record"]["path"]] = entry["record"]
    rows = [json.loads(line) for line in (folder / "records.jsonl").read_text("utf-8").splitlines()]
    faults += [fault for row in rows if (fault := row_fault(row, files))]
    return faults


def main() -> int:
    """Check the bundle that this script lies in; an argument names the file of the public key to trust."""
    folder = Path(__file__).resolve().parent
    given = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else None
    faults = bundle_faults(folder, given)
    rows = len((folder / "records.jsonl").read_text("utf-8").splitlines())
    key = "the key you named" if given else "the key in the bundle: compare public.pem with what you were given"
    print("\n".join(faults) if faults else f"ok: {rows} records proved, signed by {key}")  # noqa: T201 - a script
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
