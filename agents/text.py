"""An item's words, in the form in which they are searched. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from schemas.event import Event


def normalised(text: str) -> str:
    """One form for what reads the same: NFKC (full and half width), case folded, letters and digits only.

    Spaces and punctuation go, so that a term cannot be hidden by a dot between its characters.
    """
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", text).casefold()
        if unicodedata.category(character)[0] in "LN"
    )


def fields(event: Event) -> Iterator[tuple[str, str]]:
    """(field, its text) for every text of an event, as it came."""
    yield "title", event.title
    yield "description", event.description
    for number, tag in enumerate(event.tags):
        yield f"tags[{number}]", tag
