"""Words that a file carries as text: tracks of subtitles, and titles of chapters.

No decoder is asked: what a packet of these codecs holds is text with little around it, and strangers' media reach no
more code than they must. Subtitles that are pictures (PGS, VobSub, DVB) are no text, and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from schemas.signals import MediaText

#: Of an item: lines, and characters of all of them. The subtitles of a film of three hours have some 2,000 lines and
#: 80,000 characters; of 30 languages the message would have no room.
MOST_LINES = 4000
MOST_SIGNS = 120_000
#: Tracks that are read; films come with some thirty.
MOST_TRACKS = 64
#: Characters of one line. A page of text is no subtitle.
LONGEST = 2000
#: Seconds that a line stands whose end the file does not say.
STANDS_S = 5.0
#: Fields of a line of ASS, as Matroska stores it, before its text.
_ASS_FIELDS = 8
_TAGS = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_BREAKS = re.compile(r"\\[Nnh]|\s+")


class Subtitles:
    """Collects what tracks of subtitles and chapters say."""

    def __init__(self, container: Any, start_s: float, between: tuple[float, float]) -> None:
        """`between`: seconds of the item; what begins elsewhere is of another stretch."""
        #: Tracks whose packets are wanted.
        tracks = [stream for stream in container.streams.subtitles if _reader(stream)]
        self.streams = tracks[:MOST_TRACKS]
        self._number = {stream.index: number for number, stream in enumerate(self.streams)}
        self._readers = {stream.index: _reader(stream) for stream in self.streams}
        self._languages = {stream.index: _text(stream.metadata.get("language", ""))[:16] for stream in self.streams}
        self._start_s = start_s
        self._between = between
        self._seen: set[tuple[object, ...]] = set()
        self._found: list[MediaText] = []
        self._signs = 0
        self._left = 0
        self._tracks_left = len(tracks) - len(self.streams)
        for begin_s, end_s, title in _chapters(container):
            self._take("chapter", begin_s - start_s, end_s - start_s, title)

    def feed(self, packet: Any) -> None:
        """Take a packet of one of the streams."""
        reader = self._readers[packet.stream_index]
        if packet.pts is None or not packet.size or reader is None:
            return
        tick_s = float(packet.time_base)
        begin_s = packet.pts * tick_s - self._start_s
        lasts_s = (packet.duration or 0) * tick_s or STANDS_S
        index = packet.stream_index
        text = reader(bytes(packet)[: 8 * LONGEST])
        self._take("subtitles", begin_s, begin_s + lasts_s, text, self._number[index], self._languages[index])

    def found(self) -> tuple[MediaText, ...]:
        """Everything so far, in order of time."""
        return tuple(sorted(self._found, key=lambda one: one.at_s))

    def absent(self) -> tuple[str, ...]:
        """What there was no room for, as `Signals.absent` says it: a person has to look."""
        said = []
        if self._left:
            said.append(f"subtitles: {self._left:,} lines did not fit into the message")
        if self._tracks_left:
            said.append(f"subtitles: {self._tracks_left:,} of its tracks were not read")
        return tuple(said)

    def _take(
        self,
        kind: Literal["subtitles", "chapter"],
        begin_s: float,
        end_s: float,
        text: str,
        track: int = 0,
        language: str = "",
    ) -> None:
        text = _BREAKS.sub(" ", text).strip()[:LONGEST]
        first_s, last_s = self._between
        key = (kind, track, round(begin_s, 3), text)
        # Files say where a line begins; one before the beginning is shown from there on.
        if not text or key in self._seen or not first_s <= max(0.0, begin_s) < last_s:
            return
        self._seen.add(key)
        if len(self._found) >= MOST_LINES or self._signs + len(text) > MOST_SIGNS:
            self._left += 1
            return
        self._signs += len(text)
        at_s = round(max(0.0, begin_s), 3)
        self._found.append(
            MediaText(
                kind=kind, at_s=at_s, until_s=max(at_s, round(end_s, 3)), text=text, track=track, language=language
            )
        )


def merged(parts: Sequence[Iterable[MediaText]]) -> tuple[MediaText, ...]:
    """Of the stretches of an item."""
    return tuple(sorted((one for part in parts for one in part), key=lambda one: one.at_s))


def _reader(stream: Any) -> Callable[[bytes], str] | None:
    return READERS.get(str(stream.codec_context.name if stream.codec_context is not None else ""))


def _chapters(container: Any) -> Iterator[tuple[float, float, str]]:
    for chapter in container.chapters():
        title = chapter.get("metadata", {}).get("title", "")
        if title:
            tick_s = float(chapter["time_base"])
            yield chapter["start"] * tick_s, chapter["end"] * tick_s, _text(title)


def _text(said: str) -> str:
    """What a file says, fit to be sent: bytes that are no UTF-8 come as surrogates."""
    return said.encode("utf-8", "replace").decode()


def _plain(payload: bytes) -> str:
    return _TAGS.sub("", payload.decode("utf-8", "replace"))


def _ass(payload: bytes) -> str:
    parts = payload.decode("utf-8", "replace").split(",", _ASS_FIELDS)
    return _TAGS.sub("", parts[-1]) if len(parts) > _ASS_FIELDS else ""


def _mov_text(payload: bytes) -> str:
    """Two bytes of length, the text, then boxes of styles (3GPP TS 26.245)."""
    length = int.from_bytes(payload[:2], "big")
    text = payload[2 : 2 + length]
    return text.decode("utf-16" if text[:2] in (b"\xfe\xff", b"\xff\xfe") else "utf-8", "replace")


#: Codec → what reads the text of one packet.
READERS: Mapping[str, Callable[[bytes], str]] = {
    "subrip": _plain, "srt": _plain, "text": _plain, "webvtt": _plain, "ass": _ass, "ssa": _ass, "mov_text": _mov_text,
}  # fmt: skip
