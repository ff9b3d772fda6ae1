"""Where a decoder can begin: packets of which nothing that follows needs anything that came before.

The container says so of packets, but whoever made the file wrote it: a file that calls its pictures independent when
they are not would show a player what the decoder here, having left out the ones before, does not see. So it is read
from the coded picture itself, for the codecs whose first bytes tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

#: H.264: an instantaneous decoding refresh. A mere recovery point may be followed by pictures that refer past it.
_H264_IDR = 5
_H264_SLICES = range(1, 6)
#: HEVC: BLA and IDR pictures. After a CRA leading pictures may refer past it, and encoders send them.
_HEVC_REFRESH = range(16, 21)
_HEVC_SLICES = range(32)
_AV1_SEQUENCE, _AV1_FRAME_HEADER, _AV1_FRAME = 1, 3, 6


def enters(codec: str, packet: memoryview, extradata: bytes | None) -> bool:
    """Whether decoding can begin anew with this packet, though what came before was left out. Of a codec that is not
    known here the answer is no."""
    judge = _CODECS.get(codec)
    try:
        return judge is not None and judge(packet, extradata or b"")
    except IndexError:  # the packet ends in its head
        return False


def _h264(packet: memoryview, extradata: bytes) -> bool:
    length = (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" else 0
    slices = (packet[at] & 0x1F for at in _units(packet, length))
    return next((kind for kind in slices if kind in _H264_SLICES), None) == _H264_IDR


def _hevc(packet: memoryview, extradata: bytes) -> bool:
    length = (extradata[21] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 21 else 0
    slices = (packet[at] >> 1 & 0x3F for at in _units(packet, length))
    return next((kind for kind in slices if kind in _HEVC_SLICES), None) in _HEVC_REFRESH


def _units(packet: memoryview, length: int) -> Iterator[int]:
    """Where each NAL unit begins: after its length, of so many bytes, or (0) after a start code."""
    if length:
        at = 0
        while at + length < len(packet):
            yield at + length
            at += length + int.from_bytes(packet[at : at + length], "big")
        return
    content = bytes(packet)
    at = content.find(b"\0\0\1")
    while at >= 0:
        yield at + 3
        at = content.find(b"\0\0\1", at + 3)


def _vp8(packet: memoryview, _: bytes) -> bool:
    return packet[0] & 1 == 0


def _vp9(packet: memoryview, _: bytes) -> bool:
    head = packet[0]
    if head >> 6 != 0b10:
        return False
    beyond = 1 if head >> 4 & 3 == 3 else 0  # profile 3 has a reserved bit more
    shown_before, kind = head >> (3 - beyond) & 1, head >> (2 - beyond) & 1
    return not shown_before and kind == 0


def _av1(packet: memoryview, _: bytes) -> bool:
    at = 0
    sequence = False
    while at < len(packet):
        head = packet[at]
        kind = head >> 3 & 0xF
        at += 2 if head & 4 else 1
        size = len(packet) - at
        if head & 2:
            size, at = _leb128(packet, at)
        if kind == _AV1_SEQUENCE:
            sequence = True
        elif kind in (_AV1_FRAME, _AV1_FRAME_HEADER):
            # Not a frame shown before, a key frame, and shown: all that was kept of others is forgotten.
            return sequence and packet[at] >> 4 == 0b0001
        at += size
    return False


def _leb128(packet: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = packet[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 56:
            return value, at


_CODECS: dict[str, Callable[[memoryview, bytes], bool]] = {
    "h264": _h264,
    "hevc": _hevc,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
    "libdav1d": _av1,
    "mjpeg": lambda *_: True,
}
