"""What the machine lacks is installed where that may be done and named where not; nothing missing passes in silence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "system.sh"
PROGRAMS = {
    line.split()[0]: line.split()[1]
    for line in (ROOT / "deploy" / "system.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
}


class Machine:
    """A machine of its own: only these programs are on the path, and its apt-get is ours."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        for name in ("sh", "env", "tail", "true"):
            (self.bin / name).symlink_to(shutil.which(name))

    def add(self, name: str, script: str = "") -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def add_apt(self, *, brings: dict[str, str], code: int = 0) -> None:
        """An apt-get that installs only the packages named, by the program that each brings."""
        chmod = shutil.which("chmod")
        paths = {package: self.bin / program for program, package in brings.items()}
        cases = "\n".join(f'{package}) : > "{path}" && {chmod} +x "{path}";;' for package, path in paths.items())
        self.add(
            "apt-get",
            f'echo "$@" >> "{self.calls}"\n[ "$1" = update ] && exit {code}\n'
            f'for word; do case "$word" in\n{cases}\nesac; done\nexit {code}',
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "sh"), str(SCRIPT), *arguments], env={"PATH": str(self.bin)}, capture_output=True, text=True
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_installed_where_nothing_is_missing(machine):
    for program in PROGRAMS:
        machine.add(program)
    machine.add_apt(brings={})
    assert machine.run("--unasked").stdout == ""
    ended = machine.run()
    assert (ended.returncode, ended.stderr) == (0, "") and "is there" in ended.stdout
    assert not machine.calls.exists()


def test_root_gets_what_is_missing_and_only_that(machine):
    machine.add("id", "echo 0")
    machine.add("kcat")
    machine.add_apt(brings=PROGRAMS)
    ended = machine.run()
    assert (ended.returncode, ended.stderr) == (0, "")
    update, *installs = machine.calls.read_text().splitlines()
    assert update.startswith("update")
    packages = [package for program, package in PROGRAMS.items() if program != "kcat"]
    assert [install.split()[-1] for install in installs] == packages


def test_what_apt_does_not_bring_is_named(machine):
    machine.add("id", "echo 0")
    machine.add_apt(brings={program: package for program, package in PROGRAMS.items() if program != "kcat"})
    ended = machine.run()
    assert ended.returncode == 1
    assert "kcat is missing" in ended.stdout and "java is missing" not in ended.stdout


@pytest.mark.parametrize(
    ("programs", "reason"),
    [
        ({"id": "echo 1000"}, "no apt-get"),
        ({"id": "echo 1000", "apt-get": ""}, "as root"),
        ({"id": "echo 1000", "apt-get": "", "sudo": "exit 1"}, "asks for a password"),
        ({"id": "echo 0", "apt-get": "echo no such mirror; exit 100"}, "no such mirror"),
    ],
)
def test_where_nothing_can_be_installed_a_test_run_goes_on_and_says_why(machine, programs, reason):
    for name, script in programs.items():
        machine.add(name, script)
    ended = machine.run("--unasked")
    assert ended.returncode == 0
    assert reason in ended.stdout
    for program, package in PROGRAMS.items():
        assert f"{program} is missing (Debian: apt-get install {package})" in ended.stdout


def test_sudo_is_used_where_it_may_be(machine):
    machine.add("id", "echo 1000")
    machine.add("sudo", '[ "$1" = -n ] && shift\nexec "$@"')
    machine.add_apt(brings=PROGRAMS)
    assert machine.run("--unasked").returncode == 0
    assert "is there" in machine.run().stdout


def test_the_last_lines_of_a_test_run_name_what_was_skipped_and_for_want_of_what(tmp_path):
    (tmp_path / "test_here.py").write_text(
        "import pytest\n"
        "def test_passes(): pass\n"
        "@pytest.mark.needs('kcat')\ndef test_foreign(): raise AssertionError\n"
        "@pytest.mark.needs('sh')\ndef test_native(): pass\n"
        "@pytest.fixture\ndef kafka(): pytest.skip('Apache Kafka needs Java 11 to 23, and none was found')\n"
        "def test_brokers(kafka): pass\n"
        "def test_other(): pytest.skip('the moon is full')\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "--strict-markers", "-q", "test_here.py"], cwd=tmp_path,
        env=os.environ | {"PATH": str(tmp_path / "bin"), "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True, text=True,
    )  # fmt: skip
    above, said = ended.stdout.split("3 tests were skipped, not passed")
    assert "kcat is missing (make system, or Debian: apt-get install kcat): 1\n    test_here.py::test_foreign\n" in said
    assert "java is missing" in said.split("test_here.py::test_brokers")[0]
    assert "the moon is full: 1\n    test_here.py::test_other\n" in said
    assert "2 passed, 3 skipped" in above and said.rstrip().endswith("test_here.py::test_other")
