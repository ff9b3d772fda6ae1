"""Opening media: which containers are read, and that nothing but the file itself is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import av
import av.logging

from streams.extraction.codecs import DECODERS
from streams.extraction.limits import ExtractFailure, check_room

#: Containers of ingest tiers, by FFmpeg's names. What is not here (playlists, scripts, images, raw streams) is not
#: probed at all: an m3u8 or a concat script would have the demuxer open what it names.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,flv,mpegts,avi,wav,mp3,flac,ogg,aac"
#: Protocols the demuxer may open by itself: none. The bytes come from the file that we opened.
PROTOCOLS = "none"
#: First bytes of the containers above: tells damaged media from what never was media. (offset, bytes)
SIGNATURES = (
    *((4, box) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"moof")),
    *((0, magic) for magic in (b"\x1aE\xdf\xa3", b"FLV", b"RIFF", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\xff\xf1")),
    (188, b"G"),  # the second packet of a transport stream: a word may begin with a G too
)
#: A stream's line in FFmpeg's description of a container.
_STREAM = re.compile(r"^  Stream #0:\d+", re.MULTILINE)


class Openable(Protocol):
    """A file, or what can be opened like one: each time from its beginning, with a position of its own."""

    def open(self, mode: Any = ...) -> Any:
        """Open it for reading bytes."""
        ...


@contextmanager
def opened(source: Openable) -> Iterator[Any]:
    """The file as a container.

    Raises:
        ExtractFailure: it is none that is read here, or damaged.
    """
    with source.open("rb") as file:
        try:
            container = av.open(
                file,
                mode="r",
                metadata_errors="surrogateescape",  # one bad tag must not cost the whole item
                options={
                    "format_whitelist": FORMATS,
                    "protocol_whitelist": PROTOCOLS,
                    "codec_whitelist": ",".join(sorted(DECODERS)),  # of those that probing tries
                },
            )
        except MemoryError:  # one of PyAV's is an FFmpegError too, and says nothing of the media
            raise
        except (av.FFmpegError, ValueError) as error:
            raise _not_opened(source, error) from error
        with container:
            _check_codecs(container)
            yield container


def _check_codecs(container: Any) -> None:
    for stream in played([*container.streams.video, *container.streams.audio]):
        context = stream.codec_context
        if context is not None and context.codec.name not in DECODERS:
            raise ExtractFailure(
                "EXTRACT-FORMAT", f"the codec of its {stream.type} ({context.codec.name}) is not read here"
            )


def _not_opened(source: Openable, error: Exception) -> ExtractFailure:
    check_room()
    with source.open("rb") as file:
        head = file.read(256)
    if any(head.startswith(magic, at) for at, magic in SIGNATURES):
        return ExtractFailure("EXTRACT-BROKEN", f"it begins like media but cannot be opened: {_words(error)}")
    return ExtractFailure("EXTRACT-FORMAT", "it begins like no container that is read here")


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def played(streams: Sequence[Any]) -> list[Any]:
    """What a player could be told to play: cover art is a stream of one picture, and not what the item shows."""
    return [stream for stream in streams if not stream.disposition & stream.disposition.attached_pic]


def packets(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """The packets of these streams, up to the end or to where nothing more can be read."""
    found = container.demux(*streams)
    while True:
        try:
            yield next(found)
        except StopIteration:
            return
        except MemoryError:
            raise
        except av.FFmpegError:  # the file ends in the middle, or its index lies: what came before counts
            return
        except IndexError:  # PyAV's end, sometimes, of a file in which further streams have begun: see grown
            return


def frames_of(packet: Any) -> Iterator[Any]:
    """What a packet holds. A damaged one is passed over."""
    try:
        yield from packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def grown(container: Any) -> bool:
    """Whether streams have begun since the file was opened (.flv, .ts). PyAV passes over them in silence, but a player
    shows them: an item must not be judged by its first minutes of sound alone."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # the dump is made of log lines, and nothing else says how many there are now
    try:
        return len(_STREAM.findall(container.dumps_format())) > len(container.streams)
    finally:
        av.logging.set_level(level)
