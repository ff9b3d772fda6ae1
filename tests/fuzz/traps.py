"""Media made by hand to lead a reader astray: to open other files, to reach hosts, to cost without end."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.fuzz.boxes import box, edited, put

#: No file of the collection is larger but the million streams, which is made anew in each run.
DEPTH = 20_000


@dataclass(frozen=True)
class Bait:
    """Where traps lead: a file that nothing may open, and a port of this machine that nothing may reach."""

    file: Path
    port: int


def traps(seeds: Mapping[str, bytes], bait: Bait) -> dict[str, bytes]:
    """Every trap by name."""
    return {**dict(_references(seeds, bait)), **dict(_bombs(seeds)), **dict(_numbers(seeds))}


def _references(seeds: Mapping[str, bytes], bait: Bait) -> Iterator[tuple[str, bytes]]:
    file, url = str(bait.file), f"http://127.0.0.1:{bait.port}/a.ts"
    targets = {
        "file": file,
        "http": url,
        "scheme": f"file://{file}",
        "tcp": f"tcp://127.0.0.1:{bait.port}",
        "crypto": f"crypto:{file}",
        "concat": f"concat:{file}|{file}",
        "data": "data:,x",
    }
    for name, target in targets.items():
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
        yield f"m3u8 to {name}", playlist.encode()
    yield "m3u8 with key", f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}"\n#EXTINF:1,\n{file}\n'.encode()
    yield "m3u8 with map", f'#EXTM3U\n#EXT-X-MAP:URI="{file}"\n#EXTINF:1,\n{url}\n'.encode()
    yield "concat script", f"ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n".encode()
    sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {bait.port} RTP/AVP 96\n"
    yield "sdp", f"{sdp}a=rtpmap:96 H264/90000\n".encode()
    yield (
        "dash",
        (
            f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{url}</BaseURL>'
            "<Period>"
            f'<AdaptationSet mimeType="video/mp4"><Representation id="1"><BaseURL>{file}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ).encode(),
    )
    yield "rtsp redirect", f"RTSPtext\nrtsp://127.0.0.1:{bait.port}/\n".encode()
    yield "asx", f'<ASX version="3.0"><Entry><Ref href="{url}"/></Entry></ASX>'.encode()
    yield "svg", f'<svg xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="file://{file}"/></svg>'.encode()
    yield "metadata script", f";FFMETADATA1\ntitle={file}\n".encode()
    yield "ts with a playlist in front", b"#EXTM3U\n" + file.encode() + b"\n" + seeds["ts"]
    mov = seeds["mov"]
    reference = lambda entry: edited(mov, b"dref", lambda _: struct.pack(">II", 0, 1) + entry)  # noqa: E731
    yield "dref with a url", reference(box(b"url ", b"\0\0\0\0" + f"file://{file}".encode() + b"\0"))
    yield "dref with a host", reference(box(b"url ", b"\0\0\0\0" + url.encode() + b"\0"))
    yield "dref with an alias", reference(_alias(file))
    yield "mov with a reference movie", edited(mov, b"moov", lambda body: box(b"rmra", box(b"rmda", box(
        b"rdrf", b"\0\0\0\0url " + (len(url) + 1).to_bytes(4, "big") + url.encode() + b"\0"))) + body)  # fmt: skip
    yield "avi with an index elsewhere", seeds["avi"].replace(b"idx1", b"indx")


def _alias(file: str) -> bytes:
    path = file.encode()
    long = struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    absolute = struct.pack(">hH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    head = b"\0" * 8 + b"\x04disk".ljust(28, b"\0") + b"\0" * 10
    named = Path(file).name.encode()[:63]
    body = head[:42] + bytes([len(named)]) + named.ljust(63, b"\0") + b"\0" * 16 + struct.pack(">hh", 1, 1) + b"\0" * 16
    return box(b"alis", b"\0\0\0\0" + body[4:] + absolute + long + struct.pack(">hH", -1, 0))


def _muxed(path_format: str, codec: str, packets: list[bytes], width: int = 64, height: int = 64) -> bytes:
    """Packets of our own making in a container."""
    import io

    file = io.BytesIO()
    with av.open(file, "w", format=path_format) as output:
        stream: Any = output.add_stream(codec, rate=10)
        stream.width, stream.height = width, height
        stream.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for number, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            output.mux(packet)
    return file.getvalue()


def _png(width: int, height: int, bits: int = 1) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width * bits + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _jpeg(width: int, height: int) -> bytes:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuvj420p", Fraction(1, 10)
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24").reformat(format="yuvj420p")
    data = bytes(encoder.encode(frame)[0])
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _element(name: bytes, body: bytes) -> bytes:
    return name + (len(body) | 1 << 56).to_bytes(8, "big") + body


_EBML = _element(b"\x1aE\xdf\xa3", _element(b"\x42\x82", b"webm") + _element(b"\x42\x87", b"\x02"))


def million_streams() -> bytes:
    """A Matroska file of a million tracks: 21 MB, so it is made and thrown away."""
    head, tail = b"\xae\x93\xd7\x84", b"\x83\x81\x02\x86\x85A_AAC\xb9\x81\x01"
    tracks = b"".join(head + number.to_bytes(4, "big") + tail for number in range(1, 1_000_001))
    return _EBML + _element(b"\x18\x53\x80\x67", _element(b"\x16\x54\xae\x6b", tracks))


def _nested(wrap: Callable[[bytes], bytes], inside: bytes, depth: int) -> bytes:
    for _ in range(depth):
        inside = wrap(inside)
    return inside


def _bombs(seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    mp4, mkv = seeds["mp4"], seeds["mkv"]
    yield "png that grows to 56 gigapixels stated", _muxed("mov", "png", [_png(64, 64)[:16] + struct.pack(">II", 65535 * 4, 65535 * 4) + _png(64, 64)[24:]])  # fmt: skip # noqa: E501
    yield "png of 900 megapixels in 110 kB", _muxed("mov", "png", [_png(30_000, 30_000)] * 2)
    yield "png just within the limit, thirty times", _muxed("mov", "png", [_png(8000, 4300)] * 30)
    yield "jpeg of 65k x 65k", _muxed("matroska", "mjpeg", [_jpeg(65_500, 65_500)] * 3)
    yield "mp4 of 65k x 65k", put(mp4, b"stsd", 8 + 8 + 24, struct.pack(">HH", 65_535, 65_535))
    yield "mkv of 65k x 65k", mkv.replace(b"\xb0\x81\x60\xba\x81\x40", b"\xb0\x82\xff\xff\xba\x81\xff")
    yield "moov of a gigabyte", mp4[:32] + struct.pack(">I", 1 << 30) + b"moov" + mp4[40:]
    yield "moov of an exabyte", mp4[:32] + b"\0\0\0\1moov" + (1 << 60).to_bytes(8, "big")
    moov = mp4[mp4.index(b"moov") - 4 :]
    yield "ten thousand moovs", mp4[:32] + moov[: int.from_bytes(moov[:4], "big")] * 1000
    for kind in (b"moov", b"udta", b"trak", b"meta"):
        deep = bytearray()
        for level in range(DEPTH):
            deep += (8 * (DEPTH - level)).to_bytes(4, "big") + kind
        yield f"{kind.decode()} in itself, {DEPTH} deep", mp4[:32] + bytes(deep)
    yield "jumb in itself", mp4[:32] + box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0manifest\0" + b"\0" * 8 + b"".join(  # noqa: E501
        (8 * (DEPTH - level)).to_bytes(4, "big") + b"jumb" for level in range(DEPTH)))  # fmt: skip
    tags = _nested(lambda inside: b"\x67\xc8" + (len(inside) | 1 << 56).to_bytes(8, "big") + inside, b"", 2000)
    yield (
        "simple tags in each other",
        _EBML + _element(b"\x18\x53\x80\x67", _element(b"\x12\x54\xc3\x67", _element(b"\x73\x73", tags))),
    )
    yield (
        "mkv of a cluster without end",
        _EBML
        + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff"
        + b"\x1f\x43\xb6\x75\x01"
        + b"\xff" * 7
        + b"\xa3\x81\0" * 50_000,
    )
    label = b"AIGC=" + b'{"Label":' + b"[" * 60_000
    yield "label nested 60,000 deep", _flac(seeds["flac"], [label])
    yield "a hundred thousand comments", _flac(seeds["flac"], [b"k%d=v" % number for number in range(100_000)])
    yield "comment of 8 MB", _flac(seeds["flac"], [b"AIGC=" + b"x" * (8 << 20)])
    frames = b"TXXX\0\0\0\x04\0\0\0a\0b" * 200_000
    yield (
        "id3 of 200,000 texts",
        b"ID3\x03\0\0" + bytes(len(frames) >> s & 0x7F for s in (21, 14, 7, 0)) + frames + seeds["mp3"],
    )
    yield "id3 longer than the file", b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + seeds["mp3"]
    yield "geob without end", (b"GEOB" + b"\0" * 6) * 100_000 + seeds["mp3-c2pa"]
    yield "pat without pmt, a million packets", (b"G\x40\0\x10\0" + seeds["ts"][5:188]) * 20_000
    pmts = b"".join(b"G" + (0x4000 | pid).to_bytes(2, "big") + b"\x10" + seeds["ts"][4:188] for pid in range(32, 8190))
    yield "ts of every pid", seeds["ts"][:376] + pmts + seeds["ts"][376:]
    yield "riff in riff", b"".join(b"RIFF\xff\xff\xff\x7fAVI LIST\xff\xff\xff\x7fhdrl" for _ in range(DEPTH))
    yield "flv of a million tags", b"FLV\x01\x05\0\0\0\x09" + (b"\0\0\0\0\x08\0\0\x02\0\0\0\0\0\0\0\xaf\0" * 100_000)
    yield "ogg of ten thousand streams", b"".join(_ogg_page(number) for number in range(10_000))


def _ogg_page(serial: int) -> bytes:
    body = b"OpusHead\x01\x02\0\0\x80\xbb\0\0\0\0\0"
    return b"OggS\0\x02" + b"\0" * 8 + struct.pack("<III", serial, 0, 0) + bytes([1, len(body)]) + body


def _flac(seed: bytes, comments: list[bytes]) -> bytes:
    vendor = b"x"
    body = struct.pack("<I", 1) + vendor + struct.pack("<I", len(comments))
    body += b"".join(struct.pack("<I", len(one)) + one for one in comments)
    body = body[: (1 << 24) - 1]
    return (
        seed[: 4 + 38] + b"\x04" + len(body).to_bytes(3, "big") + body + b"\x81\0\0\0" + seed[seed.index(b"\xff\xf8") :]
    )


def _numbers(seeds: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    mp4, fmp4, avi, wav, mkv, flv = (seeds[name] for name in ("mp4", "fmp4", "avi", "wav", "mkv", "flv"))
    most = b"\xff\xff\xff\xff"
    yield "time base of zero", put(put(mp4, b"mdhd", 12, b"\0" * 4), b"mvhd", 12, b"\0" * 4)
    yield "time base of all ones", put(put(mp4, b"mdhd", 12, most), b"mvhd", 12, most)
    yield "endless duration", put(put(mp4, b"mvhd", 16, most), b"mdhd", 16, most)
    yield "fragments without end", fmp4[: fmp4.index(b"moof") - 4] + fmp4[fmp4.index(b"moof") - 4 :] * 40
    for table in (b"stts", b"stsz", b"stsc", b"stco", b"stss"):
        yield f"{table.decode()} of four thousand million", put(mp4, table, 8 if table == b"stsz" else 4, most)
    yield "samples of no length in time", put(mp4, b"stts", 12, b"\0" * 4)
    yield "samples of 4 GB", put(mp4, b"stsz", 4, most)
    yield "samples before the file", put(mp4, b"stco", 8, b"\0\0\0\0")
    negative = struct.pack(">IIIiI", 0, 1, 1000, -(2**31), 0x10000)
    yield "edit list into the past", edited(mp4, b"elst", lambda _: negative)
    thousands = struct.pack(">II", 0, 20_000) + struct.pack(">IiI", 1, 0, 0x10000) * 20_000
    yield "twenty thousand edits", edited(mp4, b"elst", lambda _: thousands)
    offsets = box(b"ctts", struct.pack(">IIIi", 1 << 24, 1, 1_000_000, -(2**31)))
    yield "negative composition times", edited(mp4, b"stbl", lambda body: body + offsets)
    rate = avi.index(b"strh") + 28
    yield "avi of no rate", avi[:rate] + b"\0" * 8 + avi[rate + 8 :]
    yield "avi of all rates", avi[:rate] + most * 2 + avi[rate + 8 :]
    for code in (b"cvid", b"IV50", b"TSCC", b"8BPS"):
        yield f"avi of the forgotten codec {code.decode()}", avi.replace(b"FMP4", code)
    at = wav.index(b"fmt ") + 8
    for name, fields in {
        "no channels": (1, 0, 8000, 16000, 0, 16), "65,535 channels": (1, 65535, 8000, 0xFFFFFFFF, 65535, 16),
        "no rate": (1, 2, 0, 0, 4, 16), "all rate": (1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 2, 16),
        "no bits": (1, 2, 8000, 32000, 4, 0), "1 Hz": (1, 1, 1, 2, 2, 16),
        "another codec": (0x161, 2, 8000, 32000, 4, 16),
    }.items():  # fmt: skip
        yield f"wav of {name}", wav[:at] + struct.pack("<HHIIHH", *fields) + wav[at + 16 :]
    yield "wav longer than it is", wav[: wav.index(b"data") + 4] + most + wav[wav.index(b"data") + 8 :]
    yield "mkv with time scale 0", mkv.replace(b"\x2a\xd7\xb1\x83\x0f\x42\x40", b"\x2a\xd7\xb1\x83\0\0\0")
    yield "mkv with time scale all ones", mkv.replace(b"\x2a\xd7\xb1\x83\x0f\x42\x40", b"\x2a\xd7\xb1\x83\xff\xff\xff")
    yield "flv that jumps in time", _jumping(flv)
    yield "adts of no frame length", seeds["aac"][:3] + b"\x80\0\x1f\xfc" * 5000
    yield "flac of no rate", seeds["flac"][:18] + b"\0\0\0" + seeds["flac"][21:]
    for name in ("mp4", "mkv", "ts", "avi"):
        yield f"{name} of its first 16 bytes", seeds[name][:16]
    yield "one byte", b"\0"
    yield "a transport stream of nothing", b"G".ljust(188, b"\xff") * 2000
    yield "zeros", bytes(1 << 20)


def _jumping(flv: bytes) -> bytes:
    """Every third tag is three weeks later than the one before."""
    changed, at, count = bytearray(flv), 13, 0
    while at + 11 < len(flv):
        count += 1
        if count % 3 == 0:
            changed[at + 4 : at + 8] = b"\x6f\xff\xff\x7f"
        at += 11 + int.from_bytes(flv[at + 1 : at + 4], "big") + 4
    return bytes(changed)
