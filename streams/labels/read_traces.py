"""What a picture says of the tool that made it, in EXIF, XMP and text chunks: for what FFmpeg does not tell.

Anybody can write or delete these: traces, never labels.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import BinaryIO

from streams.labels.read import container_of
from streams.labels.read_riff import chunks
from streams.labels.read_xmp import PNG_XMP, jpeg_packets, png_chunks, png_texts, segments
from streams.labels.walk import Malformed, Span, Walk

#: Characters of one value that are kept: a tool's name stands at the beginning; what prompts say is nobody's business.
MAX_SHOWN = 256
#: Entries of an EXIF directory; cameras write some 60.
MAX_ENTRIES = 512
#: Text chunks of PNG in which generators write how a picture was made.
_PNG_TEXTS = {"software": "software", "parameters": "parameters", "prompt": "parameters", "workflow": "parameters"}
_SOFTWARE, _EXIF, _COMMENT = 0x0131, 0x8769, 0x9286
_TOOL = re.compile(rb"CreatorTool(?:\s*=\s*[\"']|\s*>)([^\"'<]{1,256})")
_SOURCE = re.compile(rb"cv\.iptc\.org/newscodes/digitalsourcetype/([A-Za-z]{1,64})")

Traces = Iterator[tuple[str, str]]


def read_traces(file: BinaryIO) -> tuple[tuple[str, str], ...]:
    """Pairs of `software`, `creator_tool`, `digital_source_type` (a term of the IPTC) or `parameters` (what a generator
    was told), and what stands there. Of what is no picture, or is damaged, those before the damage."""
    walk = Walk(file)
    reader = {"jpeg": _jpeg, "png": _png, "webp": _webp}.get(container_of(walk.at(0, 12)) or "")
    traces: list[tuple[str, str]] = []
    if reader is not None:
        with contextlib.suppress(Malformed):
            for name, text in reader(walk):  # one by one: what stands in front of the damage counts
                traces.append((name, text[:MAX_SHOWN]))
    return tuple(traces)


def _jpeg(walk: Walk) -> Traces:
    for marker, span in segments(walk):
        if marker == 0xE1 and walk.at(span.start, 6) == b"Exif\0\0":
            yield from _exif(walk.block(Span(span.start + 6, span.end), "EXIF"))
    for packet in jpeg_packets(walk):
        yield from _xmp(packet)


def _png(walk: Walk) -> Traces:
    for kind, span in png_chunks(walk):
        if kind == b"eXIf":
            yield from _exif(walk.block(span, "EXIF"))
    for _, keyword, text in png_texts(walk):
        if keyword == PNG_XMP:
            yield from _xmp(text)
        elif name := _PNG_TEXTS.get(keyword.lower()):
            yield name, text.decode("utf-8", "replace")


def _webp(walk: Walk) -> Traces:
    for kind, span in chunks(walk, Span(12, walk.end)):
        if kind == b"EXIF":
            yield from _exif(walk.block(span, "EXIF").removeprefix(b"Exif\0\0"))
        elif kind == b"XMP ":
            yield from _xmp(walk.block(span, "the XMP chunk"))


def _xmp(packet: bytes) -> Traces:
    yield from (("creator_tool", tool.decode("utf-8", "replace").strip()) for tool in _TOOL.findall(packet))
    yield from (("digital_source_type", term.decode()) for term in _SOURCE.findall(packet))


def _exif(data: bytes) -> Traces:
    """The software of the first directory of a TIFF structure, and the user's comment of the EXIF directory."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(data[:4])
    if order is None:
        return

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if order == "little" else "big")

    def entries(at: int) -> Iterator[tuple[int, bytes, int]]:
        for index in range(min(number(at, 2), MAX_ENTRIES)):
            entry = at + 2 + 12 * index
            count, value = number(entry + 4, 4), number(entry + 8, 4)
            where = entry + 8 if count <= 4 else value
            yield number(entry, 2), data[where : where + min(count, 4 * MAX_SHOWN)], value

    for tag, text, value in entries(number(4, 4)):
        if tag == _SOFTWARE:
            yield "software", text.rstrip(b"\0 ").decode("utf-8", "replace")
        elif tag == _EXIF:
            for inner, comment, _ in entries(value):
                if inner == _COMMENT and comment.startswith(b"UNICODE\0"):
                    wide = "utf-16-le" if comment[9:10] == b"\0" else "utf-16-be"
                    yield "parameters", comment[8:].decode(wide, "replace")
                elif inner == _COMMENT:
                    yield "parameters", comment[8:].rstrip(b"\0").decode("utf-8", "replace")
