"""Keyed digests of identity numbers: two accounts of one person are recognised, and no number lies anywhere.

An HMAC, not a hash: there are few enough ID numbers to try them all, but not without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from agents.identity.forms import plain

#: Shortest key, in bytes: as long as the digest (RFC 2104, section 3).
SHORTEST_KEY = 32


class KeyFileError(ValueError):
    """The key file cannot be used; the text says why, and never shows a key."""


class Digest(NamedTuple):
    """The digest of a number under one key."""

    key_id: str
    hex: str


class KeySource(Protocol):
    """Where keys come from: a file here; a key management service by a class of your own."""

    def keys(self) -> Mapping[str, bytes]:
        """key_id → key, the one for new digests last; older ones stay until every row has a new digest."""


class KeyFile:
    """Keys in a JSON file that only its owner may read: `{"2026-01": "<64 hex digits>", …}`, the newest last."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keys(self) -> Mapping[str, bytes]:
        """Read the file, at each call, so that a rotated key is used without a restart.

        Raises:
            KeyFileError: it is not there, readable by others, or not of that form.
        """
        try:
            if self._path.stat().st_mode & 0o077:
                raise KeyFileError(f"{self._path}: others may read it; run: chmod 600 {self._path}")
            found = {str(name): bytes.fromhex(value) for name, value in json.loads(self._path.read_text()).items()}
        except OSError as error:
            raise KeyFileError(f"{self._path}: {error.strerror}; make one with `veristream identity key`") from error
        except (ValueError, AttributeError, TypeError) as error:
            if isinstance(error, KeyFileError):
                raise
            raise KeyFileError(f'{self._path}: write {{"NAME": "<64 hexadecimal digits>"}}') from error
        if not found or any(len(key) < SHORTEST_KEY for key in found.values()):
            raise KeyFileError(f"{self._path}: a key has at least {SHORTEST_KEY} bytes ({2 * SHORTEST_KEY} hex digits)")
        return found


def rotate(path: Path, name: str) -> None:
    """Add a new random key to a key file (made if need be); the next digests are made with it.

    Raises:
        KeyFileError: the name is taken, or the file cannot be used.
    """
    keys = {key: value.hex() for key, value in KeyFile(path).keys().items()} if path.exists() else {}
    if name in keys:
        raise KeyFileError(f"{path}: there is a key {name!r} already")
    keys[name] = secrets.token_hex(SHORTEST_KEY)
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.new")
    making.touch(mode=0o600)
    making.write_text(json.dumps(keys, indent=1) + "\n")
    making.replace(path)


class Digester:
    """Digests numbers under the keys of a source."""

    def __init__(self, source: KeySource) -> None:
        self._source = source

    def new(self, kind: str, number: str) -> Digest:
        """The digest under the newest key."""
        return self.all(kind, number)[-1]

    def all(self, kind: str, number: str) -> Sequence[Digest]:
        """The digest under every key, oldest first: to find rows that were digested before a rotation."""
        message = f"{kind}\x1f{plain(kind, number)}".encode()
        return [
            Digest(key_id, hmac.new(key, message, hashlib.sha256).hexdigest())
            for key_id, key in self._source.keys().items()
        ]
