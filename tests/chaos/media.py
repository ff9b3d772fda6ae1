"""Media for the faults of extraction: small clips, broken ones, and pictures as large as may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.traffic import Item, items, stored
from tests.streams.clips import clip

#: Pictures of 8K take the longest to read.
LARGE_SIZE = (7680, 4320)
#: Which of so many items are large, and which are broken: such as identity lets pass.
LARGE = (4, 20)
BROKEN = (6, 30)
CLIPS = 8


def media_items(folder: Path) -> Iterator[Item]:
    """Events whose media lies in the stage's store."""
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    small = [stored(clip(store / f"{number}.mp4", seconds=1.0 + number / 4)) for number in range(CLIPS)]
    large = stored(clip(store / "large.mp4", size=LARGE_SIZE, seconds=1.0, audio=None))
    cut = store / "cut.mp4"
    cut.write_bytes((store / "0.mp4").read_bytes()[:700])
    broken = stored(cut)

    def media(number: int) -> dict[str, Any]:
        for (rest, every), special in ((LARGE, large), (BROKEN, broken)):
            if number % every == rest:
                return special
        return small[number % CLIPS]

    return items(media)
