"""What a machine lacks is said by name: tests that need a missing program are skipped, and listed at the end; and what
other tests left in memory is set aside."""

from __future__ import annotations

import gc
import re
import shutil
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

#: Programs that no Python package brings, with their Debian packages; `make system` installs them.
PROGRAMS = Path(__file__).parents[1] / "deploy" / "system.txt"


def programs() -> dict[str, str]:
    """Debian package by program."""
    lines = [line.split() for line in PROGRAMS.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {program: package for program, package, *_ in lines}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(program, …): skipped, and named at the end, where a program is missing")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is missing: make system")


@pytest.fixture(scope="module", autouse=True)
def _what_came_before_is_set_aside() -> Iterator[None]:
    """From the collector of cycles, as a decoding process sets its models aside: reading collects after each item, and
    would go through all that a thousand other tests have left each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Which tests were skipped, by missing program, else by reason: below all else, where everybody looks."""
    yield
    terminalreporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = terminalreporter.stats.get("skipped", []) if terminalreporter else []
    if not skipped:
        return
    missing = {program: package for program, package in programs().items() if shutil.which(program) is None}
    groups: dict[str, list[str]] = defaultdict(list)
    for report in skipped:
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "unknown"
        groups[_cause(reason, missing)].append(report.nodeid)
    terminalreporter.write_sep("=", f"{len(skipped)} tests were skipped, not passed")
    for cause, names in sorted(groups.items()):
        terminalreporter.write_line(f"{cause}: {len(names)}")
        for name in names:
            terminalreporter.write_line(f"    {name}")


def _cause(reason: str, missing: dict[str, str]) -> str:
    words = set(re.findall(r"[a-z0-9_-]+", reason.lower()))
    for program, package in missing.items():
        if words & {program, package}:
            return f"{program} is missing (make system, or Debian: apt-get install {package})"
    return reason.splitlines()[0]
