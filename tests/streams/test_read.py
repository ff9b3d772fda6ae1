"""One pass over an item shows every detector the same frames and sound, and whatever the file is, nothing else gets out
than a reading or a reason."""

from __future__ import annotations

import math
import os
import re
import threading
import wave
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from clips import FPS, clip, cover_of, grey_at, with_cover
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.signals import Evidence, FrameHash, Signal
from streams.extraction.detector import SOUND_RATE, Detector, Findings, Frame, Source
from streams.extraction.read import ExtractFailure, Limits, Reading, read

LIMITS = Limits(sample_interval_s=1.0, max_pixels=1_000_000, max_duration_s=3600.0)
H264, VP9, MPEG4 = "libx264", "libvpx-vp9", "mpeg4"
AAC, OPUS, MP3, FLAC, PCM = "aac", "libopus", "libmp3lame", "flac", "pcm_s16le"


class Recorder(Detector):
    """Keeps what it was shown."""

    name = "recorder"
    version = "7"
    wants_frames = True
    wants_sound = True

    def open(self, source: Source) -> None:
        self.source = source
        self.frames: list[Frame] = []
        self.sound: list[tuple[float, np.ndarray]] = []

    def see(self, frames: Sequence[Frame]) -> None:
        self.frames += frames

    def hear(self, samples: np.ndarray, at_s: float) -> None:
        self.sound.append((at_s, samples))

    def findings(self) -> Findings:
        return Findings(
            (Signal(name="seen", detector=self.name, score=1.0),),
            (FrameHash(at_s=1.0, pdq="0" * 64, quality=50),),
        )

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate([samples for _, samples in self.sound])

    @property
    def greys(self) -> list[int]:
        return [round(float(frame.rgb.mean())) for frame in self.frames]


class Other(Recorder):
    name = "other"


class Looker(Recorder):
    name = "looker"
    wants_sound = False


class Listener(Recorder):
    name = "listener"
    wants_frames = False


def recorded(path: Path, limits: Limits = LIMITS) -> tuple[Recorder, Reading]:
    recorder = Recorder()
    return recorder, read(path, [recorder], limits)


def failure(path: Path, limits: Limits = LIMITS) -> ExtractFailure:
    with pytest.raises(ExtractFailure) as caught:
        read(path, [Recorder()], limits)
    return caught.value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def mp4(folder: Path) -> Path:
    return clip(folder / "plain.mp4")


CONTAINERS = {
    "clip.mp4": (H264, AAC, "h264", "aac"),
    "clip.mov": (H264, AAC, "h264", "aac"),
    "clip.mkv": (VP9, OPUS, "vp9", "opus"),
    "clip.webm": (VP9, OPUS, "vp9", "opus"),
    "clip.flv": (H264, AAC, "h264", "aac"),
    "clip.ts": (H264, AAC, "h264", "aac"),
    "clip.avi": (MPEG4, MP3, "mpeg4", "mp3float"),
    "mute.mp4": (H264, None, "h264", None),
    "sound.m4a": (None, AAC, None, "aac"),
    "sound.aac": (None, AAC, None, "aac"),
    "sound.ogg": (None, OPUS, None, "opus"),
    "sound.flac": (None, FLAC, None, "flac"),
    "sound.mp3": (None, MP3, None, "mp3float"),
    "sound.wav": (None, PCM, None, "pcm_s16le"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_usual_container_is_read(folder: Path, name: str) -> None:
    video, audio, video_codec, audio_codec = CONTAINERS[name]
    recorder, reading = recorded(clip(folder / name, video=video, audio=audio))
    media = reading.media
    assert (media.video_codec, media.audio_codec) == (video_codec, audio_codec)
    assert (media.width, media.height) == ((160, 120) if video else (None, None))
    assert media.duration_s == pytest.approx(3.0, abs=0.11)
    assert (
        media.frames_seen
        == len(recorder.frames)
        == pytest.approx(3 if video else 0, abs=1 if name == "clip.avi" else 0)
    )
    if audio:
        assert media.sound_s == pytest.approx(3.0, abs=0.05)
        assert len(recorder.samples) == round(media.sound_s * SOUND_RATE)
        # A tone of amplitude 0.5 is one whatever carried it.
        assert np.sqrt(np.mean(recorder.samples**2)) == pytest.approx(0.5 / math.sqrt(2), rel=0.1)
    else:
        assert media.sound_s == 0
        assert recorder.sound == []


def test_frames_are_rgb_sampled_at_the_interval(mp4: Path) -> None:
    recorder, _ = recorded(mp4)
    assert [frame.at_s for frame in recorder.frames] == [0.0, 1.0, 2.0]
    assert all(frame.rgb.shape == (120, 160, 3) and frame.rgb.dtype == np.uint8 for frame in recorder.frames)
    assert recorder.greys == pytest.approx([grey_at(0), grey_at(1), grey_at(2)], abs=3)


@pytest.mark.parametrize(("interval", "times"), [(0.5, [0, 0.5, 1, 1.5, 2, 2.5]), (2.0, [0, 2]), (10.0, [0])])
def test_the_interval_is_the_settings(mp4: Path, interval: float, times: list[float]) -> None:
    recorder, reading = recorded(mp4, LIMITS._replace(sample_interval_s=interval))
    assert [frame.at_s for frame in recorder.frames] == pytest.approx(times)
    assert reading.media.frames_seen == len(times)


def test_more_frames_than_a_batch_arrive_in_order_and_whole(mp4: Path) -> None:
    recorder, _ = recorded(mp4, LIMITS._replace(sample_interval_s=0.05))
    assert [frame.at_s for frame in recorder.frames] == pytest.approx([number / FPS for number in range(3 * FPS)])


@pytest.mark.parametrize(
    ("size", "shape"), [((1280, 640), (256, 512)), ((300, 1200), (512, 128)), ((160, 90), (90, 160))]
)
def test_the_longer_side_is_at_most_512_and_nothing_is_enlarged(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]
) -> None:
    recorder, reading = recorded(clip(tmp_path / "sized.mp4", size=size, audio=None, seconds=1))
    assert recorder.frames[0].rgb.shape == (*shape, 3)
    assert (reading.media.width, reading.media.height) == size


@pytest.mark.parametrize(
    ("codec", "rate", "layout"), [(PCM, 44_100, "stereo"), (PCM, 8_000, "mono"), ("pcm_f32le", 16_000, "mono")]
)
def test_sound_is_mono_at_16_khz_whatever_it_was(tmp_path: Path, codec: str, rate: int, layout: str) -> None:
    recorder, reading = recorded(clip(tmp_path / "tone.wav", video=None, audio=codec, rate=rate, layout=layout))
    assert all(samples.ndim == 1 and samples.dtype == np.float32 for _, samples in recorder.sound)
    assert len(recorder.samples) == pytest.approx(3 * SOUND_RATE, abs=16)
    assert reading.media.sound_s == pytest.approx(3.0, abs=0.001)
    peak = np.argmax(np.abs(np.fft.rfft(recorder.samples)))
    assert peak * SOUND_RATE / len(recorder.samples) == pytest.approx(440, abs=1)


def test_each_stretch_of_sound_says_where_it_begins(mp4: Path) -> None:
    recorder, _ = recorded(mp4)
    at = 0
    for begins_s, samples in recorder.sound:
        assert begins_s == pytest.approx(at / SOUND_RATE, abs=0.001)
        at += len(samples)


def test_all_detectors_see_one_decoding(mp4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    plain = av.open
    monkeypatch.setattr(av, "open", lambda *args, **kwargs: opened.append(args) or plain(*args, **kwargs))
    first, second = Recorder(), Other()
    reading = read(mp4, [first, second], LIMITS)
    assert len(opened) == 1
    assert all(mine.rgb is theirs.rgb for mine, theirs in zip(first.frames, second.frames, strict=True))
    assert all(mine[1] is theirs[1] for mine, theirs in zip(first.sound, second.sound, strict=True))
    assert reading.models == {"recorder": "7", "other": "7"}
    assert [signal.detector for signal in reading.signals] == ["recorder", "other"]
    assert len(reading.frames) == 2


def test_a_detector_is_shown_only_what_it_wants(mp4: Path) -> None:
    looker, listener = Looker(), Listener()
    read(mp4, [looker, listener], LIMITS)
    assert looker.frames
    assert not looker.sound
    assert listener.sound
    assert not listener.frames


def test_without_detectors_the_facts_are_read_all_the_same(mp4: Path) -> None:
    reading = read(mp4, [], LIMITS)
    assert reading.media.duration_s == pytest.approx(3.0)
    assert reading.signals == ()


def test_a_detector_can_be_used_for_one_item_after_another(mp4: Path, folder: Path) -> None:
    recorder = Recorder()
    read(mp4, [recorder], LIMITS)
    read(clip(folder / "second.mp4", seconds=1), [recorder], LIMITS)
    assert len(recorder.frames) == 1


def test_the_source_has_metadata_and_the_file_itself(tmp_path: Path) -> None:
    path = clip(tmp_path / "titled.mkv", metadata={"title": "鸟", "COMMENT": "made here"}, seconds=1)
    content = path.read_bytes()

    class Reader(Recorder):
        def open(self, source: Source) -> None:
            super().open(source)
            self.head = source.file.read(100)
            source.file.seek(-10, os.SEEK_END)
            self.tail = source.file.read()

    reader = Reader()
    read(path, [reader], LIMITS)
    assert reader.source.metadata["title"] == "鸟"
    assert reader.source.metadata["COMMENT"] == "made here"
    assert len(reader.source.stream_metadata) == 2
    assert reader.source.container.startswith("matroska")
    assert (reader.head, reader.tail) == (content[:100], content[-10:])


# What a detector does wrong costs the detector, not the item.


@pytest.mark.parametrize("method", ["open", "see", "hear", "findings"])
def test_a_detector_that_raises_is_absent_and_the_others_answer(mp4: Path, method: str) -> None:
    class Broken(Other):
        name = "broken"

    def fail(*_: object) -> None:
        raise RuntimeError("no such model")

    setattr(Broken, method, fail)
    recorder = Recorder()
    reading = read(mp4, [Broken(), recorder], LIMITS)
    assert reading.absent == ("broken: RuntimeError: no such model",)
    assert [signal.detector for signal in reading.signals] == ["recorder"]
    assert reading.models == {"recorder": "7"}
    assert len(recorder.frames) == 3
    assert recorder.sound


@pytest.mark.parametrize(
    "findings",
    [
        Findings((Signal(name="n", detector="d", score=float("nan")),)),
        Findings((Signal(name="n", detector="d", score=1.5),)),
        Findings((Signal(name="n", detector="d", score=1.0, evidence=(Evidence(text="\udcff"),)),)),
        Findings((), (FrameHash(at_s=0.0, pdq="XYZ", quality=1),)),
        None,
    ],
)
def test_findings_that_cannot_go_over_the_wire_cost_their_detector(mp4: Path, findings: Findings | None) -> None:
    class Wrong(Other):
        def findings(self) -> Findings:
            return findings  # type: ignore[return-value]

    reading = read(mp4, [Wrong(), Recorder()], LIMITS)
    assert len(reading.absent) == 1
    assert reading.absent[0].startswith("other: ")
    assert reading.models == {"recorder": "7"}


def test_the_reason_of_an_absent_detector_can_go_over_the_wire(mp4: Path) -> None:
    class Quoting(Other):
        def open(self, source: Source) -> None:
            raise ValueError("bad tag \udcff" + "x" * 1000)

    (reason,) = read(mp4, [Quoting()], LIMITS).absent
    assert reason.encode()
    assert len(reason) <= 300


def test_a_lone_detector_that_fails_at_once_does_not_cost_the_facts(mp4: Path) -> None:
    class Broken(Recorder):
        def open(self, source: Source) -> None:
            raise OSError

    reading = read(mp4, [Broken()], LIMITS)
    assert reading.media.video_codec == "h264"
    assert len(reading.absent) == 1


# What is not media, or not wholly.


@pytest.mark.parametrize("suffix", ["mp4", "mp3", "flac"])
def test_sound_with_cover_art_is_sound(folder: Path, suffix: str) -> None:
    codec = {"mp4": AAC, "mp3": MP3, "flac": FLAC}[suffix]
    path = with_cover(folder / f"cover.{suffix}", clip(folder / f"uncovered.{suffix}", video=None, audio=codec))
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    recorder, reading = recorded(path)
    assert (reading.media.width, reading.media.video_codec, reading.media.frames_seen) == (None, None, 0)
    assert recorder.frames == []
    assert reading.media.sound_s == pytest.approx(3.0, abs=0.05)


def test_a_cover_alone_is_neither_picture_nor_sound(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as output:
        for packet in cover_of(output):
            output.mux(packet)
    found = failure(path)
    assert (found.code, found.text) == ("EXTRACT-FORMAT", "it holds neither picture nor sound")


NOT_MEDIA = {
    "text": b"This is a text, whatever its name says.\n" * 20,
    "text that begins with a G": b"Good morning, this is a text.\n" * 20,
    "a picture": b"GIF89a" + bytes(500),
    "zeros": bytes(5000),
    "one byte": b"x",
    "html": b"<!doctype html><html><body>404</body></html>",
}


@pytest.mark.parametrize("content", NOT_MEDIA.values(), ids=NOT_MEDIA.keys())
def test_what_never_was_media_is_of_no_format(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    assert failure(path).code == "EXTRACT-FORMAT"


def test_a_movie_without_its_index_is_broken(folder: Path, tmp_path: Path) -> None:
    content = clip(folder / "whole.mov").read_bytes()
    path = tmp_path / "truncated.mov"
    path.write_bytes(content[: len(content) // 2])
    assert failure(path).code == "EXTRACT-BROKEN"


@pytest.mark.parametrize(
    "magic", [b"\x1aE\xdf\xa3", b"FLV\x01", b"RIFF", b"OggS", b"fLaC", b"ID3\x04", bytes(4) + b"ftyp"]
)
def test_what_begins_like_media_and_goes_on_as_nothing_is_broken(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(magic + b"\xee" * 2000)
    assert failure(path).code == "EXTRACT-BROKEN"


def test_a_transport_stream_without_anything_in_it_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    path.write_bytes((b"G" + b"\xee" * 187) * 20)
    assert failure(path).code == "EXTRACT-BROKEN"


@pytest.mark.parametrize("audio", [AAC, None])
def test_a_codec_that_is_not_read_here_is_of_no_format(tmp_path: Path, audio: str | None) -> None:
    path = clip(tmp_path / "exotic.mp4", audio=audio, seconds=1)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"xxxx"))
    assert failure(path).code == "EXTRACT-FORMAT"


def test_a_picture_that_cannot_be_decoded_is_not_passed_for_sound_alone(tmp_path: Path) -> None:
    path = clip(tmp_path / "blind.mkv", video=VP9, audio=OPUS)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                at = content.index(bytes(packet))
                content[at : at + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    found = failure(path)
    assert found.code == "EXTRACT-BROKEN"
    assert "picture" in found.text


def flv_tags(content: bytes) -> Iterator[bytearray]:
    at = 9 + 4
    while at < len(content):
        size = 11 + int.from_bytes(content[at + 1 : at + 4], "big") + 4
        yield bytearray(content[at : at + size])
        at += size


def test_a_picture_that_begins_after_minutes_of_sound_is_not_passed_over(folder: Path, tmp_path: Path) -> None:
    # FFmpeg looks for streams in the first 90 s at most; a player goes on looking.
    sound = clip(folder / "long.flv", video=None, seconds=100, rate=16_000, layout="mono")
    assert recorded(sound)[1].media.sound_s == pytest.approx(100, abs=0.2)
    content = bytearray(sound.read_bytes())
    for tag in flv_tags(clip(folder / "mute.flv", audio=None).read_bytes()):
        if tag[0] == 9:  # a picture
            tag[4:7] = (int.from_bytes(tag[4:7], "big") + 100_000).to_bytes(3, "big")
            content += tag
    path = tmp_path / "late.flv"
    path.write_bytes(content)
    found = failure(path)
    assert (found.code, "stream" in found.text) == ("EXTRACT-BROKEN", True)


def test_a_title_that_looks_like_a_stream_is_a_title(tmp_path: Path) -> None:
    path = clip(tmp_path / "titled.mkv", metadata={"title": "x\n  Stream #0:7: Video"}, seconds=1)
    assert recorded(path)[1].media.frames_seen == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_damage_in_the_middle_costs_only_what_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = clip(tmp_path / f"damaged.{suffix}")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 2000 : middle + 2000] = b"\xee" * 4000
    path.write_bytes(content)
    recorder, reading = recorded(path)
    assert recorder.greys[0] == pytest.approx(grey_at(0), abs=3)
    assert recorder.greys[-1] == pytest.approx(grey_at(2), abs=3)
    assert 2.0 < reading.media.sound_s < 3.0


def test_what_lies_before_the_end_of_a_cut_file_counts(tmp_path: Path) -> None:
    path = clip(tmp_path / "cut.mp4", options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    recorder, reading = recorded(path)
    assert recorder.greys == pytest.approx([grey_at(0), grey_at(1)], abs=3)
    assert 1.5 < reading.media.sound_s < 2.5


def test_metadata_that_is_not_utf8_does_not_cost_the_item(tmp_path: Path) -> None:
    path = clip(tmp_path / "tagged.mp4", metadata={"title": "AAAAAAAA", "comment": "made here"}, seconds=1)
    content = path.read_bytes()
    assert content.count(b"AAAAAAAA") == 1
    path.write_bytes(content.replace(b"AAAAAAAA", b"\xff\xfe\xc3(AAAA"))
    recorder, _ = recorded(path)
    assert recorder.source.metadata["comment"] == "made here"
    assert recorder.source.metadata["title"].encode("utf-8", "surrogateescape") == b"\xff\xfe\xc3(AAAA"


# Time.


@pytest.mark.parametrize("start_s", [0.0, 7200.0, 20_000.0])
def test_a_segment_of_a_long_broadcast_begins_at_zero(tmp_path: Path, start_s: float) -> None:
    recorder, reading = recorded(clip(tmp_path / "late.ts", start_s=start_s))
    assert [frame.at_s for frame in recorder.frames] == pytest.approx([0, 1, 2], abs=0.15)
    assert reading.media.duration_s == pytest.approx(3.0, abs=0.05)


def test_the_second_of_two_recordings_in_one_file_is_seen_too(tmp_path: Path) -> None:
    path = clip(tmp_path / "twice.ts")
    path.write_bytes(path.read_bytes() * 2)
    recorder, reading = recorded(path)
    assert recorder.greys == pytest.approx([grey_at(second) for second in (0, 1, 2, 0, 1, 2)], abs=3)
    assert reading.media.sound_s == pytest.approx(6.0, abs=0.1)


def test_the_second_of_two_recordings_is_seen_though_both_are_shorter_than_the_interval(tmp_path: Path) -> None:
    path = clip(tmp_path / "twice.ts", seconds=0.8)
    path.write_bytes(path.read_bytes() * 2)
    assert len(recorded(path)[0].frames) == 2


def test_sound_that_changes_its_rate_and_channels_is_heard_to_its_end(tmp_path: Path) -> None:
    stereo = clip(tmp_path / "stereo.ts")
    mono = clip(tmp_path / "mono.ts", rate=44_100, layout="mono")
    path = tmp_path / "both.ts"
    path.write_bytes(stereo.read_bytes() + mono.read_bytes())
    recorder, _ = recorded(path)
    assert len(recorder.samples) == pytest.approx(6 * SOUND_RATE, abs=0.1 * SOUND_RATE)


# Limits.


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(mp4: Path) -> None:
    recorder = Recorder()
    with pytest.raises(ExtractFailure) as caught:
        read(mp4, [recorder], LIMITS._replace(max_pixels=160 * 120 - 1))
    assert caught.value.code == "EXTRACT-LIMIT"
    assert "160 × 120" in caught.value.text
    assert not hasattr(recorder, "frames")
    assert recorded(mp4, LIMITS._replace(max_pixels=160 * 120))[1].media.frames_seen == 3


def test_a_picture_that_grows_on_the_way_is_refused_there(tmp_path: Path) -> None:
    small = clip(tmp_path / "small.ts", audio=None, seconds=1)
    large = clip(tmp_path / "large.ts", audio=None, seconds=1, size=(640, 480), start_s=1)
    path = tmp_path / "growing.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    found = failure(path, LIMITS._replace(max_pixels=160 * 120))
    assert found.code == "EXTRACT-LIMIT"
    assert "640 × 480" in found.text


def test_what_says_that_it_is_too_long_is_refused(mp4: Path) -> None:
    found = failure(mp4, LIMITS._replace(max_duration_s=2.9))
    assert found.code == "EXTRACT-LIMIT"
    assert "says it lasts" in found.text
    assert recorded(mp4, LIMITS._replace(max_duration_s=3.1))[1].media.frames_seen == 3


def test_what_goes_on_past_the_limit_is_refused_whatever_it_says(tmp_path: Path) -> None:
    path = clip(tmp_path / "streamed.flv", seconds=4)
    content = bytearray(path.read_bytes())
    at = content.index(b"duration") + len(b"duration")
    assert content[at] == 0  # an AMF number
    content[at + 1 : at + 9] = np.array(0.5, ">f8").tobytes()
    path.write_bytes(content)
    found = failure(path, LIMITS._replace(max_duration_s=2.0))
    assert found.code == "EXTRACT-LIMIT"


@pytest.mark.parametrize(("rate", "code"), [(1, "EXTRACT-LIMIT"), (999, "EXTRACT-LIMIT"), (8000, None)])
def test_sound_of_fewer_samples_than_any_recording_has_is_refused(tmp_path: Path, rate: int, code: str | None) -> None:
    path = tmp_path / "slow.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * 16_000))
    if code:
        assert failure(path, LIMITS._replace(max_duration_s=20_000.0)).code == code
    else:
        assert recorded(path)[1].media.sound_s == pytest.approx(2.0, abs=0.01)


# Files that name others.


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Counts who asks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)  # type: ignore[attr-defined]
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def playlist(url: str, file: Path) -> str:
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXTINF:3.0,\n{url}\n#EXTINF:3.0,\nfile://{file}\n#EXT-X-ENDLIST\n"


SCRIPTS = {
    "playlist": playlist,
    "concat script": lambda url, file: f"ffconcat version 1.0\nfile '{url}'\nfile '{file}'\n",
    "session description": lambda url, file: (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nu={url}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n"
    ),
    "dash manifest": lambda url, file: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f"<BaseURL>{url}</BaseURL></Period></MPD>"
    ),
}


@pytest.mark.timeout(30)  # to open the pipe for reading would wait for ever
@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8"])
def test_a_file_that_names_others_opens_none_of_them(
    tmp_path: Path, server: ThreadingHTTPServer, kind: str, suffix: str
) -> None:
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    path = tmp_path / f"clip.{suffix}"
    path.write_text(SCRIPTS[kind](f"http://127.0.0.1:{server.server_port}/clip.ts", pipe))
    assert failure(path).code == "EXTRACT-FORMAT"
    assert server.asked == []  # type: ignore[attr-defined]


def test_the_same_playlist_is_followed_by_a_reader_that_allows_it(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    path = tmp_path / "clip.m3u8"
    path.write_text(playlist(f"http://127.0.0.1:{server.server_port}/clip.ts", tmp_path / "none.ts"))
    with pytest.raises(av.FFmpegError):
        av.open(str(path), options={"protocol_whitelist": "file,http,tcp"})
    assert server.asked  # type: ignore[attr-defined]


# Anything at all.


class Seeds(dict[str, bytes]):
    """Small clips to be mutated, too long to be shown."""

    def __repr__(self) -> str:
        return "seeds"


@pytest.fixture(scope="module")
def seeds(folder: Path) -> Seeds:
    return Seeds(
        {
            suffix: clip(
                folder / f"seed.{suffix}", size=(32, 32), seconds=0.5, rate=16_000, layout="mono", **kind
            ).read_bytes()
            for suffix, kind in {
                "mp4": {},
                "mkv": {"video": VP9, "audio": OPUS},
                "ts": {},
                "flv": {},
                "ogg": {"video": None, "audio": OPUS},
                "mp3": {"video": None, "audio": MP3},
            }.items()
        }
    )


def reading_or_failure(path: Path) -> Reading | ExtractFailure:
    try:
        reading = read(path, [Recorder()], Limits(0.1, 100_000, 60.0))
    except ExtractFailure as error:
        assert re.fullmatch("EXTRACT-(FORMAT|BROKEN|LIMIT)", error.code)
        assert error.text
        return error
    assert reading.absent == ()
    assert reading.media.duration_s >= 0
    return reading


ANYTHING = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ANYTHING
@given(
    content=st.binary(min_size=1, max_size=2000), magic=st.sampled_from(["", "mp4", "mkv", "ts", "flv", "ogg", "mp3"])
)
def test_bytes_of_any_kind_give_a_reading_or_a_reason(tmp_path: Path, seeds: Seeds, content: bytes, magic: str) -> None:
    path = tmp_path / "any.mp4"
    path.write_bytes((seeds[magic][:64] if magic else b"") + content)
    reading_or_failure(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "ogg", "mp3"])
@ANYTHING
@given(data=st.data())
def test_a_clip_mutated_in_any_way_gives_a_reading_or_a_reason(
    tmp_path: Path, seeds: Seeds, suffix: str, data: st.DataObject
) -> None:
    content = bytearray(seeds[suffix])
    places = st.integers(0, len(content) - 1)
    for at, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=20)):
        content[at] = value
    if data.draw(st.booleans()):
        begin, end = sorted((data.draw(places), data.draw(places)))
        del content[begin:end]
    path = tmp_path / "mutated.mp4"
    path.write_bytes(bytes(content) or b"x")
    reading_or_failure(path)


def test_a_seed_that_is_not_mutated_is_read(tmp_path: Path, seeds: Seeds) -> None:
    for suffix, content in seeds.items():
        path = tmp_path / "seed.mp4"
        path.write_bytes(content)
        assert isinstance(reading_or_failure(path), Reading), suffix


@pytest.mark.parametrize("value", [1, 255])
def test_an_index_that_lies_about_the_sound_gives_a_reading_or_a_reason(
    tmp_path: Path, seeds: Seeds, value: int
) -> None:
    # Found by mutation: sound decoded from what is no sound can have a form that no resampler takes.
    content = seeds["mp4"]
    path = tmp_path / "lying.mp4"
    last = content.rindex(b"stsc")
    for at in range(last, last + 4 * 24):
        path.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
        reading_or_failure(path)
