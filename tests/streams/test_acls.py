"""Each role may do what its work takes and nothing else; agents' rights come from what they declare, and they declare
what they do."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from agents import orders
from agents.judging import JudgingAgent
from schemas.topics import DEADLETTERS, TOPICS, Topic
from streams.acls import Right, principal, rights_of, roles
from streams.agent import Agent
from streams.cli.main import command_line
from streams.registered import installed
from streams.settings import load

KINDS: dict[str, type[Agent]] = installed("veristream.agents", ())
ROOT = Path(orders.__file__).parents[1]
#: What people and services own: agents look things up there and never write.
OWNED = {"publishers", "providers", "features", "policies", "hashbank", "rumors"}


def names(topics: tuple[Topic, ...]) -> set[str]:
    return {topic.name for topic in topics}


def writes(role: str) -> set[str]:
    return names(roles()[role].writes)


# What agents declare.


def topics_in(node: ast.AST, module: object) -> Iterator[str]:
    """The topics that code names."""
    for found in ast.walk(node):
        if isinstance(found, ast.Name) and isinstance(topic := getattr(module, found.id, None), Topic):
            yield topic.name


def produced_in(module: object) -> set[str]:
    """The topics of every `Outgoing(TOPIC, …)` in a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):  # type: ignore[arg-type]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outgoing":
            topics = set(topics_in(node.args[0], module))
            assert topics, f"line {node.lineno} of {module}: the topic is not a name of the table"
            found |= topics
    return found


@pytest.mark.parametrize("name", KINDS)
def test_an_agent_declares_what_it_produces_and_nothing_else(name: str) -> None:
    kind = KINDS[name]
    found = produced_in(sys.modules[kind.__module__])
    if issubclass(kind, JudgingAgent):
        found |= produced_in(orders)
    assert found == names(kind.outputs)


def test_messages_are_made_nowhere_else() -> None:
    places = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "agents").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outgoing"
    }
    agents = {str(Path(inspect.getfile(kind)).relative_to(ROOT)) for kind in KINDS.values()}
    assert places - agents == {"agents/orders.py"}


@pytest.mark.parametrize("name", KINDS)
def test_an_agent_declares_what_it_reads_back_and_nothing_else(name: str) -> None:
    kind = KINDS[name]
    module = sys.modules[kind.__module__]
    code = ast.parse(inspect.getsource(module))
    reading = ("restore", "_search")  # the second: of an agent that looks something up while it runs
    restores = [node for node in ast.walk(code) if isinstance(node, ast.AsyncFunctionDef) and node.name in reading]
    found = {topic for restore in restores for topic in topics_in(restore, module)}
    assert found - names((*kind.inputs, *kind.views)) == names(kind.reads_back)


# What roles may do.


@pytest.mark.parametrize("name", KINDS)
def test_an_agent_may_read_what_it_takes_and_write_what_it_makes(name: str) -> None:
    kind, role = KINDS[name], roles()[name]
    assert names(role.reads) == names((*kind.inputs, *kind.views, *kind.reads_back))
    assert writes(name) - {topic.name for topic in kind.inputs if topic.placed} == names(kind.outputs) | {"deadletters"}
    # What people rule goes into the hash bank; all else that people own no agent writes.
    assert writes(name) & OWNED <= ({"hashbank"} if name == "reviewers" else set())
    assert DEADLETTERS not in role.reads
    assert f"veristream-{name}" in {right.name for right in role.rights(load()) if right.kind == "group"}


def test_all_agents_together_may_do_what_each_may() -> None:
    every = {right for name in KINDS for right in roles()[name].rights(load())}
    assert set(rights_of(["agents"], load())) == every


def test_only_those_write_a_topic_whose_topic_it_is() -> None:
    agents = {"agents", *KINDS}
    for topic, allowed in {
        "uploads": {"ingest", "dead-letters"},
        "segments": {"ingest", "dead-letters"},
        "policies": {"policy"},
        "hashbank": {"policy", "agents", "reviewers"},
        "rumors": {"policy"},
        "publishers": {"registry", "registrar"},
        "providers": {"registry"},
        "features": {"registry"},
        "verdicts": {"agents", "verdict"},
        "standings": {"agents", "sanctions"},
        "admitted": {"agents", "identity", "dead-letters"},
        "signals": {"agents", "extraction", "dead-letters"},
        "complaints": {"complaints-entry", "dead-letters", "agents", "complaints"},
    }.items():
        assert {name for name in roles() if topic in writes(name)} == allowed, topic
    assert {name for name in roles() if "takedowns" in writes(name)} <= agents


def test_every_topic_is_written_and_read_by_some_role() -> None:
    working = [role for role in roles().values() if role.name not in ("desk", "reader")]
    assert set().union(*(names(role.writes) for role in working)) | {"rulings"} == set(TOPICS)
    assert set().union(*(names(role.reads) for role in roles().values())) == set(TOPICS)


def test_a_reader_writes_nothing_and_a_provisioner_neither_reads_nor_writes() -> None:
    settings = load()
    assert {right.operation for right in rights_of(["reader"], settings)} == {"READ", "DESCRIBE_CONFIGS"}
    assert {right.operation for right in rights_of(["provision"], settings)} == {
        "CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS",
    }  # fmt: skip


def test_no_role_may_delete_or_give_rights() -> None:
    operations = {right.operation for name in roles() for right in rights_of([name], load())}
    assert not operations & {"DELETE", "ALTER", "CLUSTER_ACTION", "ALL"}
    assert {r for name in roles() for r in rights_of([name], load()) if r.kind == "cluster"} == {
        Right("cluster", "kafka-cluster", "IDEMPOTENT_WRITE")
    }


@pytest.mark.parametrize("name", roles())
def test_rights_are_on_prefixed_names(name: str) -> None:
    for right in rights_of([name], load(topic_prefix="a.", group_prefix="b")):
        if right.kind == "topic":
            assert right.name.removeprefix("a.") in TOPICS
        elif right.kind == "group":
            assert right.name.startswith("b-")
        assert right.kind == "group" or not right.prefixed


def test_a_role_that_is_not_there_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"there is no role censor; there are ingest, .*verdict"):
        rights_of(["ingest", "censor"], load())


def test_users_have_names_or_certificates() -> None:
    assert principal("alice") == "User:alice"
    assert principal("CN=worker,O=example") == "User:CN=worker,O=example"
    assert principal("User:alice") == "User:alice"


class Said(NamedTuple):
    code: int
    out: str


@pytest.fixture
def veristream() -> Callable[..., Said]:
    def run(*arguments: str) -> Said:
        result = CliRunner().invoke(command_line(), list(arguments))
        return Said(result.exit_code, result.output)

    return run


def test_roles_are_listed_without_a_broker(veristream: Callable[..., Said]) -> None:
    result = veristream("acls", "list", "--json")
    rows = {row["role"]: row for row in map(json.loads, result.out.splitlines())}
    assert result.code == 0
    assert set(rows) == set(roles())
    assert rows["ingest"]["writes"] == ["uploads", "segments"]
    assert all(name in veristream("acls", "list").out for name in roles())


def test_a_roles_rights_are_listed(veristream: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_TOPIC_PREFIX", "live.")
    result = veristream("acls", "list", "--role", "registrar")
    assert result.out.splitlines() == [
        "READ on topic live.publishers",
        "WRITE on topic live.publishers",
        "IDEMPOTENT_WRITE on the cluster",
    ]
    dry = veristream("acls", "create", "--role", "registrar", "--user", "alice", "--dry-run")
    assert dry.out.splitlines()[0] == "would give alice: READ on topic live.publishers"
    assert veristream("acls", "list", "--role", "censor").code == 1
