"""The container detector: what an item says of its own making, in its metadata and provenance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from agents.synthetic.c2pa import SYNTHETIC_SOURCE_TYPES
from agents.synthetic.provenance import Provenance, checker
from schemas.aigc import AigcCheck, check_labels, labels_in
from schemas.signals import Evidence, Signal
from streams.extraction.detector import Detector, Findings, Source
from streams.labels.read import LabelsRead, read_labels
from streams.labels.read_traces import read_traces

#: Metadata fields in which tools name themselves.
TOOL_KEYS = frozenset({"encoder", "software", "creator_tool", "encoded_by", "tool", "parameters"})
#: Generators that are known to do so. A trace, not a proof: whoever hides one only has to delete the field.
GENERATORS = re.compile(
    r"\b(?:comfyui|stable[ -]?diffusion|animatediff|runway(?:ml)?|pika labs|luma dream machine|kling(?:ai)?|sora|veo"
    r"|hailuo|minimax|jimeng|dreamina|wan2|hunyuanvideo|heygen|synthesia|d-id|suno|udio|elevenlabs|midjourney|dall[-·]e"
    r"|novelai|invokeai)\b|可灵|即梦|海螺AI|腾讯混元",
    re.IGNORECASE,
)
#: What samplers write beside a picture: `Steps: 20, Sampler: …`, or a graph of nodes.
_PARAMETERS = re.compile(r"\bSteps: \d+, Sampler: |\"class_type\": ?\"|\"last_node_id\":")

Pairs = Iterable[tuple[str, str]]


class ContainerDetector(Detector):
    """Signals `aigc.compliant|non_compliant|inconclusive`, `c2pa`, `c2pa.synthetic` and `tool`; decodes nothing."""

    name = "container"
    version = "2"

    def __init__(self) -> None:
        """Loads the library for C2PA, and the trust list, before the process is confined.

        Raises:
            ValueError: the trust list cannot be used.
        """
        self._checker = checker()

    @classmethod
    def problems(cls) -> list[str]:
        """A trust list that cannot be used."""
        try:
            checker()
        except ValueError as error:
            return [str(error)]
        return []

    def open(self, source: Source) -> None:
        """Read all there is; the file is not decoded."""
        everywhere = [source.metadata, *source.stream_metadata]
        self._signals = [
            *_aigc(check_file(source.file, everywhere)[1]),
            *_c2pa(self._checker.read(source.file)),
            *_tools(traces(source.file, everywhere)),
        ]

    def findings(self) -> Findings:
        """What was read."""
        return Findings(tuple(self._signals))


def check_file(file: BinaryIO, metadata: Sequence[Mapping[str, str]]) -> tuple[LabelsRead, AigcCheck]:
    """Check the label of a file: as it stands there, else as FFmpeg gives it (`metadata`: the container's first, then
    the streams'; Ogg keeps its comments with the stream, every other container with itself).

    What stops the reading is no fault of a label: without one it makes the outcome inconclusive.
    """
    read = read_labels(file)
    given = () if read.labels else labels_in(_merged(metadata))
    if given and read.container:
        why = f"AIGC stands where the standard has no place for it in {read.container}"
        given = tuple(label._replace(faults=(why,)) for label in given)
    return read, check_labels(read.labels or given, read.problem)


def traces(file: BinaryIO, metadata: Iterable[Mapping[str, str]]) -> tuple[Evidence, ...]:
    """What names a generator, or says as the IPTC's terms do that an algorithm made it: level 3 at most."""
    pairs = [(key.lower(), value) for each in metadata for key, value in each.items()]
    named = [*_generators(pairs), *_generators(read_traces(file))]
    return tuple(dict.fromkeys(named))


def _generators(pairs: Pairs) -> Iterable[Evidence]:
    for key, value in pairs:
        if key == "digital_source_type":
            if value in SYNTHETIC_SOURCE_TYPES:
                yield Evidence(entry=key, text=value)
        elif key in TOOL_KEYS:
            match = GENERATORS.search(value)
            if match or (key == "parameters" and _PARAMETERS.search(value)):
                yield Evidence(entry=key, text=match[0] if match else "a generator's parameters")


def _merged(everywhere: Sequence[Mapping[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for metadata in everywhere:
        for key, value in metadata.items():
            merged.setdefault(key, value)
    return merged


def _aigc(check: AigcCheck) -> list[Signal]:
    if not check.places:  # nothing was found: that the file could not be read is for the extraction to say
        return []
    evidence = [Evidence(entry=check.label, text=f"Label {check.label}")] if check.label else []
    evidence += [Evidence(text=fault) for fault in check.faults]
    return [Signal(name=f"aigc.{check.outcome}", detector="container", score=1.0, evidence=tuple(evidence))]


def _c2pa(provenance: Provenance | None) -> list[Signal]:
    """That there is a store, with its state; and that it says that an algorithm made the item, whoever says so: what
    was tampered with, or signed by nobody known, is no less a trace."""
    if provenance is None:
        return []
    told = [Evidence(entry=provenance.state, text=provenance.generator or None)]
    told += [Evidence(text=problem) for problem in provenance.problems]
    found = [Signal(name="c2pa", detector="container", score=1.0, evidence=tuple(told))]
    if types := sorted(SYNTHETIC_SOURCE_TYPES.intersection(provenance.source_types)):
        evidence = tuple(Evidence(entry=provenance.state, text=kind) for kind in types)
        found.append(Signal(name="c2pa.synthetic", detector="container", score=1.0, evidence=evidence))
    return found


def _tools(named: tuple[Evidence, ...]) -> list[Signal]:
    return [Signal(name="tool", detector="container", score=1.0, evidence=named)] if named else []
