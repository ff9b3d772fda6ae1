"""Reading an item: one pass of the decoder, every detector over the same frames and samples. Runs in a pool process."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import av
import msgspec

from schemas.plan import Plan, Ran
from schemas.signals import Caption, FrameHash, FramePoints, MediaFacts, MediaText, Signal, SoundPrint, Utterance
from streams.extraction.detector import Detector, Findings, Source
from streams.extraction.limits import ExtractFailure, Limits, Meter, check_room
from streams.extraction.media import Openable, frames_of, grown, opened, packets, played
from streams.extraction.panel import Panel, Shown
from streams.extraction.picture import Easel, Pace, Track
from streams.extraction.sound import RUN_IN_S, Heard, Sound
from streams.extraction.subtitles import Subtitles

__all__ = ["ExtractFailure", "Limits", "Reading", "read"]

#: Containers that say where their key frames lie: a stretch of one is gone to at once, of others the packets before it
#: are passed over.
INDEXED = ("mov", "matroska")
#: So long after the end of a stretch, in seconds of the item, reading ends though a stream has not got there: streams
#: are interleaved by the second, and one that has ended never will.
MOST_AHEAD_S = 60.0


class Reading(NamedTuple):
    """Everything that was found in one item. Of a stretch of it what detectors found is in `findings` alone."""

    media: MediaFacts
    signals: tuple[Signal, ...]
    frames: tuple[FrameHash, ...]
    absent: tuple[str, ...]
    models: Mapping[str, str]
    ran: Ran | None = None
    #: Of a stretch: from when until when, in seconds, and what each detector found; see `streams.extraction.stretches`.
    stretch: tuple[float, float] | None = None
    findings: Mapping[str, Findings] = {}
    #: Frames of picture and sound that were decoded, looked at or not.
    decoded: int = 0
    captions: tuple[Caption, ...] = ()
    speech: tuple[Utterance, ...] = ()
    #: Whether it holds pictures that somebody asked for and nobody saw.
    unseen: bool = False
    sounds: tuple[SoundPrint, ...] = ()
    points: tuple[FramePoints, ...] = ()
    texts: tuple[MediaText, ...] = ()

    def whole(self) -> Reading:
        """The same, as the reading of a whole item.

        Raises:
            ExtractFailure: there is nothing to see or to hear in it.
        """
        if not self.decoded:
            raise ExtractFailure("EXTRACT-BROKEN", "not one frame or sample of it could be decoded")
        if self.unseen:
            raise ExtractFailure("EXTRACT-BROKEN", "its sound could be decoded, but not one frame of its picture")
        return self


def read(
    source: Openable,
    detectors: Sequence[Detector],
    limits: Limits,
    plan: Plan | None = None,
    stretch: tuple[float, float] | None = None,
) -> Reading:
    """Decode the file once and let every detector look at it.

    Without a plan every frame is decoded, and every detector sees those that `limits.sample_interval_s` gives. Of a
    stretch, in seconds, only what is shown and heard within it is looked at; its end belongs to the next.

    Raises:
        ExtractFailure: it is not media, it is damaged, or it exceeds a limit.
    """
    plan = plan or Plan(key_frames=False, decode="all")
    try:
        reading = _read(source, detectors, limits, plan, stretch)
    finally:
        # Containers, streams and decoders refer to one another: left to itself, what the decoder holds, some 10 MB of
        # 720p, stays for many items.
        gc.collect()
    if reading.unseen and plan.decode == "cheap":
        # Nothing came of the frames that should have been enough: what a player shows, it shows of all of them.
        reading = _read(source, detectors, limits, msgspec.structs.replace(plan, decode="all"), stretch)
    return reading.whole() if stretch is None else reading


def _read(
    source: Openable,
    detectors: Sequence[Detector],
    limits: Limits,
    plan: Plan,
    stretch: tuple[float, float] | None,
) -> Reading:
    with opened(source) as container, source.open("rb") as again:
        videos, audios = played(container.streams.video), played(container.streams.audio)
        stated_s = container.duration / av.time_base if container.duration else 0.0
        limits.check(videos, audios, stated_s)
        panel = Panel(detectors, plan)
        panel.open(_source(container, again))
        # A transport stream's clock does not begin at 0: a segment may start hours into its broadcast.
        meter = Meter(limits, (container.start_time or 0) / av.time_base)
        wanted = [*(videos if panel.forms() else ()), *(audios[:1] if panel.wants_sound else ())]
        run = _Run(panel, plan, meter, stretch)
        subtitles = Subtitles(container, meter.start_s, stretch or (0.0, float("inf")))
        run.over(container, wanted or [(*videos, *audios)[0]], subtitles)
        if grown(container):
            raise ExtractFailure("EXTRACT-BROKEN", "a stream begins in its middle that was not there at its beginning")
        for further in audios[1:] if panel.wants_sound else ():  # one after the other: detectors hear one at a time
            with opened(source) as anew:
                run.over(anew, [stream for stream in anew.streams.audio if stream.index == further.index])
        check_room(videos)
        found = panel.findings()
        told = () if stretch else tuple(found.values())  # of a stretch each finding is sent once, under its detector
        video, audio = next(iter(videos), None), next(iter(audios), None)
        media = MediaFacts(
            container=container.format.name,
            duration_s=max(stated_s, meter.until_s),
            width=video.width if video else None,
            height=video.height if video else None,
            video_codec=video.codec_context.name if video else None,
            audio_codec=audio.codec_context.name if audio else None,
            frames_seen=run.frames_seen,
            sound_s=run.sound_s,
            md5=_md5(again) if stretch is None or stretch[0] == 0 else None,
        )
        return Reading(
            media=media,
            signals=tuple(signal for findings in told for signal in findings.signals),
            frames=tuple(frame for findings in told for frame in findings.frames),
            captions=tuple(caption for findings in told for caption in findings.captions),
            speech=tuple(utterance for findings in told for utterance in findings.speech),
            absent=(
                *panel.absent,
                *subtitles.absent(),
                *(why for findings in found.values() for why in findings.absent),
            ),
            models={detector.name: detector.version for detector in detectors if detector.name in found},
            ran=Ran(plan=plan, cued=panel.cued),
            stretch=stretch,
            findings=found if stretch else {},
            decoded=meter.decoded,
            unseen=run.unseen,
            sounds=tuple(sound for findings in told for sound in findings.sounds),
            points=tuple(points for findings in told for points in findings.points),
            texts=subtitles.found(),
        )


def _md5(file: BinaryIO) -> str:
    """The MD5 of all its bytes; two milliseconds a megabyte. Nobody trusts it: it finds files on lists."""
    file.seek(0)
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _source(container: Any, file: BinaryIO) -> Source:
    metadata = [dict(stream.metadata) for stream in container.streams]
    return Source(container.format.name, dict(container.metadata), metadata, file)


class _Run:
    """Runs over streams of an item, and shows what is sampled of them to the panel."""

    def __init__(self, panel: Panel, plan: Plan, meter: Meter, stretch: tuple[float, float] | None) -> None:
        self.frames_seen = 0
        self.sound_s = 0.0
        #: Whether a stream of pictures was run over of which nothing was sampled.
        self.unseen = False
        self._panel = panel
        self._plan = plan
        self._meter = meter
        from_s, until_s = stretch or (0.0, float("inf"))
        # What a file says is shown before its beginning is seen as well.
        self._between = (from_s or float("-inf"), until_s)

    def over(self, container: Any, streams: Sequence[Any], subtitles: Subtitles | None = None) -> None:
        """Run over these streams, from packet to packet, and over the tracks of subtitles beside them."""
        tracks = self._tracks(streams)
        sounds = self._sounds(streams)
        from_s, until_s = self._between
        if from_s > 0 and container.format.name.startswith(INDEXED):
            begin_s = max(0.0, from_s - RUN_IN_S) + self._meter.start_s
            container.seek(int(begin_s * av.time_base), backward=True)
        behind = {stream.index for stream in streams}  # who has not got to the end of the stretch
        texts = {stream.index for stream in subtitles.streams} if subtitles else ()
        for packet in packets(container, [*streams, *(subtitles.streams if subtitles else ())]):
            if subtitles and packet.stream_index in texts:  # few and far between: when to end is not asked of them
                subtitles.feed(packet)
                continue
            at_s = self._meter.packet(packet)
            if at_s > until_s:
                behind.discard(packet.stream_index)
                done = not behind and all(track.done_s >= until_s for track, _ in tracks.values())
                if done or at_s > until_s + MOST_AHEAD_S:
                    break
            if packet.stream_index in tracks:
                track, easel = tracks[packet.stream_index]
                self._look(track.feed(packet), track, easel)
            elif packet.stream_index in sounds:
                self._listen(packet, sounds[packet.stream_index])
            else:  # nobody asks for anything: whether it can be decoded is asked all the same
                for frame in frames_of(packet):
                    self._meter.frame(frame)
        for track, easel in tracks.values():
            self._look(track.end(), track, easel)
        for sound in sounds.values():
            self._hear(sound.end())
            self.sound_s += sound.heard_s
        self._panel.look()
        fed = [track for track, _ in tracks.values() if track.fed] or [track for track, _ in tracks.values()]
        self.unseen = self.unseen or not all(track.shown for track in fed)  # one that holds nothing shows nothing

    def _tracks(self, streams: Sequence[Any]) -> dict[int, tuple[Track, Easel]]:
        forms = self._panel.forms()
        pictures = [stream for stream in streams if forms and stream.type == "video"]
        every_s = self._meter.limits.sample_interval_s if self._plan.every_s is None else self._plan.every_s
        cheap = self._plan.decode == "cheap"
        return {
            stream.index: (
                Track(
                    stream,
                    number,
                    self._meter.start_s,
                    Pace(every_s, self._plan.key_frames, self._between[0]),
                    cheap=cheap,
                    between=self._between,
                ),
                Easel(forms, stream),
            )
            for number, stream in enumerate(pictures)
        }

    def _sounds(self, streams: Sequence[Any]) -> dict[int, Sound]:
        heard = [stream for stream in streams if self._panel.wants_sound and stream.type == "audio"]
        return {stream.index: Sound(stream, self._meter.start_s, self._between) for stream in heard}

    def _look(self, frames: Iterable[tuple[Any, bool]], track: Track, easel: Easel) -> None:
        for frame, taken in frames:
            self._meter.frame(frame)
            if not taken:
                continue
            at_s = round(max(0.0, track.time(frame)), 3)
            asked = partial(self._panel.asked, at_s, track.number)
            try:
                scene, forms = easel.show(frame, asked)
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):  # what cannot be converted is as good as damaged
                continue
            self._panel.see(Shown(at_s, track.number, scene, forms))
            self.frames_seen += 1
            track.shown += 1

    def _listen(self, packet: Any, sound: Sound) -> None:
        for frame in sound.feed(packet):
            self._meter.frame(frame)
            try:
                self._hear(sound.take(frame))
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):  # what cannot be converted is as good as damaged
                continue

    def _hear(self, heard: Iterable[Heard]) -> None:
        for samples, at_s in heard:
            self._panel.hear(samples, round(at_s, 3))
