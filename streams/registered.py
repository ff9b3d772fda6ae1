"""Agents and detectors are found by entry points: ours in `pyproject.toml`, a platform's own in its packages."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from streams.settings import SettingsError


def installed(group: str, wanted: tuple[str, ...]) -> dict[str, Any]:
    """The classes registered under an entry point group, all or those wanted, in the order they are named.

    Raises:
        SettingsError: a wanted one is not installed, or one cannot be loaded.
    """
    found = {point.name: point for point in entry_points(group=group)}
    if unknown := [name for name in wanted if name not in found]:
        kind = group.removeprefix("veristream.")
        raise SettingsError(f"{kind}: {', '.join(unknown)} not installed; there are {', '.join(sorted(found))}")
    loaded = {}
    for name in wanted or found:
        try:
            loaded[name] = found[name].load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"{group}: {name} ({found[name].value}) cannot be loaded: {error}") from error
    return loaded
