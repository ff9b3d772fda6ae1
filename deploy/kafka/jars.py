"""Apache Kafka's jars: fetched once with Maven into a cache, and each checked by its SHA-256 before it is run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
SUMS = HERE / "jars.sha256"
VERSION = "3.9.1"

Report = Callable[[str], None]


class KafkaError(RuntimeError):
    """Apache Kafka does not run here; the text says why and what to do."""


class KafkaMissing(KafkaError):
    """Java, Maven or Kafka's jars cannot be had on this machine."""


def default_folder() -> Path:
    """Where the jars are kept: $XDG_CACHE_HOME/veristream/kafka-VERSION."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "veristream" / f"kafka-{VERSION}"


def pinned() -> dict[str, str]:
    """SHA-256 by jar, as jars.sha256 has them (the form of `sha256sum`)."""
    return {name: digest for digest, name in (line.split() for line in SUMS.read_text("ascii").splitlines())}


def faults(folder: Path, sums: dict[str, str]) -> list[str]:
    """One line for each jar that is missing, differs from its sum, or is not listed."""
    found = []
    for name, digest in sums.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif (seen := _digest(path)) != digest:
            found.append(f"{name} has SHA-256 {seen}, but {SUMS.name} says {digest}")
    found += [f"{path.name} is not listed in {SUMS.name}" for path in folder.glob("*.jar") if path.name not in sums]
    return found


def jars(folder: Path | None = None, report: Report = lambda _: None) -> list[Path]:
    """The jars in the order of their names, fetched if the folder is not there.

    Raises:
        KafkaMissing: Maven is missing or fails, or a jar is not what jars.sha256 says.
    """
    folder = folder or default_folder()
    sums = pinned()
    with _locked(folder):
        if not folder.is_dir():
            _fetch(folder, sums, report)
        elif wrong := faults(folder, sums):
            raise KafkaMissing(
                f"the jars of Apache Kafka in {folder} are not the ones that were pinned:\n"
                + "\n".join(f"  {fault}" for fault in wrong)
                + f"\nDelete {folder}, then fetch them again with `veristream kafka fetch`"
            )
    return [folder / name for name in sorted(sums)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two that start at the same time fetch once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, sums: dict[str, str], report: Report) -> None:
    """Fetch beside the folder, check, and only then give it its name: an interrupted fetch leaves nothing behind."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as fresh:
        copied = Path(fresh) / "jars"
        _maven(copied, len(sums), report)
        if wrong := faults(copied, sums):
            raise KafkaMissing(
                "Maven fetched other jars than the ones that were pinned, and they were thrown away:\n"
                + "\n".join(f"  {fault}" for fault in wrong)
                + "\nA repository or mirror hands out changed files, or a download was cut: delete the named ones "
                "below ~/.m2/repository and try again"
            )
        copied.rename(folder)
    report(f"{len(sums)} jars of Apache Kafka {VERSION}, every SHA-256 as pinned: {folder}")


def _maven(target: Path, expected: int, report: Report) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaMissing(
            "Maven is missing, which fetches Apache Kafka: install it (`make system`, or Debian: apt-get install maven)"
        )
    report(f"fetching Apache Kafka {VERSION} with Maven: {expected} jars, 46 MB")
    # Strict, for what jars.sha256 does not hold: Maven's own plugins.
    options = ["--batch-mode", "--strict-checksums", "--file", str(POM), f"-DoutputDirectory={target}"]
    command = [maven, *options, "dependency:copy-dependencies"]
    said: list[str] = []
    copied = 0
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            # Maven names each file when it begins and when it has it; the hosts that it asks are nobody's business.
            if done := re.match(r"Downloaded(?: from \S+)?: \S*/([^/\s]+\.jar)", line.removeprefix("[INFO] ")):
                report(f"fetched {done[1]}")
            elif re.match(r"\[INFO\] Copying \S+\.jar", line):
                copied += 1
    if process.returncode != 0 or copied == 0:
        lines = [line.rstrip() for line in said if line.startswith("[ERROR]")] or [line.rstrip() for line in said]
        raise KafkaMissing("Maven could not fetch Apache Kafka; it said:\n" + "\n".join(lines[-12:]))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pin() -> None:
    """Write jars.sha256 anew from what pom.xml leads to now: for whoever changes pom.xml."""
    with tempfile.TemporaryDirectory() as fresh:
        _maven(Path(fresh), 0, print)
        lines = [f"{_digest(path)}  {path.name}\n" for path in sorted(Path(fresh).glob("*.jar"))]
    SUMS.write_text("".join(lines), "ascii")


if __name__ == "__main__":
    pin()
