"""The Java machine that runs Apache Kafka: which one, with which options, and its class archive."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.kafka.jars import HERE, KafkaMissing, Report, default_folder, jars

#: Kafka 3.9 needs Java 11 and, since 24 took the security manager away, does not log in with SASL on later ones.
OLDEST_JAVA, NEWEST_JAVA = 11, 23
#: Where distributions put every Java, the chosen one and the others.
INSTALLED = Path("/usr/lib/jvm")
#: Measured on one core, processor time to an open port: 2.9 s by default, 1.9 s with these, 1.0 s with the archive too.
#: The second compiler pays after minutes only, and the parallel collector's threads fight for two cores.
OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
#: A child is killed when the *thread* that started it ends. This one ends with the process, whoever asks for the start.
_STARTER = ThreadPoolExecutor(1, "kafka-starter")


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass(frozen=True)
class Jvm:
    """A Java that Kafka runs on, with Kafka's jars."""

    java: Path
    version: str
    jars: tuple[Path, ...]
    #: Parsed classes from an earlier run (class data sharing), which halve the time of a start; it need not be there.
    archive: Path
    #: Write the archive at the end of the run instead of reading it.
    recording: bool = False

    def command(self, main: str, *arguments: str, heap_mb: int = 256) -> list[str]:
        """The command line of a main class."""
        archive = "ArchiveClassesAtExit" if self.recording else "SharedArchiveFile"
        return [
            str(self.java), f"-Xmx{heap_mb}m", *OPTIONS,
            # A missing or foreign archive is no error: the classes are parsed again.
            f"-XX:{archive}={self.archive}", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=error:stderr",
            f"-Dlog4j.configuration=file:{HERE / 'log4j.properties'}",
            "-cp", ":".join(map(str, self.jars)), main, *arguments,
        ]  # fmt: skip

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start it, its output at the end of the log; it dies with this process."""

        def popen() -> subprocess.Popen[bytes]:
            with log.open("ab") as out:
                # Its own session, so that Ctrl-C reaches us alone and we stop the brokers in order.
                return subprocess.Popen(  # noqa: S603
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, looked up before the fork
                )  # fmt: skip

        return _STARTER.submit(popen).result()


def find(folder: Path | None = None, report: Report = lambda _: None) -> Jvm:
    """The Java of this machine with Kafka's jars from the folder (none: the cache), fetched if need be.

    Raises:
        KafkaMissing: there is no Java that Kafka runs on, or the jars cannot be had.
    """
    java, version = _java()
    folder = folder or default_folder()
    # Beside the jars: it is worth nothing to another Java, or when the jars were fetched anew.
    return Jvm(java, version, tuple(jars(folder, report)), folder / f"java-{version}.jsa")


def _java() -> tuple[Path, str]:
    home = os.environ.get("JAVA_HOME")
    named = [Path(home) / "bin" / "java"] if home else []
    on_path = [Path(found)] if (found := shutil.which("java")) else []
    others: list[str] = []
    for path in (*named, *on_path, *sorted(INSTALLED.glob("*/bin/java"))):
        version = _version(path)
        if version and OLDEST_JAVA <= int(version.split(".")[0]) <= NEWEST_JAVA:
            return path, version
        if version:
            others.append(f"{path} is {version}")
    seen = f" ({'; '.join(others)})" if others else ""
    raise KafkaMissing(
        f"Apache Kafka needs Java {OLDEST_JAVA} to {NEWEST_JAVA}, and none was found{seen}: install one "
        "(`make system`, or Debian: apt-get install openjdk-17-jre-headless), or name its folder in JAVA_HOME"
    )


def _version(java: Path) -> str | None:
    """As the file `release` beside it says: to ask java itself would cost a start."""
    try:
        text = (java.resolve().parents[1] / "release").read_text("utf-8")
    except OSError:
        return None
    found = re.search(r'^JAVA_VERSION="([\d.]+)', text, re.MULTILINE)
    return found[1] if found else None
