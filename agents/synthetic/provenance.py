"""What a C2PA manifest store says, and whether its signature and its binding to the file hold (C2PA 2.1, validation).

By the C2PA project's own library; without it (extra `provenance`) a store is found and searched, and said to be
unchecked. Nothing is fetched: no remote manifest, no OCSP answer, no trust list. A signer is trusted only by a list
that the platform itself configured; anybody can make a certificate.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from agents.synthetic.c2pa import SOURCE_TYPES, find_manifest_store, source_types
from streams.labels.read import container_of

#: The setting `c2pa_trust` as detectors look for it: a decoding process reads no settings.
TRUST = "VERISTREAM_C2PA_TRUST"
#: Actions, generators and problems that are told: an honest manifest has one or two of each.
MOST = 8
#: Characters of one text of a stranger's.
MAX_SHOWN = 200
#: By the container that begins the file; what is not here the library finds out by itself.
_TYPES = {
    "mp4": "video/mp4", "avi": "video/avi", "wav": "audio/wav", "webp": "image/webp", "mp3": "audio/mpeg",
    "flac": "audio/flac", "jpeg": "image/jpeg", "png": "image/png",
}  # fmt: skip
#: What the library says of a manifest, in our words.
_STATES: dict[str, State] = {"Trusted": "trusted", "Valid": "untrusted", "Invalid": "invalid"}
#: Codes of problems that come of a change after signing: a hash or the signature does not fit.
_TAMPERED = ("mismatch", "claimSignature", "assertion.missing")

#: trusted: signature and binding hold, and the signer is on the list. untrusted: they hold, and it is not. tampered: a
#: signature or hash does not fit. invalid: another rule of the specification is broken. unreadable: there is a store
#: that cannot be read. unchecked: the library is not installed.
State = Literal["trusted", "untrusted", "tampered", "invalid", "unreadable", "unchecked"]


class Provenance(NamedTuple):
    """What was read of one file's store. Of an untrusted or tampered one it is what somebody claims."""

    state: State
    #: Name and version of what wrote the claim.
    generator: str = ""
    #: Organisation in the signer's certificate.
    signer: str = ""
    actions: tuple[str, ...] = ()
    #: IPTC terms of the file's own actions.
    source_types: tuple[str, ...] = ()
    #: Status codes of the C2PA specification (`assertion.dataHash.mismatch`), and what the library says of them.
    problems: tuple[str, ...] = ()


class Checker:
    """Reads stores against one trust list. Make it before the process is confined: it loads the library."""

    def __init__(self, anchors: str = "") -> None:
        """`anchors`: certificates of authorities that are trusted, PEM, one after the other; empty: none is.

        Raises:
            ValueError: they are no certificates.
        """
        self._context: Any = None
        try:
            import c2pa
        except ImportError:
            return
        settings: dict[str, Any] = {
            "verify": {
                "verify_after_reading": True,
                "verify_trust": True,
                "remote_manifest_fetch": False,
                "ocsp_fetch": False,
            }
        }
        if anchors:
            if "-----BEGIN CERTIFICATE-----" not in anchors:
                raise ValueError("no certificate in PEM form is in it")
            settings["trust"] = {"user_anchors": anchors}
        try:
            self._context = c2pa.Context.from_dict(settings)
        except c2pa.C2paError as error:
            raise ValueError(f"the certificates cannot be read: {error}") from error
        self._library = c2pa
        # At its first file the library looks for control groups: refused to a confined process, and seen as an attempt.
        with suppress(c2pa.C2paError):
            c2pa.Reader("image/jpeg", io.BytesIO(b"\xff\xd8\xff\xd9"), context=self._context).close()

    def read(self, file: BinaryIO) -> Provenance | None:
        """What the file's store says; None: it has none. Only embedded stores are read."""
        if not find_manifest_store(file):
            return None
        if self._context is None:
            return Provenance("unchecked", source_types=tuple(sorted(source_types(file))))
        file.seek(0)
        kind = _TYPES.get(container_of(file.read(12)) or "")
        file.seek(0)
        try:
            with self._library.Reader(kind, file, context=self._context) as reader:
                told = json.loads(reader.json())
        except (self._library.C2paError, ValueError) as error:
            return Provenance(
                "unreadable", source_types=tuple(sorted(source_types(file))), problems=(_shown(str(error)),)
            )
        return _told(told)


def checker() -> Checker:
    """One with the trust list that the settings name.

    Raises:
        ValueError: the list cannot be used; says which file and why.
    """
    path = os.environ.get(TRUST)
    if path is None:
        from streams.settings import load  # not in a decoding process

        path = str(load().c2pa_trust or "")
    if not path:
        return Checker()
    try:
        return Checker(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"the trust list {path} ({TRUST}) cannot be used: {error}") from error


def _told(told: Any) -> Provenance:
    manifest = told.get("manifests", {}).get(told.get("active_manifest"), {})
    steps = list(_steps(manifest))
    terms = {str(step.get("digitalSourceType", "")).rpartition("/")[2] for step in steps} & SOURCE_TYPES
    generators = [manifest.get("claim_generator_info") or [], [{"name": manifest.get("claim_generator") or ""}]]
    named = next((info for infos in generators for info in infos if info.get("name")), {})
    statuses = [*told.get("validation_status", ())]
    state = _STATES.get(told.get("validation_state", ""), "unreadable")
    if state == "invalid" and any(mark in str(status.get("code", "")) for status in statuses for mark in _TAMPERED):
        state = "tampered"
    return Provenance(
        state=state,
        generator=_shown(f"{named.get('name', '')} {named.get('version', '')}".strip()),
        signer=_shown(str((manifest.get("signature_info") or {}).get("issuer") or "")),
        actions=tuple(_shown(str(step.get("action", ""))) for step in steps[:MOST]),
        source_types=tuple(sorted(terms)),
        problems=tuple(
            _shown(f"{status.get('code', '')}: {status.get('explanation', '')}") for status in statuses[:MOST]
        ),
    )


def _steps(manifest: Any) -> Iterator[dict[str, Any]]:
    """The actions of a manifest's own assertions; those of its ingredients are theirs."""
    for assertion in manifest.get("assertions", ()):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            data = assertion.get("data")
            steps = data.get("actions") if isinstance(data, dict) else None
            yield from (step for step in steps or () if isinstance(step, dict))


def _shown(text: str) -> str:
    return text[:MAX_SHOWN].encode("utf-8", "replace").decode("utf-8")
