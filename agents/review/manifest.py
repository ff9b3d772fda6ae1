"""Manifests of models that a platform brings: what a picture classifier is given, what its answers mean, and how far it
errs. A folder of `*.toml`, each beside its ONNX file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from schemas.message import Count, Message, Refused, Score, Sha256, Text, convert
from streams.extraction.detector import FRAME_SIDE
from streams.extraction.process import MODELS_DIR

#: A signal's name is part of decisions, policies and metrics.
Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_.-]{0,63}$", max_length=64)]
#: What comes before the name of a signal whose model has no measured error: no policy's threshold is for it.
TRIAL = "trial."
#: Names that detectors which ship give to their signals.
TAKEN = frozenset({"nudity", "blank", "black", "frozen", "silent", "loud", "qr", "voice", "c2pa"})


class Input(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How a picture is made into the model's input: scaled, then (value · scale - mean) / std for each channel."""

    height: Annotated[int, msgspec.Meta(ge=16, le=FRAME_SIDE)]
    width: Annotated[int, msgspec.Meta(ge=16, le=FRAME_SIDE)]
    fit: Annotated[
        Literal["stretch", "crop"], msgspec.Meta(description="crop: the shorter side fits, the middle is taken")
    ] = "stretch"
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: Annotated[float, msgspec.Meta(gt=0, description="what a value from 0 to 255 is multiplied by")] = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, msgspec.Meta(gt=0)], ...] = (1.0,)

    def __post_init__(self) -> None:
        channels = 1 if self.colour == "grey" else 3
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in {1, channels}:
                raise ValueError(f"`{name}` has {len(getattr(self, name))} values: one, or one for each of {channels}")


class Measured(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What the model did on a set that it was not made with, at one threshold."""

    source: Annotated[Text, msgspec.Meta(min_length=1, description="which set, of whom, and when")]
    threshold: Score
    positives: Annotated[int, msgspec.Meta(ge=1)]
    found: Annotated[Count, msgspec.Meta(description="of the positives")]
    negatives: Annotated[int, msgspec.Meta(ge=1)]
    false_positives: Annotated[Count, msgspec.Meta(description="of the negatives")]

    def __post_init__(self) -> None:
        for part, whole in (("found", "positives"), ("false_positives", "negatives")):
            if getattr(self, part) > getattr(self, whole):
                raise ValueError(f"`{part}` is more than `{whole}`")

    @property
    def said(self) -> str:
        """In words."""
        return (
            f"{self.source}: recall {self.found}/{self.positives}, false {self.false_positives}/{self.negatives}"
            f" at {self.threshold:g}"
        )


class Meaning(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A signal that is made of the model's answers."""

    name: Name
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, description="whose scores are added up")]
    calibration: Annotated[
        tuple[tuple[Score, Score], ...],
        msgspec.Meta(description="points (model's score, share of right answers), rising; between them a line"),
    ] = ()
    measured: tuple[Measured, ...] = ()

    def __post_init__(self) -> None:
        firsts, seconds = [one[0] for one in self.calibration], [one[1] for one in self.calibration]
        if self.calibration and (len(firsts) < 2 or firsts != sorted(set(firsts)) or seconds != sorted(seconds)):
            raise ValueError("`calibration` needs two points or more, and both of their values have to rise")
        if self.name in TAKEN or self.name.startswith(TRIAL):
            raise ValueError(f"`name` {self.name} is taken by a detector that ships: name it otherwise")

    @property
    def signal(self) -> str:
        """The name under which it is given: a trial's until its error is measured."""
        return self.name if self.measured else f"{TRIAL}{self.name}"


class Manifest(Message, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A classifier of pictures."""

    name: Name
    version: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    file: Annotated[str, msgspec.Meta(pattern=r"^[^/\\]+\.onnx$", description="beside the manifest")]
    sha256: Sha256
    licence: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    source: Annotated[Text, msgspec.Meta(min_length=1, description="where the weights come from")]
    input: Input
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, description="of the output, in its order")]
    output: Annotated[str, msgspec.Meta(description="name of the output; empty: the first")] = ""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    signals: Annotated[tuple[Meaning, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("`labels` names one twice")
        names = [one.name for one in self.signals]
        if len(set(names)) < len(names):
            raise ValueError("`signals` names one twice")
        for number, one in enumerate(self.signals):
            if unknown := [label for label in one.labels if label not in self.labels]:
                raise ValueError(f"`signals[{number}].labels` names {', '.join(unknown)}, not of `labels`")


class Found(NamedTuple):
    """A manifest of the folder: itself, or why it is refused."""

    path: Path
    manifest: Manifest | None
    why: str = ""

    def model(self) -> bytes:
        """Its ONNX file.

        Raises:
            Refused: it is missing, or another than the manifest is about.
        """
        assert self.manifest
        path = self.path.with_name(self.manifest.file)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Refused("file", f"{path} cannot be read: {error.strerror}") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.manifest.sha256:
            raise Refused("sha256", f"{path.name} has {digest}: measure it anew, then name it")
        return content


def folder() -> Path | None:
    """Where manifests lie, if models are brought at all."""
    named = os.environ.get(MODELS_DIR)
    if named is not None:
        return Path(named) if named else None
    from streams.settings import load  # not in a decoding process

    return load().models_dir


def manifests(where: Path | None) -> Iterator[Found]:
    """All of a folder, by name. A bad one keeps no other away."""
    if where is None:
        return
    if not where.is_dir():
        yield Found(where, None, f"the folder {where} is not there: make it, or correct {MODELS_DIR}")
        return
    names: dict[str, str] = {}
    for path in sorted(where.glob("*.toml")):
        try:
            manifest = convert(Manifest, tomllib.loads(path.read_text("utf-8")))
            for name in (manifest.name, *(one.name for one in manifest.signals)):
                if (other := names.setdefault(name, path.name)) != path.name:
                    raise Refused("name", f"{name} is used in {other} already")
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, Refused) as error:
            yield Found(path, None, f"{path.name}: {error}")
            continue
        yield Found(path, manifest)
