"""Who complains, as a keyed digest: the same account or device is recognised, and neither is stored anywhere."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from streams.settings import SettingsError

log = logging.getLogger(__name__)

#: kind ("complainant", "device"), what the platform names it by → digest.
Digest = Callable[[str, str], str]


def digests(keys: Path | None) -> Digest:
    """Digests under the newest key of the file, `{"NAME": "<64 hexadecimal digits>", …}`; without one, under a key of
    this process alone.

    Raises:
        SettingsError: the file is not there, or not of that form; the text shows no key.
    """
    if keys is None:
        log.warning(
            "identity_keys names no key file: complainants are recognised only until this process ends; "
            "make one with `veristream identity key`"
        )
        key = secrets.token_bytes(32)
    else:
        try:
            key = bytes.fromhex(list(json.loads(keys.read_text("utf-8")).values())[-1])
        except OSError as error:
            raise SettingsError(f"identity_keys: {keys}: {error.strerror}") from error
        except (ValueError, AttributeError, TypeError, IndexError):
            # Without what the error quotes, which may be a key.
            raise SettingsError(f'identity_keys: {keys}: write {{"NAME": "<64 hexadecimal digits>"}}') from None
        if len(key) < 32:
            raise SettingsError(f"identity_keys: {keys}: a key has at least 32 bytes (64 hexadecimal digits)")

    def digest(kind: str, name: str) -> str:
        return hmac.new(key, f"complaints\x1f{kind}\x1f{name}".encode(), hashlib.sha256).hexdigest()

    return digest
