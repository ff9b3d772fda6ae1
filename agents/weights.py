"""Weights of models: whether the files are those that were measured."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path


def wrong(files: Mapping[Path, str]) -> list[str]:
    """Which of these files are missing or have another SHA-256 than stated, in words."""
    found = []
    for path, wanted in files.items():
        if not path.is_file():
            found.append(f"model {path.name} is missing: install again with `make setup`")
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wanted:
            found.append(f"model {path.name} has SHA-256 {digest}, not {wanted}")
    return found
