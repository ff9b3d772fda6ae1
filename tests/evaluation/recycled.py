"""Old footage under a new claim: real clips uploaded again, under titles that fit what was said before or do not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import av

from agents.recycled.agent import pictures_of
from agents.recycled.judge import recycled
from agents.review.pdq import PdqDetector
from deploy.demo.footage import Filter, Picture, Shot, encode
from schemas.event import Event, Media
from schemas.policy import default_policy
from schemas.signals import FrameHash, Signals
from schemas.spread import Footage
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.footage import CLIPS, clip
from tests.evaluation.recall import tier0

NOW = datetime(2026, 3, 1, tzinfo=UTC)
_MEDIA = Media(uri="s3://media/1.mp4", sha256="0" * 64, bytes=0)


class Again(NamedTuple):
    """How a clip is encoded again, and which part of it."""

    crf: int = 23
    scale: float = 1.0
    fps: int | None = None
    start_s: float = 0.0
    seconds: float = 8.0
    filters: tuple[Filter, ...] = ()


AGAIN = {
    "crf33": Again(crf=33),
    "half_size": Again(scale=0.5, crf=28),
    "fps15": Again(fps=15),
    "cut3s": Again(start_s=1.1, seconds=3.0),
    "brighter": Again(filters=(("lutyuv", "y=val+20"),)),
    "small_logo": Again(filters=(("drawbox", "iw*0.82:ih*0.05:iw*0.13:ih*0.1:white:fill"),)),
}
#: What was said at first, what is said now, and whether a person is to be asked. Nothing was tuned on the titles; how
#: many bits a key has was chosen on these clips.
TITLES = (
    ("2021年7月20日河南郑州特大暴雨现场", "武汉昨夜特大暴雨，街道成河", True),
    ("Wildfire near Los Angeles, January 2025", "Maui is burning right now, pray for Hawaii", True),
    ("四川泸定地震救援 2022年9月5日", "2026年2月28日 云南大理地震现场", True),
    ("实拍：山洪冲进村庄", "2026年2月27日，甘肃积石山山洪", True),
    ("Explosion in Beirut, 4 August 2020", "Explosion in Tehran this morning 2026-02-28", True),
    ("广州台风登陆，大树倒了一片", "深圳台风登陆，大树倒了一片", True),
    ("2024年10月29日西班牙瓦伦西亚洪水", "Flood in Valencia, October 2024", False),
    ("郑州暴雨，地铁停运", "河南暴雨两年后回顾", False),
    ("Flood in Valencia, Spain", "巴伦西亚洪水，街上全是车", False),
    ("实拍：山洪冲进村庄", "山洪来得太快了，注意安全", False),
    ("日本福岛海边的日落", "这段日落真美，分享给大家", False),
)


def measure(quick: bool) -> Iterator[Row]:
    """Every clip in every way of encoding it again, under every pair of titles; and beside other clips."""
    ways = dict(list(AGAIN.items())[:2]) if quick else AGAIN
    old = {name: _hashed(name, None) for name in CLIPS}
    pairs = [(name, way) for name in CLIPS for way in ways]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        again = dict(zip(pairs, pool.map(_hashed, *zip(*pairs, strict=True)), strict=True))
    found = {True: [0, 0], False: [0, 0]}
    strangers = [0, 0]
    by_way = {way: [0, 0] for way in ways}
    for (name, way), frames in again.items():
        for first, second, ask in TITLES:
            asked = _is_asked(old[name], first, frames, second)
            found[ask][0] += asked
            found[ask][1] += 1
            if ask:
                by_way[way][0] += asked
                by_way[way][1] += 1
                for other in CLIPS:
                    if other != name:
                        strangers[0] += _is_asked(old[other], first, frames, second)
                        strangers[1] += 1
    yield _share("rumor.recycled.recall", found[True], "of uploads whose text does not fit the earlier one")
    for way, counts in by_way.items():
        yield _share(f"rumor.recycled.recall.{way}", counts, "of these")
    yield _share("rumor.recycled.asked_in_vain", found[False], "of uploads whose text fits")
    yield _share("rumor.recycled.other_footage", strangers, "of uploads of other footage")


def _share(name: str, counts: list[int], unit: str) -> Row:
    return Row(name, counts[0] / counts[1], unit, counts[1])


def _is_asked(old: tuple[FrameHash, ...], then: str, new: tuple[FrameHash, ...], now: str) -> bool:
    """As the agent does it: what shares a key meets, and is compared."""
    policy = default_policy().recycled
    earlier = list(pictures_of(_item("old", then, old, NOW - timedelta(days=20))))
    later = list(pictures_of(_item("new", now, new, NOW)))
    by_key: dict[str, Footage] = {one.bucket: one for one in earlier}
    return any(recycled(one, [by_key[one.bucket]], policy) for one in later if one.bucket in by_key)


def _item(name: str, title: str, frames: tuple[FrameHash, ...], at: datetime) -> Signals:
    event = Event(
        event_id=name, content_id=name, publisher_id=name, provider_id="p", service="short_video", media=_MEDIA,
        created_at=at, title=title,
    )  # fmt: skip
    return Signals(event=event, extracted_at=at, extraction_s=0.0, frames=frames)


def _hashed(name: str, way: str | None) -> tuple[FrameHash, ...]:
    """A clip's hashes as extraction makes them of an upload, encoded again or as it is."""
    settings = Settings()
    limits = Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s)
    if way is None:
        return read(clip(name), [PdqDetector()], limits, tier0()).frames
    again = AGAIN[way]
    with av.open(str(clip(name))) as container:
        stream = container.streams.video[0]
        width, height, fps = stream.width, stream.height, stream.average_rate or Fraction(25)
    size = (2 * round(width * again.scale / 2), 2 * round(height * again.scale / 2))
    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        target = Path(folder, "again.mp4")
        shot = Shot(clip(name), again.start_s, again.seconds, again.filters)
        encode(target, Picture((shot,), size, Fraction(again.fps) if again.fps else fps, crf=again.crf))
        return read(target, [PdqDetector()], limits, tier0()).frames
