"""Pictures: which frames are worth decoding and sampling, and how a sampled frame is shown to detectors.

Between two packets at which decoding can begin (see `entry`) lies a group. Once a group is there as a whole, the times
at which it is to be sampled are known before anything of it is decoded: evenly spaced, the last of them as far before
the next group as samples may lie apart, so that the end of the group need not be decoded. Of what is decoded, frames
that no other refers to are left out by the decoder, except those to be sampled: what is sampled never depends on what
the file says is unimportant.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from streams.extraction.detector import FRAME_SIDE
from streams.extraction.entry import enters
from streams.extraction.panel import Form

#: A group is held until it ends, but not beyond so many bytes: ten seconds of 1080p at 6 Mbit/s.
MOST_HELD = 8 << 20
#: A packet this much larger than the largest of the few before it holds a new scene: the encoder could refer to little.
SPIKE = 3.0
SPIKE_AFTER = 12
#: Bytes under which a packet is no new scene, however small the ones before were: still pictures with noise in them.
SPIKE_LEAST = 512
#: Samples lie no closer than this share of the interval: in footage of key frames alone each would be one.
CLOSEST = 0.25
#: A frame is sampled unasked so many intervals after the last sample: the one asked for was damaged, or came under
#: another time.
LATE = 1.5
#: Frames that are waited for; those of a damaged part never come.
MOST_WANTED = 100
#: Frames come so much, in seconds, out of the order of their times at most.
REORDER_S = 1.0
#: Mean difference (0 to 255) of two sampled frames from which the later shows another scene; motion of a whole picture
#: stays under 20 as a rule.
SCENE = 30.0
#: Sides of the grid of points that is compared for it.
POINTS = 32
#: Pixels are at most so many times as wide as high, or the other way round: the most that any standard has is 2.2.
MOST_ASPECT = 4

Pixels = NDArray[np.uint8]
#: What brings a picture upright.
Turn = Callable[[Pixels], Pixels]


class Pace:
    """When a frame is sampled by its time alone."""

    def __init__(self, every_s: float, key_frames: bool, from_s: float) -> None:
        self.every_s = every_s
        self._key_frames = key_frames
        self.sampled_s = self._grid_s = self._shown_s = float("-inf")
        if every_s and from_s > 0:  # a stretch goes on with the steps of the one before
            self._grid_s = (ceil(from_s / every_s) - 1) * every_s

    def due(self, at_s: float, key: bool) -> bool:
        """Whether this frame is sampled, the frames coming in the order in which they are shown."""
        # A time before the last picture's is sampled too: in two recordings put one after the other it begins anew,
        # and what the second shows must not pass unseen.
        back, self._shown_s = at_s < self._shown_s, at_s
        new = self._key_frames and key and at_s >= self.sampled_s + CLOSEST * self.every_s
        if not back and not new and at_s < self._grid_s + self.every_s:
            return False
        self.take(at_s)
        return True

    def take(self, at_s: float) -> None:
        """Count this frame as sampled."""
        self.sampled_s = at_s
        # On a grid: counted from the last sample, the steps would grow by the frame that each comes late.
        self._grid_s = at_s // self.every_s * self.every_s if self.every_s else at_s


class Track:
    """One stream of pictures, from packets to the frames to be sampled between two times of the item, in seconds."""

    def __init__(
        self, stream: Any, number: int, start_s: float, pace: Pace, *, cheap: bool, between: tuple[float, float]
    ) -> None:
        self.stream = stream
        self.number = number
        #: Where the group ended that was looked at last: all that is to be sampled before has been.
        self.done_s = float("-inf")
        #: Whether it holds any packet.
        self.fed = False
        #: Frames that were sampled and shown.
        self.shown = 0
        self._start_s = start_s
        self._pace = pace
        self._from_s, self._until_s = between
        self._tick_s = float(stream.time_base)
        self._context = stream.codec_context
        self._codec = self._context.name
        self._extradata = self._context.extradata  # a copy at each access
        self._group: list[Any] = []
        self._held = 0
        self._skips = False  # whether the decoder leaves out frames that no other refers to
        self._begins = False  # whether the group's first packet is one at which decoding can begin
        self._planned_s = float("-inf")  # the last sample that was planned
        # Decoders give frames late: of a group of which little is decoded they come groups later.
        self._wanted: dict[int, None] = {}
        self._sizes: deque[int] = deque(maxlen=SPIKE_AFTER)
        stream.thread_type = "NONE"  # processes × threads = cores: two decoders on two threads each cost a fifth more
        self._cheap = cheap
        if cheap:
            # Key frames stay exact; what follows them drifts by some bits of its hash until the next.
            self._context.options = {**self._context.options, "skip_loop_filter": "nokey"}

    def feed(self, packet: Any) -> Iterator[tuple[Any, bool]]:
        """The frames that are decoded now that this packet has come, each with whether it is to be sampled."""
        self.fed = self.fed or bool(packet.size)
        if not self._cheap:
            if packet.pts is not None:
                self.done_s = self.at(packet.pts) - REORDER_S
            yield from self._decoded(packet.decode, planned=False)
            return
        if packet.size and enters(self._codec, memoryview(packet), self._extradata):
            yield from self._close(packet.pts, final=False)
            self._begins = True
        self._group.append(packet)
        self._held += packet.size
        if not packet.size or self._held > MOST_HELD:
            yield from self._close(None, final=not packet.size)

    def end(self) -> Iterator[tuple[Any, bool]]:
        """What is left when a file ends in its middle, or a stretch of it ends."""
        planned = bool(self._wanted)
        if self._cheap:
            yield from self._close(None, final=True)
            planned = bool(self._wanted)
        yield from self._decoded(lambda: self._context.decode(None), planned=planned)

    def at(self, pts: int) -> float:
        """The time in seconds from the item's beginning."""
        return pts * self._tick_s - self._start_s

    def _close(self, following: int | None, *, final: bool) -> Iterator[tuple[Any, bool]]:
        """Decode what is held. `following`: when the next group begins, if decoding can begin with it."""
        group, self._group, self._held = self._group, [], 0
        begins, self._begins = self._begins, False
        if not group:
            return
        times = self._plan(group, following, begins=begins)
        if times is not None:
            within = {pts for pts in times if self._from_s <= self.at(pts) < self._until_s}
            self._wanted = dict.fromkeys([*self._wanted, *sorted(within)][-MOST_WANTED:])
            if following is not None or final:
                last = max((number for number, packet in enumerate(group) if packet.pts in within), default=-1)
                # The empty packet at the end of a file has the decoder give what it still holds.
                group = group[: last + 1] + [packet for packet in group[last + 1 :] if not packet.size]
        for packet in group:
            skip = times is not None and bool(packet.size) and packet.pts not in self._wanted
            if skip != self._skips:
                self._context.skip_frame = "NONREF" if skip else "DEFAULT"
                self._skips = skip
            yield from self._decoded(packet.decode, planned=times is not None)

    def _plan(self, group: Sequence[Any], following: int | None, *, begins: bool) -> set[int] | None:
        """The times of the frames to be sampled. None: the group does not say when its frames are shown."""
        full = [packet for packet in group if packet.size]
        shown = sorted(packet.pts for packet in full if packet.pts is not None)
        if not full or len(set(shown)) < len(full):
            return None
        if following is not None and following <= shown[-1]:  # another recording begins: times go back
            following = None
        if self.at(shown[0]) < self._planned_s:
            self._planned_s = float("-inf")
        end_s = self.at(following) if following is not None else self.at(shown[-1] + (full[-1].duration or 0))
        self.done_s = end_s
        every_s = self._pace.every_s
        if not every_s:
            return set(shown)
        marks = {packet.pts for packet in full if packet.is_keyframe} | self._spikes(full)
        if begins or self._planned_s == float("-inf"):
            marks.add(shown[0])
        times: set[int] = set()
        shown_s = [self.at(pts) for pts in shown]
        for mark in (*sorted(marks), None):
            # Evenly between the last sample and this one; at the end, up to one interval before what follows.
            mark_s = end_s if mark is None else self.at(mark)
            gap_s = mark_s - self._planned_s
            if mark is not None and gap_s < CLOSEST * every_s:
                continue
            if every_s < gap_s < float("inf"):
                steps = ceil(gap_s / every_s) - 1
                span_s = (gap_s - every_s) / steps if mark is None else gap_s / (steps + 1)
                for step in range(1, steps + 1):
                    place = bisect_right(shown_s, self._planned_s + step * span_s) - 1
                    times.add(shown[max(0, place)])
                self._planned_s = mark_s - every_s
            if mark is not None:
                times.add(mark)
                self._planned_s = mark_s
        return times

    def _spikes(self, full: Sequence[Any]) -> set[int]:
        """The times of packets that stand out by their size."""
        times = set()
        for packet in full:
            before = max(self._sizes, default=0)
            if len(self._sizes) == SPIKE_AFTER and packet.size > max(SPIKE_LEAST, SPIKE * before):
                times.add(packet.pts)
            if not packet.is_keyframe:
                self._sizes.append(packet.size)
        return times

    def _decoded(self, decode: Callable[[], Any], *, planned: bool) -> Iterator[tuple[Any, bool]]:
        try:
            frames = decode()
        except MemoryError:
            raise
        except av.FFmpegError:  # players show the rest, so the rest is reviewed
            return
        for frame in frames:
            at_s = self.time(frame)
            if planned:
                late = at_s > self._pace.sampled_s + LATE * self._pace.every_s > float("-inf")
                taken = frame.pts in self._wanted or late
                if taken:
                    self._wanted.pop(frame.pts, None)
                    self._pace.take(at_s)
            else:
                taken = self._pace.due(at_s, bool(frame.key_frame))
            yield frame, taken and self._from_s <= at_s < self._until_s

    def time(self, frame: Any) -> float:
        """When a frame is shown, in seconds from the item's beginning; of one that does not say, when the last was."""
        if frame.pts is None:
            return max(0.0, self._pace.sampled_s)
        return float(frame.time) - self._start_s


class Easel:
    """Shows frames as detectors ask for them: upright, with square pixels, scaled once for all who want the same."""

    def __init__(self, forms: set[Form], stream: Any) -> None:
        #: The form that is made of every sampled frame: the one that hashes are made of, if somebody asks for it.
        self._first = (FRAME_SIDE, "rgb") if (FRAME_SIDE, "rgb") in forms else max(forms, default=(FRAME_SIDE, "rgb"))
        aspect = stream.sample_aspect_ratio
        #: Width of a pixel by its height. What no player would make of it is not made of it here.
        self._aspect = float(aspect) if aspect and 1 / MOST_ASPECT <= aspect <= MOST_ASPECT else 1.0
        self._points: NDArray[np.int16] | None = None

    def show(self, frame: av.VideoFrame, asked: Callable[[bool], set[Form]]) -> tuple[bool, dict[Form, Pixels]]:
        """Whether the frame shows another scene than the one before it; and the frame in the forms that are `asked` for
        then. To make one that nobody looks at costs as much as some detectors do."""
        turn = _turn(frame)
        scaled: dict[int, av.VideoFrame] = {}
        first = self._form(frame, scaled, turn, self._first)
        scene = self._scene(first)
        wanted = sorted(asked(scene) - {self._first}, reverse=True)
        return scene, {self._first: first} | {form: self._form(frame, scaled, turn, form) for form in wanted}

    def _form(self, frame: av.VideoFrame, scaled: dict[int, av.VideoFrame], turn: Turn, form: Form) -> Pixels:
        side, colour = form
        # Smaller ones are made of the one that hashes are made of, and that one always of the frame itself, so
        # that a hash does not depend on what else is installed.
        source = scaled.get(FRAME_SIDE, frame) if side < FRAME_SIDE else frame
        alpha = colour == "rgb" and any(part.is_alpha for part in source.format.components)
        small = self._scaled(source, side, "rgba" if alpha else "rgb24" if colour == "rgb" else "gray8", frame)
        if colour == "rgb":
            scaled[side] = small
        pixels = small.to_ndarray().astype(np.uint8, copy=False)
        if alpha:  # as players do, over black
            pixels = (pixels[..., :3].astype(np.uint16) * pixels[..., 3:] // 255).astype(np.uint8)
        return np.ascontiguousarray(turn(pixels))

    def _scaled(self, source: av.VideoFrame, side: int, form: str, frame: av.VideoFrame) -> av.VideoFrame:
        width, height = frame.width / max(1.0, 1 / self._aspect), frame.height / max(1.0, self._aspect)
        scale = min(1.0, side / max(width, height))
        return source.reformat(
            width=max(1, round(width * scale)),
            height=max(1, round(height * scale)),
            format=form,
            interpolation="AREA",
        )

    def _scene(self, pixels: Pixels) -> bool:
        rows = np.linspace(0, pixels.shape[0] - 1, POINTS).astype(int)
        columns = np.linspace(0, pixels.shape[1] - 1, POINTS).astype(int)
        points = pixels[rows][:, columns].astype(np.int16)
        former, self._points = self._points, points
        return former is None or former.shape != points.shape or float(np.abs(points - former).mean()) > SCENE


def _turn(frame: Any) -> Turn:
    """What brings a decoded picture upright: players turn and mirror it as the display matrix says."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return lambda pixels: pixels
    matrix = np.frombuffer(bytes(data), np.int32)
    if len(matrix) < 5:
        return lambda pixels: pixels
    # (x, y) of the coded picture goes to (a x + c y, b x + d y) of the shown one. Only quarter turns and mirrors
    # matter: the larger of two entries says which.
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if swapped else (a, d)

    def turned(pixels: Pixels) -> Pixels:
        picture = np.swapaxes(pixels, 0, 1) if swapped else pixels
        return picture[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]

    return turned
