"""Media files that carry an AIGC object: in every container FFmpeg can write one to, and by hand where it cannot."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import av
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_TAGS = {"movflags": "use_metadata_tags"}
#: name → (FFmpeg's container, codec, options).
WRITTEN: dict[str, tuple[str, str, dict[str, str]]] = {
    "mp4": ("mp4", "mpeg4", _TAGS),
    "mp4_fragmented": ("mp4", "mpeg4", {"movflags": "use_metadata_tags+frag_keyframe+empty_moov"}),
    "mov": ("mov", "mpeg4", _TAGS),
    "m4a": ("ipod", "aac", _TAGS),
    "mkv": ("matroska", "mpeg4", {}),
    "webm": ("webm", "libvpx", {}),
    "flv": ("flv", "flv", {}),
    "mp3": ("mp3", "libmp3lame", {}),
    "flac": ("flac", "flac", {}),
    "ogg": ("ogg", "libopus", {}),
}


def write(path: Path, kind: str, codec: str, options: dict[str, str], metadata: dict[str, str]) -> None:
    """A few small frames, or a moment of silence, with this metadata."""
    with av.open(str(path), "w", format=kind, options=options) as output:
        output.metadata.update(metadata)
        picture = codec in ("mpeg4", "libvpx", "flv")
        stream = output.add_stream(codec, rate=25 if picture else 48_000)
        if picture:
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(3):
            if picture:
                frame: av.VideoFrame | av.AudioFrame = av.VideoFrame(64, 64, "yuv420p")
                frame.pts = number
            else:
                frame = av.AudioFrame("s16", "mono", 4096)
                frame.sample_rate = 48_000
                frame.pts = number * 4096
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _wav_chunk(path: Path, text: str) -> None:
    """Where GB 45438-2025 puts it in WAV: a chunk `AIGC` of its own."""
    write(path, "wav", "pcm_s16le", {}, {})
    _grown(path, _chunk(b"AIGC", text.encode()))


def _wav_info(path: Path, text: str) -> None:
    write(path, "wav", "pcm_s16le", {}, {})
    _grown(path, _chunk(b"LIST", b"INFO" + _chunk(b"AIGC", text.encode())))


def _avi_info(path: Path, text: str) -> None:
    """Where GB 45438-2025 puts it in AVI: a child of LIST INFO, here between the headers and the frames."""
    write(path, "avi", "mpeg4", {}, {})
    plain = path.read_bytes()
    at = 20 + int.from_bytes(plain[16:20], "little")
    _grown(path, _chunk(b"LIST", b"INFO" + _chunk(b"AIGC", text.encode())), at)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _grown(path: Path, chunk: bytes, at: int = 12) -> None:
    plain = path.read_bytes()
    path.write_bytes(plain[:4] + struct.pack("<I", len(plain) + len(chunk) - 8) + plain[8:at] + chunk + plain[at:])


def _mp4_meta_in_moov(path: Path, text: str) -> None:
    """Seen in the wild: keys and values are right, but `meta` stands directly under `moov`."""
    keys = _box(b"keys", struct.pack(">II", 0, 1) + _box(b"mdta", b"AIGC"))
    values = _box(b"ilst", _box(b"\0\0\0\1", _data(text)))
    _moov_grown(path, _box(b"meta", b"\0\0\0\0" + _handler(b"mdta") + keys + values))


def _mp4_no_keys(path: Path, text: str) -> None:
    """Seen in the wild: a value named `AIGC` in `ilst`, without `keys`."""
    values = _box(b"ilst", _box(b"AIGC", _data(text)))
    _moov_grown(path, _box(b"udta", _box(b"meta", b"\0\0\0\0" + _handler(b"mdir") + values)))


def _m4a_freeform(path: Path, text: str) -> None:
    """As taggers write keys of their own into M4A: `----:com.apple.iTunes:AIGC`."""
    names = _box(b"mean", b"\0\0\0\0com.apple.iTunes") + _box(b"name", b"\0\0\0\0AIGC")
    values = _box(b"ilst", _box(b"----", names + _data(text)))
    _moov_grown(path, _box(b"udta", _box(b"meta", b"\0\0\0\0" + _handler(b"mdir") + values)), "ipod", "aac")


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _data(text: str) -> bytes:
    return _box(b"data", struct.pack(">II", 1, 0) + text.encode())


def _handler(kind: bytes) -> bytes:
    return _box(b"hdlr", bytes(8) + kind + (b"appl" if kind == b"mdir" else bytes(4)) + bytes(9))


def _moov_grown(path: Path, box: bytes, kind: str = "mp4", codec: str = "mpeg4") -> None:
    """Put the box at the end of `moov`, which FFmpeg writes last, so that nothing behind it moves."""
    # bitexact: FFmpeg then writes no `udta` of its own.
    write(path, kind, codec, {"fflags": "+bitexact"}, {})
    plain = path.read_bytes()
    at = plain.rindex(b"moov") - 4
    size = struct.unpack(">I", plain[at : at + 4])[0]
    if at + size != len(plain):
        raise RuntimeError("moov is not the last box")
    path.write_bytes(plain[:at] + struct.pack(">I", size + len(box)) + plain[at + 4 :] + box)


def _xmp(text: str) -> bytes:
    tag = f'<rdf:Description xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" TC260:AIGC={quoteattr(text)}/>'
    rdf = f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{tag}</rdf:RDF>'
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{rdf}</x:xmpmeta>'.encode()


def write_picture(path: Path, kind: str, text: str | None) -> None:
    """A small picture by Pillow, with this label in its XMP, or none."""
    picture = Image.new("RGB", (64, 64), (90, 20, 30))
    if text is None:
        picture.save(path, kind)
    elif kind == "PNG":
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", _xmp(text).decode())
        picture.save(path, kind, pnginfo=texts)
    else:
        picture.save(path, kind, xmp=_xmp(text))


#: Containers of pictures, by Pillow's names.
PICTURES = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
#: place → (its writer, what a compliant object there is: a place that breaks the standard makes it non-compliant).
BY_HAND: dict[str, tuple[Callable[[Path, str], None], str]] = {
    "wav_chunk": (_wav_chunk, "compliant"),
    "wav_info": (_wav_info, "non_compliant"),
    "avi_info": (_avi_info, "compliant"),
    "m4a_freeform": (_m4a_freeform, "compliant"),
    "mp4_meta_in_moov": (_mp4_meta_in_moov, "non_compliant"),
    "mp4_no_keys": (_mp4_no_keys, "non_compliant"),
}
