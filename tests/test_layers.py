"""Imports go one way, schemas ← streams ← agents ← deploy, and what judges knows no Kafka."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import schemas
from streams.agent import Agent
from streams.extraction.detector import Detector

ROOT = Path(schemas.__file__).parents[1]
OURS = ("schemas", "streams", "agents", "deploy")
KAFKA = {"aiokafka", "confluent_kafka", "faust", "kafka", "mode"}
#: Files that judge or match: pure, whatever package they are in.
PURE = (
    "judge.py", "licences.py", "forms.py", "match.py", "bank.py", "terms.py", "join.py", "decide.py", "text.py",
    "c2pa.py", "ladder.py", "ledger.py", "weigh.py", "case.py", "desk.py", "restore.py",
    "asking.py", "stopped.py", "settle.py", "work.py", "board.py", "effects.py",
    "sentences.py", "sketch.py", "bursts.py", "named.py", "pictures.py", "listed.py", "filing.py",
)  # fmt: skip
AGENTS = sorted(path.parent.name for path in (ROOT / "agents").glob("*/agent.py"))
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]


def files(folder: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.py"))


def imports(file: str) -> Iterator[str]:
    """Every module that a file imports anywhere in it; `from a import b` gives `a` and `a.b`, since b may be one."""
    for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: {ast.unparse(node)}"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_of(file: str, *packages: str) -> set[str]:
    return {name for name in imports(file) if name.partition(".")[0] in packages}


def resolved(group: str) -> dict[str, object]:
    return {name: EntryPoint(name, value, group).load() for name, value in ENTRY_POINTS[group].items()}


def test_the_folders_are_where_this_test_looks_for_them():
    assert all(len(files(folder)) > 5 for folder in OURS)
    assert {"identity", "review", "rumor", "synthetic", "verdict"} <= set(AGENTS)
    assert {Path(file).name for file in files("agents")} >= set(PURE)


@pytest.mark.parametrize("file", files("schemas"))
def test_the_wire_imports_nothing_else_of_ours(file):
    assert imported_of(file, "streams", "agents", "deploy", "tests") == set()


@pytest.mark.parametrize("file", files("streams"))
def test_the_plumbing_knows_no_agent(file):
    assert imported_of(file, "agents", "deploy", "tests") == set()


@pytest.mark.parametrize("file", files("agents"))
def test_an_agent_imports_no_other_agent_and_nothing_that_runs_it(file):
    assert imported_of(file, "deploy", "tests") == set()
    own = Path(file).parts[1]  # of a file that all agents share, its own name
    packages = {name.split(".")[1] for name in imported_of(file, "agents") if "." in name}
    assert packages & set(AGENTS) <= {own}


@pytest.mark.parametrize("file", [file for file in files("agents") if Path(file).name in PURE])
def test_what_judges_imports_neither_kafka_nor_plumbing(file):
    assert imported_of(file, "streams", "asyncio", *KAFKA) == set()


@pytest.mark.parametrize("file", files("agents"))
def test_no_agent_touches_kafka_itself(file):
    assert imported_of(file, *KAFKA) == set()


def test_orders_know_of_the_plumbing_only_what_an_outgoing_message_is():
    assert imported_of("agents/orders.py", "streams") == {"streams.agent", "streams.agent.Outgoing"}


def test_what_judges_runs_where_there_is_no_kafka_and_no_plumbing():
    """Not even by way of something else that it imports."""
    modules = [file.removesuffix(".py").replace("/", ".") for file in files("agents") if Path(file).name in PURE]
    script = (
        "import sys\n"
        f"for name in {sorted({*KAFKA, 'streams', 'deploy'})!r}: sys.modules[name] = None\n"  # importing it raises
        f"for name in {modules!r}: __import__(name)\n"
        "print(len(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_agent_that_is_installed_is_an_agent_under_its_own_name():
    found = resolved("veristream.agents")
    assert all(issubclass(kind, Agent) for kind in found.values())
    assert {name: kind.name for name, kind in found.items()} == {name: name for name in found}
    assert set(found) == {*AGENTS, "extraction"}


def test_every_detector_that_is_installed_is_a_detector_under_its_own_name():
    found = resolved("veristream.detectors")
    assert all(issubclass(kind, Detector) for kind in found.values())
    assert {name: kind.name for name, kind in found.items()} == {name: name for name in found}


def test_every_detector_that_is_written_is_installed():
    for file in files("agents"):
        import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    written = {kind for kind in Detector.__subclasses__() if kind.__module__.startswith("agents.")}
    assert written
    assert written == set(resolved("veristream.detectors").values())


def test_every_other_entry_point_leads_to_something_that_can_be_called():
    others = [group for group in ENTRY_POINTS if group not in ("veristream.agents", "veristream.detectors")]
    assert others
    for group in others:
        assert all(callable(target) for target in resolved(group).values()), group
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert all(callable(EntryPoint(name, value, "console_scripts").load()) for name, value in scripts.items())
