"""Any change, removal or move in the archive is found, and where; what is exported proves itself."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.topics import LOG_DAYS
from streams.archive import proof
from streams.archive.chain import ArchiveError, Chain, load_key
from streams.archive.compact import compact
from streams.archive.export import Wanted, export
from streams.archive.retention import expire, hold, release
from streams.archive.verify import verify
from streams.settings import SettingsError, load

from .conftest import PLACE, rows


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("topic=*/**/*.parquet"))


def rewrite(path: Path, change) -> None:
    """The file with its rows changed, and everything else as it was."""
    read = pq.read_table(path, partitioning=None)
    pq.write_table(change(read).cast(read.schema), path, compression="zstd")


def with_column(name: str, at: int, value: object):
    def change(read: pa.Table) -> pa.Table:
        cells = read[name].to_pylist()
        cells[at] = value
        return read.set_column(read.column_names.index(name), name, pa.array(cells, read.schema.field(name).type))

    return change


def changed_value(read: pa.Table) -> pa.Table:
    value = read["value"].to_pylist()[4].replace(b'"review"', b'"allow"')
    return with_column("value", 4, value)(read)


TAMPERED = {
    "a row's bytes": (lambda path: rewrite(path, changed_value), "offset 14: the row was changed"),
    "a typed column": (
        lambda path: rewrite(path, with_column("action", 4, "allow")),
        "offset 14: its typed columns are not what its bytes say",
    ),
    "a time of Kafka": (
        lambda path: rewrite(path, with_column("kafka_at", 2, 5)),
        "offset 12: the row was changed",
    ),
    "a removed row": (lambda path: rewrite(path, lambda read: read.slice(1)), "it has 9 rows of 10"),
    "two rows in another order": (
        lambda path: rewrite(path, lambda read: read.take([0, 2, 1, *range(3, 10)])),
        "offset 11: it stands after 12",
    ),
    "a doubled row": (
        lambda path: rewrite(path, lambda read: pa.concat_tables([read.slice(0, 1), read])),
        "offset 10: it stands after 10",
    ),
    "a removed file": (lambda path: path.unlink(), "it was removed: 10 rows, offsets 10 to 19"),
    "an added file": (lambda path: path.with_name("more.parquet").write_bytes(path.read_bytes()), "it was added"),
    "a file of another partition": (
        lambda path: path.write_bytes(files(path.parents[2])[0].read_bytes()),
        "do not give the root",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_change_is_found_and_said_where(filled, what):
    assert verify(filled).faults == []
    tamper, said = TAMPERED[what]
    tamper(files(filled)[1])
    found = verify(filled).faults
    assert any(said in f"{fault.where}: {fault.what}" for fault in found), found
    assert all(files(filled)[0].name not in fault.where for fault in found)


def test_every_flipped_byte_of_a_file_is_found(filled):
    path = files(filled)[1]
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
        found = verify(filled).faults
        assert found, at
        assert all(fault.where.startswith(str(path.relative_to(filled))) for fault in found)


def lines(folder: Path) -> list[bytes]:
    return Chain(folder).path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda all: [*all[:1], all[1].replace(b'"rows":10', b'"rows":11'), *all[2:]], "line 2: it was changed"),
        (lambda all: [all[0], *all[2:]], "line 2: it is number 2 where 1 is due"),
        (lambda all: [all[0], all[2], all[1], *all[3:]], "line 2: it is number 2 where 1 is due"),
        (lambda all: [*all, all[-1]], "line 5: it is number 3 where 4 is due"),
        (lambda all: [*all[:2], b"{}\n", *all[3:]], "line 3: it was changed"),
    ],
)
def test_a_change_of_the_chain_is_found_and_said_where(filled, change, said):
    Chain(filled).path.write_bytes(b"".join(change(lines(filled))))
    found = [f"{fault.where}: {fault.what}" for fault in verify(filled).faults]
    assert any(said in one for one in found), found


def test_an_end_that_was_cut_off_with_its_files_is_found_by_a_head_that_was_noted(filled):
    head = verify(filled).head
    Chain(filled).path.write_bytes(b"".join(lines(filled)[:-1]))
    files(filled)[-1].unlink()
    assert verify(filled).faults == []
    assert [fault.what for fault in verify(filled, head=head).faults] == [
        f"it never had the head {head}: lines were cut off or rewritten"
    ]


def test_a_chain_that_was_signed_anew_by_somebody_else_is_found(filled, opened, tmp_path):
    ours = Chain(filled).public.read_bytes()
    other = load_key(tmp_path / "other.pem", create=True)
    forged = Chain(tmp_path / "forged")
    records = [json.loads(line)["record"] for line in lines(filled)]
    forged.append(other, [{k: v for k, v in one.items() if k not in ("seq", "prev")} for one in records])
    Chain(filled).path.write_bytes(forged.path.read_bytes())
    assert "signed by another key" in verify(filled, public=ours).faults[0].what


def test_merged_files_prove_the_files_that_they_replaced(filled, opened):
    with opened(later=1) as archive:
        assert compact(archive) == 3
    assert verify(filled).faults == []
    assert len(files(filled)) == 1


def test_what_was_changed_is_not_merged(filled, opened):
    rewrite(files(filled)[1], changed_value)
    with opened(later=1) as archive, pytest.raises(ArchiveError, match="is not what was archived"):
        compact(archive)
    assert len(files(filled)) == 3


@pytest.fixture
def bundle(filled, key_file, tmp_path):
    """Makes a bundle for a role, unpacked."""

    def make(role: str, wanted: Wanted | None = None) -> Path:
        export(filled, load_key(key_file), wanted or Wanted(content="c6"), role, "somebody", tmp_path / "bundle.zip")
        target = tmp_path / f"bundle-{role}"
        zipfile.ZipFile(tmp_path / "bundle.zip").extractall(target)
        return target

    return make


def checked(folder: Path, *more: str) -> tuple[int, str]:
    """What the bundle's own script says, run where nothing of ours can be imported."""
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py"), *more], capture_output=True, text=True, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr


def test_a_bundle_proves_itself_without_us(bundle, filled):
    folder = bundle("inspector")
    code, said = checked(folder, str(Chain(filled).public))
    assert (code, said) == (0, "ok: 2 records proved, signed by the key you named\n")
    assert "REVIEW-TERM 0.50 (threshold 0.40)" in (folder / "timeline.html").read_text()
    assert [row["content_id"] for row in json.loads((folder / "timeline.json").read_text())] == ["c6", "c6"]
    policy = json.loads(next((folder / "policies").iterdir()).read_text())
    assert (policy["name"], policy["version"]) == ("default", 1)


def test_what_a_role_may_not_see_is_nowhere_in_its_bundle_and_still_proved(bundle):
    folder = bundle("auditor", Wanted(publisher="p1"))
    code, said = checked(folder)
    assert code == 0, said
    rows_ = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len(rows_) == 10
    assert all({"name": "publisher_id"}.items() <= one["fields"][4].items() for one in rows_)
    assert "salt" not in rows_[0]["fields"][4]
    shown = {field["name"] for field in rows_[0]["fields"] if "raw" in field}
    assert {"agent", "action", "reasons", "policy"} <= shown
    assert not {"key", "publisher_id"} & shown


@pytest.mark.parametrize("name", ["records.jsonl", "timeline.html", "chain.jsonl", "manifest.json", "public.pem"])
def test_a_changed_bundle_is_found_by_its_script(bundle, name):
    folder = bundle("inspector")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
    assert checked(folder)[0] != 0


def test_a_row_that_its_path_does_not_lead_to_is_refused_whoever_signed_it(bundle, key_file):
    folder = bundle("inspector")
    files_ = {
        record["path"]: record
        for record in (json.loads(line)["record"] for line in (folder / "chain.jsonl").read_text().splitlines())
    }
    row = json.loads((folder / "records.jsonl").read_text().splitlines()[0])
    assert proof.row_fault(row, files_) is None
    action = next(field for field in row["fields"] if field["name"] == "action")
    action["raw"] = '"allow"'
    assert "it is not the row that was archived" in str(proof.row_fault(row, files_))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13])
def test_each_path_leads_to_the_root_and_to_no_other_place(size):
    leaves = [bytes([n]) * 32 for n in range(size)]
    top = proof.root(leaves)
    for at, path in enumerate(proof.paths(leaves, range(size))):
        assert proof.root_by_path(leaves[at], at, size, path) == top
        assert all(proof.root_by_path(leaves[at], other, size, path) != top for other in range(size) if other != at)


def test_nothing_is_deleted_before_its_time_and_what_was_is_proved(filled, opened):
    with opened(later=LOG_DAYS - 1) as archive:
        assert expire(archive, LOG_DAYS) == (0, 0)
        with pytest.raises(ArchiveError, match="at least six months"):
            expire(archive, LOG_DAYS - 1)
    with opened(later=LOG_DAYS + 2) as archive:
        hold(archive, "case-7", "content_id = 'c6'", "asked for by the court")
        assert expire(archive, LOG_DAYS) == (2, 1)
        release(archive, "case-7", "the case is closed")
        assert expire(archive, LOG_DAYS) == (1, 0)
    assert files(filled) == []
    assert verify(filled).faults == []
    with opened(later=LOG_DAYS + 3) as archive:
        assert archive.next_of(PLACE) == 30
        archive.append({PLACE: rows(28, 31)})
        assert len(archive.live) == 1


def test_a_hold_that_cannot_be_asked_is_refused(filled, opened):
    with opened() as archive, pytest.raises(ArchiveError, match="nobody"):
        hold(archive, "case-8", "nobody = 1", "a mistake")


def test_a_setting_below_the_law_is_refused_with_the_reason():
    with pytest.raises(SettingsError, match=r"archive_days = '90': logs are kept at least six months by law"):
        load(archive_days=90)
