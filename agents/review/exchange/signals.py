"""The signal types of python-threatexchange that are matched here, between their strings and our entries' fields.

Source: github.com/facebook/ThreatExchange, `signal_type/` and `extensions/vpdq/` of python-threatexchange. A signal is
a string: of `pdq` 64 hexadecimal digits; of `vpdq` a JSON list of "PDQ,quality,seconds"; of `video_md5` and
`video_sha256` the digest of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from schemas.bank import BankFrame, HashEntry

#: A list of PDQ hashes does not say how much detail the pictures had: its makers left out what has less than 50, as the
#: algorithm's description asks.
UNSAID_QUALITY = 100
#: Bits that are set in the hash of a picture with detail: half of them, since each says whether a coefficient lies
#: above the median of all. Only of flat colour, where all are equal but for rounding, are they much fewer or more.
FEWEST_BITS, MOST_BITS = 96, 160
#: Names that lists use → the signal type. Upper case: indicator types of the ThreatExchange API.
NAMES: Mapping[str, str] = {
    "pdq": "pdq", "HASH_PDQ": "pdq", "ImagePDQ": "pdq",
    "vpdq": "vpdq",
    "video_md5": "video_md5", "HASH_VIDEO_MD5": "video_md5", "HASH_MD5": "video_md5", "VideoMD5": "video_md5",
    "vmd5": "video_md5", "md5": "video_md5",
    "video_sha256": "video_sha256", "HASH_VIDEO_SHA256": "video_sha256", "HASH_SHA256": "video_sha256",
    "sha256": "video_sha256",
}  # fmt: skip
#: Signal types that are well known and not matched here.
ELSEWHERE = frozenset({
    "raw_text", "url", "url_md5", "trend_query", "text_tlsh", "pdf", "pdq_ocr", "photodna", "tmk_pdqf", "sha1",
    "HASH_TEXT_TLSH", "HASH_TMK", "HASH_PDQ_OCR", "HASH_URL_MD5", "HASH_RAW_TEXT", "HASH_PHOTODNA", "HASH_SHA1",
    "HASH_IMPHASH", "HASH_SSDEEP", "DEBUG_STRING", "RAW_TEXT", "TREND_QUERY", "DOMAIN", "URI", "URL",
    "VideoTMK", "Text", "Unknown",
})  # fmt: skip

_HEX = re.compile("[0-9a-f]*")


class Malformed(ValueError):
    """A signal that is not what its type promises."""


def pdq(text: str) -> str:
    """A PDQ hash as the wire writes it.

    Raises:
        Malformed: it is none, or that of a picture that shows nothing.
    """
    code = _digits(text, 64, "a PDQ hash")
    bits = int(code, 16).bit_count()
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise Malformed(f"is the hash of a picture without detail ({bits} of 256 bits are set): it would match others")
    return code


def _digits(text: str, number: int, what: str) -> str:
    code = text.strip().lower()
    if not _HEX.fullmatch(code):
        wrong = next(sign for sign in code if not _HEX.fullmatch(sign))
        raise Malformed(f"{what} has hexadecimal digits only, this has {wrong!r}")
    if len(code) != number:
        raise Malformed(f"{what} has {number} hexadecimal digits, this has {len(code)}")
    return code


def vpdq(text: str) -> list[dict[str, Any]]:
    """The frames of a vPDQ signal: a JSON list of "PDQ,quality,seconds", or the older object of objects.

    Raises:
        Malformed: it is neither, or one of its frames is wrong; says which.
    """
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Malformed(f"a vPDQ signal is a JSON list: {error}") from None
    if isinstance(value, dict):
        value = [_joined(frame) for frame in value.values()]
    if not isinstance(value, list) or not value:
        raise Malformed('a vPDQ signal is a JSON list of "PDQ,quality,seconds", and not empty')
    return [frame_of(str(item), f"frame {number}") for number, item in enumerate(value)]


def _joined(frame: Any) -> str:
    if not isinstance(frame, dict):
        return str(frame)
    return f"{frame.get('hash')},{frame.get('quality')},{frame.get('timestamp')}"


def frame_of(text: str, where: str) -> dict[str, Any]:
    """A frame of "PDQ,quality,seconds"."""
    parts = text.split(",")
    if len(parts) != 3:
        raise Malformed(f"{where}: {len(parts)} parts, where PDQ, quality and seconds are asked for")
    code, quality, at_s = parts
    try:
        pdq_code, detail, seconds = _digits(code, 64, "a PDQ hash"), int(quality), float(at_s)
    except Malformed as error:
        raise Malformed(f"{where}: {error}") from None
    except ValueError:
        raise Malformed(f"{where}: quality {quality!r} and seconds {at_s!r} must be numbers") from None
    if not (0 <= detail <= 100 and 0 <= seconds < float("inf")):
        raise Malformed(f"{where}: quality {quality} lies outside 0 to 100, or seconds {at_s} below 0")
    return {"pdq": pdq_code, "quality": detail, "at_s": seconds}


#: signal type → the fields of an entry that hold it.
_FIELDS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "pdq": lambda text: {"frames": [{"pdq": pdq(text), "quality": UNSAID_QUALITY}]},
    "vpdq": lambda text: {"frames": vpdq(text)},
    "video_md5": lambda text: {"md5": _digits(text, 32, "an MD5")},
    "video_sha256": lambda text: {"sha256": _digits(text, 64, "a SHA-256")},
}


def fields_of(signal_type: str, text: str) -> dict[str, Any]:
    """The fields of an entry that hold this signal. KeyError for a type that is not matched here.

    Raises:
        Malformed: the signal is not what its type promises.
    """
    return _FIELDS[NAMES[signal_type]](text)


def signals_of(entry: HashEntry) -> Iterator[tuple[str, str]]:
    """(signal type, signal) of what python-threatexchange can hold of an entry: frames as they are shown, and digests.

    Variants are left out, which are made anew from what is enrolled, and sound, for which it has no type.
    """
    frames = [frame for frame in entry.frames if not frame.variant]
    if len(frames) == 1 and not frames[0].at_s and not entry.duration_s:
        yield "pdq", frames[0].pdq
    elif frames:
        yield "vpdq", vpdq_signal(frames)
    if entry.md5:
        yield "video_md5", entry.md5
    if entry.sha256:
        yield "video_sha256", entry.sha256


def vpdq_signal(frames: list[BankFrame]) -> str:
    """The string of a vPDQ signal. Times have three places after the point, finer than any frame rate."""
    return msgspec.json.encode([f"{frame.pdq},{frame.quality},{frame.at_s:.3f}" for frame in frames]).decode()
