"""What can be said of one file's labels and provenance, for people: the same readers as the detector's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av

from agents.synthetic.c2pa import SYNTHETIC_SOURCE_TYPES
from agents.synthetic.container import check_file, traces
from agents.synthetic.provenance import Checker, Provenance
from schemas.aigc import AigcCheck, ProviderCode, provider_of
from schemas.signals import Evidence


class Report(NamedTuple):
    """The findings about one file."""

    container: str | None
    check: AigcCheck
    #: ContentProducer and ContentPropagator, decoded, as far as they are well-formed.
    providers: Mapping[str, ProviderCode]
    provenance: Provenance | None
    traces: tuple[Evidence, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        check, provenance = self.check, self.provenance
        return {
            "container": self.container,
            "outcome": str(check.outcome),
            "label": check.label,
            "faults": list(check.faults),
            "places": list(check.places),
            "fields": dict(check.fields),
            "providers": {field: provider._asdict() for field, provider in self.providers.items()},
            "c2pa": {
                **{name: list(value) if isinstance(value, tuple) else value
                   for name, value in provenance._asdict().items()},
                "synthetic": bool(SYNTHETIC_SOURCE_TYPES.intersection(provenance.source_types)),
            } if provenance else None,
            "traces": [{"field": trace.entry, "text": trace.text} for trace in self.traces],
        }  # fmt: skip


def report_on(path: Path, checker: Checker) -> Report:
    """Read one file.

    Raises:
        OSError: it cannot be read at all.
    """
    metadata = _metadata(path)
    with path.open("rb") as file:
        read, check = check_file(file, metadata)
        decoded = {
            field: provider
            for field in ("ContentProducer", "ContentPropagator")
            if (provider := provider_of(check.fields.get(field, ""))) is not None
        }
        return Report(read.container, check, decoded, checker.read(file), traces(file, metadata))


def _metadata(path: Path) -> list[Mapping[str, str]]:
    """As FFmpeg gives it; of what it cannot open, none."""
    file: BinaryIO
    with path.open("rb") as file:
        try:
            with av.open(file, metadata_errors="surrogateescape") as container:
                return [dict(container.metadata), *(dict(stream.metadata) for stream in container.streams)]
        except (av.FFmpegError, ValueError):
            return []
