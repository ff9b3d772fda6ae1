"""A bundle for an inspector: records with their proofs, the policies they name, a timeline, a script that checks it."""

from __future__ import annotations

import hashlib
import html
import json
import shutil
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from schemas.policy import default_policy
from streams.archive import proof
from streams.archive.chain import ArchiveError, Chain, Record, files_of
from streams.archive.columns import Row, fields
from streams.archive.parquet import read, seeds_of
from streams.archive.query import ask

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Fields that tell who somebody is, or what they said; whole fields of a message, as its leaf has them.
_WHO = frozenset({"key", "", "publisher_id", "complainant", "device", "receipt_sha256", "reviewer_id", "reviewers"})
_SAID = frozenset(
    {"event", "text", "attachments", "captions", "speech", "texts", "sounds", "frames", "signals", "reason"}
)
#: role → fields that it does not get to see. An inspector of an authority sees everything (Art. 17).
ROLES: dict[str, frozenset[str]] = {
    "inspector": frozenset(),
    "court": _WHO - {"publisher_id", "key"},
    "auditor": _WHO | _SAID | {"ruling"},
}
_TIMELINE = ("topic", "agent", "action", "verdict", "outcome", "kind", "state", "until", "policy", "policy_version")


class Wanted(NamedTuple):
    """What is exported: an item's or a publisher's rows, or all, from one time to another (RFC 3339)."""

    content: str | None = None
    publisher: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def export(folder: Path, key: Ed25519PrivateKey, wanted: Wanted, role: str, who: str, target: Path) -> int:
    """Write the bundle, a zip file. Returns how many records it has.

    Raises:
        ArchiveError: nothing of it is in the archive, or a file is not what was archived.
    """
    chain = Chain(folder)
    live = files_of(chain.records())
    found = _places(folder, wanted)
    if not found:
        raise ArchiveError("nothing in the archive fits: see `veristream query` for what is there")
    with tempfile.TemporaryDirectory(prefix="veristream-export-") as work:
        bundle = Path(work)
        rows = [row for path, offsets in found.items() for row in _proved(folder, live[path], offsets, ROLES[role])]
        rows.sort(key=lambda row: (row["timestamp"], row["topic"], row["partition"], row["offset"]))
        _lines(bundle / "records.jsonl", rows)
        needed = {live[path]["seq"] for path in found}
        (bundle / "chain.jsonl").write_bytes(b"".join(line for at, line in enumerate(chain.lines()) if at in needed))
        shutil.copyfile(chain.public, bundle / "public.pem")
        shutil.copyfile(proof.__file__, bundle / "verify.py")
        timeline = [_moment(row) for row in rows]
        (bundle / "timeline.json").write_text(json.dumps(timeline, ensure_ascii=False, indent=1), "utf-8")
        (bundle / "timeline.html").write_text(_page(timeline, wanted, role), "utf-8")
        _policies(folder, rows, bundle / "policies")
        files = {
            str(path.relative_to(bundle)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(bundle.rglob("*"))
            if path.is_file()
        }
        about = {name: str(value) for name, value in wanted._asdict().items() if value is not None}
        manifest = {
            "wanted": about, "role": role, "exported_by": who, "exported_at": datetime.now(UTC).isoformat(),
            "records": len(rows), "hidden": sorted(ROLES[role]), "head": f"{chain.seq}:{chain.head}", "files": files,
        }  # fmt: skip
        data = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
        (bundle / "manifest.json").write_bytes(data)
        (bundle / "manifest.sig").write_text(key.sign(proof.MANIFEST + data).hex() + "\n")
        making = target.with_name(f".{target.name}.making")
        with zipfile.ZipFile(making, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(bundle.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(bundle))
        making.rename(target)
    return len(rows)


def _places(folder: Path, wanted: Wanted) -> Mapping[str, set[int]]:
    """Files, each with the offsets in it that are wanted."""
    conditions = ["topic <> 'policies'"]
    given: dict[str, Any] = {}
    for name, column, value in (
        ("content", "content_id =", wanted.content),
        ("publisher", "publisher_id =", wanted.publisher),
        ("since", "coalesce(happened_at, kafka_at) >=", wanted.since),
        ("until", "coalesce(happened_at, kafka_at) <", wanted.until),
    ):
        if value is not None:
            conditions.append(f"{column} ${name}")
            given[name] = value
    sql = f"SELECT filename, kafka_offset FROM archive WHERE {' AND '.join(conditions)}"  # noqa: S608 - our own words
    found: dict[str, set[int]] = defaultdict(set)
    for name, offset in ask(folder, sql, given).rows:
        found[str(Path(name).relative_to(folder.resolve()))].add(offset)
    return found


def _proved(folder: Path, record: Record, offsets: set[int], hidden: frozenset[str]) -> list[dict[str, Any]]:
    """Rows of a file, what is hidden as digests, each with its path to the root."""
    import pyarrow.parquet as pq

    leaves: list[bytes] = []
    chosen: list[tuple[int, Row]] = []
    with pq.ParquetFile(folder / record["path"]) as file:
        seeds = seeds_of(file)
    for _, rows, found in read(folder / record["path"], record):
        chosen += [(len(leaves) + at, row) for at, row in enumerate(rows) if row.offset in offsets]
        leaves += found
    if proof.root(leaves).hex() != record["root"]:
        raise ArchiveError(f"{record['path']} is not what was archived: see `veristream evidence verify`")
    exported = []
    for (index, row), path in zip(chosen, proof.paths(leaves, [at for at, _ in chosen]), strict=True):
        seed = next(seed for first, seed in reversed(seeds) if first <= row.offset)
        exported.append(
            {
                "topic": record["topic"],
                "partition": record["partition"],
                "offset": row.offset,
                "timestamp": row.timestamp,
                "file": record["path"],
                "index": index,
                "path": [step.hex() for step in path],
                "fields": _shown(row, seed, hidden),
            }
        )
    return exported


def _shown(row: Row, seed: bytes, hidden: frozenset[str]) -> list[dict[str, str]]:
    parts = fields(row)
    salts = proof.salts(seed, row.offset, len(parts))
    shown = []
    for at, (name, raw) in enumerate(parts):
        salt, text = salts[at * proof.SALT : (at + 1) * proof.SALT], name.decode()
        if text in hidden:
            shown.append({"name": text, "digest": proof.field_digest(salt, name, raw).hex()})
        else:
            shown.append({"name": text, "salt": salt.hex(), "raw": raw.decode("utf-8", "surrogateescape")})
    return shown


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    # ASCII, since a value need not be UTF-8: its bytes then are halves of surrogate pairs, as PEP 383 has them.
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "ascii")


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the exported fields say, as a message."""
    found: dict[str, Any] = {}
    for field in row["fields"][1:]:
        if "raw" in field:
            raw = field["raw"].removeprefix("=") if field["name"] == "" else field["raw"]
            try:
                value = json.loads(raw)
            except ValueError:
                continue
            found |= value if field["name"] == "" and isinstance(value, dict) else {field["name"]: value}
    return found


def _moment(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in the timeline."""
    message = _message(row)
    policy = message.get("policy") or {}
    stop = message.get("stop") or {}
    moment = {name: message.get(name) for name in _TIMELINE} | {"topic": row["topic"]}
    moment["policy"], moment["policy_version"] = policy.get("name"), policy.get("version")
    moment["until"] = stop.get("until") or message.get("until")
    moment["reasons"] = message.get("reasons", [])
    times = ("decided_at", "ordered_at", "requested_at", "ruled_at", "received_at", "extracted_at", "at")
    logged = datetime.fromtimestamp(row["timestamp"] / 1000, UTC).isoformat()
    moment["at"] = next((message[name] for name in times if message.get(name)), logged)
    moment["content_id"] = message.get("content_id") or (message.get("event") or {}).get("content_id")
    moment["place"] = f"{row['topic']}/{row['partition']}@{row['offset']}"
    return {name: value for name, value in moment.items() if value not in (None, [])}


def _page(timeline: list[dict[str, Any]], wanted: Wanted, role: str) -> str:
    """The timeline as a page that needs nothing else, and runs nothing."""
    lines = []
    for moment in timeline:
        what = " ".join(
            str(moment[name]) for name in ("action", "verdict", "outcome", "kind", "state") if name in moment
        )
        why = "; ".join(
            f"{reason.get('code')} {reason.get('score', 0):.2f} (threshold {reason.get('threshold', 0):.2f}) "
            f"{reason.get('article', '')}"
            for reason in moment.get("reasons", ())
        )
        policy = f"{moment['policy']} {moment['policy_version']}" if "policy" in moment else ""
        cells = (moment["at"], moment["topic"], moment.get("agent", ""), what, moment.get("until", ""), why, policy,
                 moment.get("content_id", ""), moment["place"])  # fmt: skip
        lines.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    asked = html.escape(", ".join(f"{name} {value}" for name, value in wanted._asdict().items() if value is not None))
    heads = ("time", "topic", "agent", "what", "until", "why", "policy", "item", "record")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Timeline</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}"
        "td,th{border:1px solid #ccc;padding:.3em .5em;text-align:left;vertical-align:top}</style>"
        f"<h1>Timeline: {asked or 'everything'}</h1><p>{len(timeline)} records, as role {html.escape(role)}. "
        "<code>python verify.py</code> in this folder checks each of them.</p>"
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></html>\n"
    )


def _policies(folder: Path, rows: Iterable[Mapping[str, Any]], target: Path) -> None:
    """The text of every version of a policy that these rows name: as it was sent, or as this version ships it."""
    named = set()
    for row in rows:
        policy = _message(row).get("policy")
        if isinstance(policy, dict):
            named.add((str(policy.get("name")), policy.get("version")))
    target.mkdir()
    sql = "SELECT value FROM policies WHERE policy = $name AND policy_version = $version ORDER BY kafka_offset DESC"
    for name, version in sorted(named, key=str):
        found = ask(folder, sql, {"name": name, "version": version}, most=1).rows
        file = target / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}-{version}.json"
        if found:
            file.write_bytes(found[0][0])
        elif (shipped := default_policy(name)).version == version:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(shipped), indent=1))
        else:
            missing = {"name": name, "version": version, "missing": "its text is not in the archive"}
            file.write_text(json.dumps(missing, ensure_ascii=False), "utf-8")
