"""The container detector: what an item says of its own making, in its metadata and provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping

from schemas.aigc import AigcCheck, Outcome, check_aigc
from agents.synthetic.c2pa import SYNTHETIC_SOURCE_TYPES, find_manifest_store, source_types
from schemas.signals import Evidence, Signal
from streams.extraction.detector import Detector, Findings, Source

#: Metadata fields in which tools name themselves.
TOOL_KEYS = frozenset({"encoder", "software", "creator_tool", "encoded_by", "tool"})
#: Generators that are known to do so. A trace, not a proof: whoever hides one only has to delete the field.
GENERATORS = re.compile(
    r"\b(?:comfyui|stable[ -]?diffusion|animatediff|runway(?:ml)?|pika labs|luma dream machine|kling(?:ai)?|sora|veo"
    r"|hailuo|minimax|jimeng|dreamina|wan2|hunyuanvideo|heygen|synthesia|d-id|suno|udio|elevenlabs)\b|可灵|即梦|海螺AI|腾讯混元",
    re.IGNORECASE,
)


class ContainerDetector(Detector):
    """Signals `aigc.compliant|non_compliant|inconclusive`, `c2pa`, `c2pa.synthetic` and `tool`; decodes nothing."""

    name = "container"
    version = "1"

    def open(self, source: Source) -> None:
        """Read all there is; the file is not decoded."""
        everywhere = [source.metadata, *source.stream_metadata]
        self._signals = [
            *_aigc(check_aigc(_merged(everywhere))),
            *(_c2pa(source) if find_manifest_store(source.file) else ()),
            *_tools(everywhere),
        ]

    def findings(self) -> Findings:
        """What was read."""
        return Findings(tuple(self._signals))


def _merged(everywhere: list[Mapping[str, str]]) -> dict[str, str]:
    """Container first: Ogg keeps its comments with the stream, every other container with itself."""
    merged: dict[str, str] = {}
    for metadata in everywhere:
        for key, value in metadata.items():
            merged.setdefault(key, value)
    return merged


def _aigc(check: AigcCheck) -> list[Signal]:
    if check.outcome is Outcome.NOT_FOUND:
        return []
    evidence = [Evidence(entry=check.label, text=f"Label {check.label}")] if check.label else []
    evidence += [Evidence(text=fault) for fault in check.faults]
    return [Signal(name=f"aigc.{check.outcome}", detector="container", score=1.0, evidence=tuple(evidence))]


def _c2pa(source: Source) -> list[Signal]:
    found = [Signal(name="c2pa", detector="container", score=1.0)]
    if types := sorted(source_types(source.file) & SYNTHETIC_SOURCE_TYPES):
        evidence = tuple(Evidence(text=kind) for kind in types)
        found.append(Signal(name="c2pa.synthetic", detector="container", score=1.0, evidence=evidence))
    return found


def _tools(everywhere: list[Mapping[str, str]]) -> list[Signal]:
    named = [
        Evidence(entry=key.lower(), text=match[0])
        for metadata in everywhere
        for key, value in metadata.items()
        if key.lower() in TOOL_KEYS and (match := GENERATORS.search(value))
    ]
    return [Signal(name="tool", detector="container", score=1.0, evidence=tuple(named))] if named else []
