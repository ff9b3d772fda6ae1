"""Apache Kafka's jars are the pinned ones or none; what is missing is named with what to do."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deploy.kafka import jars as jars_module
from deploy.kafka import jvm
from deploy.kafka.jars import POM, SUMS, VERSION, KafkaMissing, default_folder, jars, pinned

CONTENTS = {"a-1.jar": b"one", "b-2.jar": b"two"}


@pytest.fixture
def sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two pinned jars in place of Kafka's."""
    found = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    file = tmp_path / "jars.sha256"
    file.write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()))
    monkeypatch.setattr(jars_module, "SUMS", file)
    return found


def lay(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def maven(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program `mvn` that does this instead, `$target` being where the jars should go."""
    folder.mkdir()
    program = folder / "mvn"
    find = 'for word; do case "$word" in -DoutputDirectory=*) target=${word#*=};; esac; done'
    program.write_text(f"#!/bin/sh\n{find}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


GOOD = (
    'mkdir -p "$target"; printf one > "$target/a-1.jar"; printf two > "$target/b-2.jar"\n'
    'echo "Downloading from there: scheme://host/x/a-1.jar"\n'
    'echo "Downloaded from there: scheme://host/x/a-1.jar (1 kB at 2 kB/s)"\n'
    'echo "[INFO] Copying a-1.jar to $target/a-1.jar"; echo "[INFO] Copying b-2.jar to $target/b-2.jar"'
)


def test_pinned_jars_are_given_in_order_and_fetched_once(tmp_path, sums, monkeypatch):
    maven(tmp_path / "bin", monkeypatch, GOOD + '; echo run >> "$0.runs"')
    said: list[str] = []
    expected = [tmp_path / "cache" / "a-1.jar", tmp_path / "cache" / "b-2.jar"]
    assert jars(tmp_path / "cache", said.append) == expected
    assert jars(tmp_path / "cache", said.append) == expected
    assert (tmp_path / "bin" / "mvn.runs").read_text() == "run\n"
    assert "fetched a-1.jar" in said
    assert not any("://" in line for line in said), "whose mirror it is stays out of the output"


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        ({"a-1.jar": b"one", "b-2.jar": b"tw0"}, "b-2.jar has SHA-256 " + hashlib.sha256(b"tw0").hexdigest()),
        ({"a-1.jar": b"one"}, "b-2.jar is missing"),
        ({**CONTENTS, "c-3.jar": b"three"}, "c-3.jar is not listed"),
        ({"a-1.jar": b"", "b-2.jar": b"two"}, "a-1.jar has SHA-256"),
    ],
)
def test_a_jar_that_is_not_the_pinned_one_is_refused_by_name(tmp_path, sums, contents, fault):
    with pytest.raises(KafkaMissing, match=re.escape(fault)) as error:
        jars(lay(tmp_path / "cache", contents))
    assert "veristream kafka fetch" in str(error.value) and str(tmp_path / "cache") in str(error.value)


def test_wrong_jars_from_maven_are_thrown_away(tmp_path, sums, monkeypatch):
    maven(tmp_path / "bin", monkeypatch, GOOD.replace("printf two", "printf evil"))
    with pytest.raises(KafkaMissing, match=r"b-2\.jar has SHA-256"):
        jars(tmp_path / "there" / "cache")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["cache.lock"]


def test_what_maven_complains_about_is_said(tmp_path, sums, monkeypatch):
    maven(tmp_path / "bin", monkeypatch, 'echo "[INFO] working"; echo "[ERROR] no route to anywhere"; exit 1')
    with pytest.raises(KafkaMissing, match="no route to anywhere") as error:
        jars(tmp_path / "cache")
    assert "working" not in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_without_maven_the_error_says_how_to_get_it(tmp_path, sums, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissing, match="make system"):
        jars(tmp_path / "cache")


def test_jars_that_are_there_need_no_maven(tmp_path, sums, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(jars(lay(tmp_path / "cache", CONTENTS))) == 2


def test_the_cache_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "veristream" / f"kafka-{VERSION}"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder() == tmp_path / "home" / ".cache" / "veristream" / f"kafka-{VERSION}"


def test_every_jar_that_is_pinned_has_a_whole_sum_and_kafka_is_the_version_of_the_pom():
    sums = pinned()
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in sums.values())
    assert list(sums) == sorted(sums) and len(sums) == len(SUMS.read_text().splitlines())
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    named = ElementTree.parse(POM).findall(".//m:dependencies/m:dependency", space)
    wanted = {f"{row.find('m:artifactId', space).text}-{row.find('m:version', space).text}.jar" for row in named}
    assert wanted <= set(sums)
    assert f"kafka_2.13-{VERSION}.jar" in wanted


def test_nothing_names_a_host_to_fetch_from():
    assert set(re.findall(r"https?://[^\s\"<]+", POM.read_text())) == {"http://maven.apache.org/POM/4.0.0"}


def java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").write_text("#!/bin/sh\n")
    (folder / "bin" / "java").chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder / "bin" / "java"


def test_the_first_java_that_kafka_runs_on_is_taken(tmp_path, monkeypatch, sums):
    lay(tmp_path / "cache", CONTENTS)
    monkeypatch.setattr(jvm, "INSTALLED", tmp_path / "jvm")
    monkeypatch.setenv("PATH", str(java(tmp_path / "new", "25.0.3").parent))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(KafkaMissing, match=r"Java 11 to 23.*new/bin/java is 25\.0\.3.*make system"):
        jvm.find(tmp_path / "cache")
    java(tmp_path / "jvm" / "seventeen", "17.0.15")
    assert jvm.find(tmp_path / "cache").version == "17.0.15"
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "home", "21").parents[1]))
    found = jvm.find(tmp_path / "cache")
    assert (found.java, found.version) == (tmp_path / "home" / "bin" / "java", "21")
    assert "21" in found.archive.name, "an archive of classes belongs to one Java"
