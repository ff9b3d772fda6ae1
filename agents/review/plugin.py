"""The plugin detector: picture classifiers that a platform brings, each an ONNX file with a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from agents.review.manifest import Input, Manifest, folder, manifests
from agents.review.steady import Steady, highest, signal_of
from schemas.message import Refused
from schemas.signals import UNAVAILABLE, Signal
from streams.extraction.detector import Detector, Findings, Frame, Part, Source

#: Frames named as evidence: enough for a reviewer to go to, few enough for a message.
MOST_EVIDENCE = 5


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


_ACTIVATIONS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "none": lambda values: values,
    "sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "softmax": _softmax,
}


class Model:
    """One classifier.

    Raises:
        Refused: it is not ONNX, or takes or gives something else than its manifest says; names the field.
    """

    def __init__(self, manifest: Manifest, content: bytes) -> None:
        self.manifest = manifest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # processes × threads = cores
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise Refused("file", f"{manifest.file} is no ONNX model that can be run: {error}") from error
        inputs, outputs = self._session.get_inputs(), [one.name for one in self._session.get_outputs()]
        if len(inputs) != 1:
            raise Refused("file", f"{manifest.file} has {len(inputs)} inputs: a classifier of pictures has one")
        if manifest.output and manifest.output not in outputs:
            raise Refused("output", f"there is no {manifest.output}; there are {', '.join(outputs)}")
        self._input, self._output = inputs[0].name, manifest.output or outputs[0]
        self._single = inputs[0].shape[:1] == [1]
        blank = np.zeros((manifest.input.height, manifest.input.width, 3), np.uint8)
        try:
            answers = self._answers([blank])
        except Exception as error:
            shape = "×".join(map(str, inputs[0].shape))
            raise Refused("input", f"{manifest.file} takes {shape} and refuses what `input` makes: {error}") from error
        if answers.shape != (1, len(manifest.labels)):
            raise Refused("labels", f"{len(manifest.labels)} are named, and the model gives {answers[0].size} answers")

    def scores(self, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, list[float]]:
        """Signal → its score for each picture."""
        answers = self._answers(pictures)
        found = {}
        for one in self.manifest.signals:
            score = answers[:, [self.manifest.labels.index(label) for label in one.labels]].sum(axis=1)
            if one.calibration:
                score = np.interp(
                    score, [point[0] for point in one.calibration], [point[1] for point in one.calibration]
                )
            found[one.signal] = np.clip(np.nan_to_num(score), 0.0, 1.0).tolist()
        return found

    def _answers(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        batch = np.stack([_prepared(picture, self.manifest.input) for picture in pictures])
        parts = np.split(batch, len(batch)) if self._single else [batch]
        answers = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        values = np.concatenate(answers).astype(np.float64).reshape(len(pictures), -1)
        return _ACTIVATIONS[self.manifest.activation](values)


class _Versions:
    """The models and their versions: the same media give other signals when one changes."""

    def __get__(self, instance: object, owner: type) -> str:
        return _versions()


class PluginDetector(Detector):
    """A signal for each that a manifest names, with the times of its highest few frames as evidence. One whose error
    was not measured is called trial.NAME, for which no policy has a threshold."""

    name = "plugin"
    version: ClassVar[str] = _Versions()  # type: ignore[assignment]
    wants_frames = True
    optional = True

    def __init__(self) -> None:
        self._models, self._refused = _loaded()

    @classmethod
    def problems(cls) -> list[str]:
        """Why models are refused."""
        return _loaded()[1]

    def open(self, source: Source) -> None:
        """Forget the former item."""
        self._steady: dict[str, Steady] = {}

    def see(self, frames: Sequence[Frame]) -> None:
        """Ask each model."""
        pictures = [frame.rgb for frame in frames]
        for model in self._models:
            for name, scores in model.scores(pictures).items():
                steady = self._steady.setdefault(name, Steady(MOST_EVIDENCE))
                for frame, score in zip(frames, scores, strict=True):
                    steady.add(frame.track, frame.at_s, score)

    def findings(self) -> Findings:
        """The highest score of each signal."""
        signals = tuple(signal_of(name, self.name, steady.top()) for name, steady in self._steady.items())
        return Findings(signals, absent=tuple(f"{self.name}: {UNAVAILABLE}: {why}" for why in self._refused))

    @classmethod
    def merge(cls, parts: Sequence[Part]) -> Findings:
        """The highest score of any stretch, with the highest few of all as evidence."""
        found: dict[str, list[Signal]] = {}
        for signal in (signal for part in parts for signal in part.findings.signals):
            found.setdefault(signal.name, []).append(signal)
        absent = dict.fromkeys(why for part in parts for why in part.findings.absent)
        return Findings(tuple(highest(signals, MOST_EVIDENCE) for signals in found.values()), absent=tuple(absent))


def _loaded() -> tuple[list[Model], list[str]]:
    models, refused = [], []
    for found in manifests(folder()):
        if found.manifest is None:
            refused.append(found.why)
            continue
        try:
            models.append(Model(found.manifest, found.model()))
        except Refused as error:
            refused.append(f"{found.path.name}: {error}")
    return models, refused


@cache
def _versions() -> str:
    named = [found.manifest for found in manifests(folder()) if found.manifest]
    return ",".join(f"{one.name}@{one.version}+{one.sha256[:8]}" for one in named) or "none"


def _prepared(rgb: NDArray[np.uint8], wanted: Input) -> NDArray[np.float32]:
    """A picture as the model takes it."""
    image = Image.fromarray(rgb)
    size = wanted.width, wanted.height
    box: tuple[float, float, float, float] | None = None
    if wanted.fit == "crop":
        scale = min(image.width / wanted.width, image.height / wanted.height)
        width, height = wanted.width * scale, wanted.height * scale
        left, top = (image.width - width) / 2, (image.height - height) / 2
        box = left, top, left + width, top + height
    image = image.resize(size, Image.Resampling.BILINEAR, box=box)
    values = np.asarray(image.convert("L") if wanted.colour == "grey" else image, np.float32)
    values = values[..., None] if wanted.colour == "grey" else values[..., ::-1] if wanted.colour == "bgr" else values
    mean, std = np.asarray(wanted.mean, np.float32), np.asarray(wanted.std, np.float32)
    values = (values * np.float32(wanted.scale) - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1) if wanted.layout == "nchw" else values)
