"""A secure Kafka: each role does its work with a user of its own, may do nothing else, and is told what it lacks."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from commands import command, variables
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ResourcePatternType
from confluent_kafka.admin import ResourceType as Resource
from kafka import client, prefixes
from processes import COMMAND, get, until

from deploy.commands import seed
from deploy.embedded import free_port
from deploy.kafka.cluster import Cluster
from schemas.event import Media
from schemas.message import Message, decode
from schemas.policy import default_policy
from schemas.topics import DEADLETTERS, POLICIES, PUBLISHERS, TAKEDOWNS, TOPICS, UPLOADS, VERDICTS, Topic
from streams.acls import give, rights_of
from streams.agent import Agent
from streams.client import Client, Feed, new_event
from streams.contact import KafkaUnusable
from streams.kafka import create_topics
from streams.registered import installed
from streams.security import connection
from streams.settings import load

AGENTS: dict[str, type[Agent]] = installed("veristream.agents", ())


class Secured:
    """A secure Kafka with topics of its own, and users, each with the rights of a role."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.own = prefixes() | {"session_timeout_s": 6, "store": folder / "store", "extract_workers": 1}
        self.admin: dict[str, Any] = cluster.settings | self.own
        self._users: dict[str, dict[str, Any]] = {}

    def wire(self, topic: Topic) -> str:
        return f"{self.own['topic_prefix']}{topic.name}"

    @cached_property
    def provisioned(self) -> Secured:
        asyncio.run(create_topics(load(**self.as_("provision"))))
        return self

    def as_(self, *roles: str, name: str | None = None) -> dict[str, Any]:
        """The settings of a user that has these roles, made at its first use."""
        name = name or "+".join(roles)
        if name not in self._users:
            self._users[name] = self.newcomer(name)
            admin = load(**self.admin)
            asyncio.run(give(admin, self.user(name), rights_of(roles, admin)))
        return self._users[name]

    def newcomer(self, name: str) -> dict[str, Any]:
        """The settings of a user that may do nothing."""
        file = self.folder / f"{name}.password"
        file.touch(0o600)
        file.write_text(secrets.token_urlsafe(16))
        settings = self.cluster.add_user(self.user(name), file.read_text()) | self.own
        return settings | {"broker_password": None, "broker_password_file": file}

    def user(self, name: str) -> str:
        return f"{self.own['group_prefix']}.{name}"

    def take(self, name: str, topic: Topic, operation: AclOperation) -> None:
        """Take one right from a user."""
        wanted = AclBindingFilter(
            Resource.TOPIC, self.wire(topic), ResourcePatternType.LITERAL, f"User:{self.user(name)}", "*", operation,
            AclPermissionType.ALLOW,
        )  # fmt: skip
        admin = AdminClient(client(self.cluster.settings))  # its answers come while it lives
        for done in admin.delete_acls([wanted]).values():
            assert len(done.result(10)) == 1


@pytest.fixture(scope="module")
def secured(secure_kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Secured:
    return Secured(secure_kafka, tmp_path_factory.mktemp("secured")).provisioned


async def send(settings: Mapping[str, Any], topic: Topic, message: Message) -> None:
    async with Client(load(**settings)) as client:
        await client.send(topic, message)


async def first(settings: Mapping[str, Any], topic: Topic) -> Message:
    """The first message that lies on a topic."""
    async with Feed(load(**settings), [topic], from_beginning=True) as feed:
        async with asyncio.timeout(30):
            async for record in feed:
                return decode(topic.message, record.value or b"")
    raise AssertionError


def an_upload(publisher: str = "demo") -> Any:
    return new_event(Media(uri="https://media.example/1.mp4", sha256="0" * 64, bytes=1), publisher)


# What a role may not do.


async def test_an_ingest_tier_sends_events_and_orders_nothing(secured: Secured) -> None:
    ingest = await asyncio.to_thread(secured.as_, "ingest")
    await send(ingest, UPLOADS, an_upload())
    for topic in set(TOPICS.values()) - {UPLOADS, TOPICS["segments"]}:
        async with Client(load(**ingest)) as client:
            with pytest.raises(KafkaUnusable, match=f"ingest' may not write to topic {secured.wire(topic)}: use"):
                await client.send_raw(topic, b"key", b"{}")


@pytest.mark.parametrize("agent", AGENTS)
async def test_an_agents_user_writes_what_it_produces_and_nothing_else(secured: Secured, agent: str) -> None:
    settings = load(**await asyncio.to_thread(secured.as_, agent))
    kind = AGENTS[agent]
    allowed = {*kind.outputs, DEADLETTERS, *(topic for topic in kind.inputs if topic.placed)}
    assert POLICIES not in allowed
    for topic in set(TOPICS.values()) - allowed:
        async with Client(settings) as client:
            with pytest.raises(KafkaUnusable, match=f"may not write to topic {secured.wire(topic)}"):
                await client.send_raw(topic, b"key", b"{}")


async def test_whoever_may_not_read_is_told_so(secured: Secured) -> None:
    registrar = load(**await asyncio.to_thread(secured.as_, "registrar"))
    with pytest.raises(KafkaUnusable, match=f"may not read topic {secured.wire(VERDICTS)}: use"):
        async with Feed(registrar, [VERDICTS]):
            raise AssertionError
    ingest = load(**await asyncio.to_thread(secured.as_, "ingest"))
    with pytest.raises(KafkaUnusable, match=f"may not read topic {secured.wire(UPLOADS)}: use"):  # it may write there
        async with Feed(ingest, [UPLOADS], from_beginning=True) as feed:
            await feed.read(20)


async def test_an_agents_user_is_in_no_other_agents_group(secured: Secured) -> None:
    settings = load(**await asyncio.to_thread(secured.as_, "review"))
    for group in (f"{settings.group_prefix}-verdict", "elsewhere"):
        consumer = AIOKafkaConsumer(secured.wire(TOPICS["signals"]), group_id=group, **connection(settings))
        with pytest.raises(GroupAuthorizationFailedError):
            await consumer.start()
        await consumer.stop()


def test_a_worker_that_lacks_a_right_to_read_says_so_and_ends(secured: Secured) -> None:
    settings = secured.as_("review", name="no-input") | {"http_port": 0}
    secured.take("no-input", TOPICS["signals"], AclOperation.READ)

    def refused() -> str:
        ended = command(settings, "worker", "--agents", "review")
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr.splitlines()[-1]

    assert f"may not read topic {secured.wire(TOPICS['signals'])}: use" in refused()
    asyncio.run(give(load(**secured.admin), secured.user("no-input"), rights_of(["review"], load(**secured.admin))))
    other = settings | {"group_prefix": "elsewhere"}
    ended = command(other, "worker", "--agents", "review")
    assert ended.returncode == 1
    assert "may not join group elsewhere-review: use" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_whoever_creates_topics_reads_and_writes_none(secured: Secured) -> None:
    settings = load(**await asyncio.to_thread(secured.as_, "provision"))
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    with pytest.raises(TopicAuthorizationFailedError):
        await producer.send_and_wait(secured.wire(TAKEDOWNS), b"{}")
    await producer.stop()


def test_whoever_creates_topics_alone_may_and_sees_what_it_made(secured: Secured) -> None:
    assert command(secured.as_("provision"), "topics", "check").returncode == 0
    refused = command(secured.as_("reader") | {"topic_prefix": "more-"}, "topics", "create")
    assert refused.returncode == 1
    assert "may not create topic more-" in refused.stderr


# What each role does.


@contextmanager
def serving(*asked: tuple[Mapping[str, Any], Path, str]) -> Iterator[list[int]]:
    """Processes of ours (settings, log, command), started side by side, all ready; each must end well, and have been
    refused nothing. The ports of their probes."""
    running: list[tuple[subprocess.Popen[bytes], int, Path]] = []

    def is_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        return get(f"http://127.0.0.1:{port}/readyz")[0] == 200

    try:
        for settings, log, doing in asked:
            port = free_port()
            ports = dict.fromkeys(("http_port", "registrar_port", "complaints_port"), port)
            with log.open("wb") as out:
                environment = variables(dict(settings) | ports)
                process = subprocess.Popen([COMMAND, *doing.split()], env=environment, stdout=out, stderr=out)
            running.append((process, port, log))
        for process, port, log in running:
            until(lambda: is_ready(process, port, log), f"{log.name} was not ready", 180)  # noqa: B023 - used at once
        yield [port for _, port, _ in running]
        for process, _, _ in running:
            process.send_signal(signal.SIGTERM)
        for process, _, log in running:
            assert process.wait(60) == 0, log.read_text()[-4000:]
    finally:
        for process, _, _ in running:
            if process.poll() is None:
                process.kill()
                process.wait()
    for _, _, log in running:
        said = log.read_text()
        assert "uthoriz" not in said, said
        assert "Traceback" not in said, said


@pytest.mark.timeout(600)  # ten processes of ours start in it
def test_every_role_does_its_work_with_its_own_rights_alone(secured: Secured, media: Any) -> None:
    registry, reader = secured.as_("registry"), secured.as_("reader")
    asyncio.run(seed(load(**registry)))
    asyncio.run(send(secured.as_("policy"), POLICIES, msgspec.structs.replace(default_policy(), version=7)))
    workers = [(secured.as_(agent), secured.folder / f"{agent}.log", f"worker --agents {agent}") for agent in AGENTS]
    with serving(*workers):
        ended = command(secured.as_("ingest"), "submit", str(media.sound), "--json")
        assert ended.returncode == 0, ended.stderr
        verdict = json.loads(ended.stdout)
        assert verdict["verdict"] == "publish"
        services = (
            (secured.as_("registrar"), secured.folder / "registrar.log", "registrar serve"),
            (secured.as_("complaints-entry"), secured.folder / "entry.log", "complaints serve"),
        )
        with serving(*services) as (registrar, entry):
            row = {"kind": "person", "numbers": {"id_number": "11010519491231002X"}}
            assert _put(f"http://127.0.0.1:{registrar}/publishers/newcomer", row) == 200
            shown = command(registry, "publisher", "show", "newcomer", "--json")
            assert json.loads(shown.stdout)["publisher_id"] == "newcomer", shown.stderr
            _complaint_is_ruled_on(secured, f"http://127.0.0.1:{entry}", verdict["content_id"])
        _put_back(secured)
    letter = asyncio.run(first(reader, DEADLETTERS))
    assert letter.topic == secured.wire(UPLOADS)  # type: ignore[attr-defined]
    decision = asyncio.run(first(reader, TOPICS["decisions"]))
    assert decision.policy.version == 7  # type: ignore[attr-defined]


def _complaint_is_ruled_on(secured: Secured, url: str, content_id: str) -> None:
    receipt = _complain(url, content_id)

    def state() -> str:
        return str(json.loads(get(f"{url}/complaints/{receipt}")[1]).get("state"))

    until(lambda: state() in ("received", "under_review"), "the complaint was taken", 60)
    (complaint,) = command(secured.as_("reader"), "complaints", "list", "--json").stdout.splitlines()
    ruled = command(
        secured.as_("desk"), "complaints", "rule", json.loads(complaint)["complaint_id"], "--publisher", "demo",
        "--rejected", "--reviewer", "somebody", "--reason", "nothing is wrong",
    )  # fmt: skip
    assert ruled.returncode == 0, ruled.stderr
    until(lambda: state() == "rejected", "it was ruled on", 60)


def _put_back(secured: Secured) -> None:
    """Have something go to the dead letters, and put it back as whoever looks after them."""
    asyncio.run(_send_raw(secured.as_("ingest"), b"not an event"))
    operator = secured.as_("dead-letters")
    asyncio.run(first(operator, DEADLETTERS))
    ended = command(operator, "deadletters", "replay", "--topic", "uploads", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[0])["outcome"] == "replayed"


async def _send_raw(settings: Mapping[str, Any], value: bytes) -> None:
    async with Client(load(**settings)) as client:
        await client.send_raw(UPLOADS, b"demo", value)


def _put(url: str, body: Mapping[str, Any]) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def _complain(url: str, content_id: str) -> str:
    body = {
        "kind": "illegal", "publisher_id": "demo", "content_id": content_id, "text": "x", "complainant": "somebody",
    }  # fmt: skip
    request = urllib.request.Request(
        f"{url}/complaints", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["receipt"])


# What is said when something is missing.


def test_a_wrong_password_is_said_in_one_line(secured: Secured) -> None:
    ended = command(secured.admin | {"broker_password_file": None, "broker_password": "wrong"}, "topics", "check")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "refuses user 'admin' with SCRAM-SHA-512" in line
    assert "VERISTREAM_BROKER_USER and the password" in line
    assert "wrong" not in line


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a CA that did not sign it": ({"broker_ca": None}, "is not trusted"),
    "no TLS": (
        {"broker_protocol": "SASL_PLAINTEXT", "broker_ca": None},
        "answers, but not as VERISTREAM_BROKER_PROTOCOL = SASL_PLAINTEXT says",
    ),
    "no SASL": (
        {"broker_protocol": "SSL", "broker_user": None, "broker_password_file": None},
        "answers, but not as VERISTREAM_BROKER_PROTOCOL = SSL says",
    ),
    "neither": (
        {"broker_protocol": None, "broker_ca": None, "broker_user": None, "broker_password_file": None},
        "answers, but not as VERISTREAM_BROKER_PROTOCOL = PLAINTEXT says",
    ),
    "another mechanism": ({"broker_mechanism": "PLAIN"}, "does not take PLAIN: set VERISTREAM_BROKER_MECHANISM"),
    "a user that is not there": ({"broker_user": "nobody"}, "refuses user 'nobody'"),
}


@pytest.mark.parametrize("doing", ["topics check", "tail verdicts --once", "worker"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_set_wrong_is_said_in_one_line(secured: Secured, wrong: str, doing: str) -> None:
    changed, said = WRONG[wrong]
    ended = command(secured.admin | {"http_port": 0} | changed, *doing.split())
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if "error:" in line]) == 1


def doctor(settings: Mapping[str, Any], *arguments: str) -> dict[str, dict[str, str]]:
    ended = command(settings, "doctor", "--json", *arguments)
    found = {row["name"]: row for row in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == (1 if any(row["state"] == "bad" for row in found.values()) else 0)
    return found


def test_doctor_names_the_right_that_is_missing_and_what_gives_it(secured: Secured) -> None:
    settings = secured.as_("agents", name="examined")
    user = secured.user("examined")
    assert doctor(settings)["rights"]["found"] == f"{user} may do what agents do"
    secured.take("examined", TAKEDOWNS, AclOperation.WRITE)
    rights = until(lambda: (row := doctor(settings)["rights"])["state"] == "bad" and row, "it was missed", 30)
    assert rights["found"] == f"{user} lacks WRITE on topic {secured.wire(TAKEDOWNS)}"
    mend = rights["fix"].partition(",")[0]
    assert mend == f"veristream acls create --role agents --user {user}"
    assert command(secured.admin, *mend.split()[1:]).returncode == 0
    until(lambda: doctor(settings)["rights"]["state"] == "ok", "it was mended", 30)


def test_doctor_looks_at_the_role_that_is_named_and_at_no_other_topic(secured: Secured) -> None:
    found = doctor(secured.as_("ingest"), "--role", "ingest")
    assert found["rights"]["state"] == "ok"
    assert found["broker"]["state"] == "ok"
    assert "topic" not in found  # of those that are hidden from it nothing is said
    assert found["configuration"]["state"] == "warn"  # it may not ask
    assert "lacks READ on topic" in doctor(secured.as_("ingest"))["rights"]["found"]
    assert "there is no role censor" in doctor(secured.as_("ingest"), "--role", "censor")["rights"]["found"]


def test_doctor_names_a_topic_that_is_missing_and_what_makes_it(secured: Secured) -> None:
    found = doctor(secured.admin | {"topic_prefix": "other-"})
    assert found["topic"]["state"] == "bad"
    assert "does not exist" in found["topic"]["found"]
    assert found["topic"]["fix"] == "veristream topics create"


def test_rights_are_given_once_and_compared(secured: Secured) -> None:
    secured.newcomer("new")
    user = secured.user("new")
    roles = ("--role", "registrar", "--user", user)
    missing = command(secured.admin, "acls", "check", *roles)
    assert missing.returncode == 1
    assert f"missing: WRITE on topic {secured.wire(PUBLISHERS)}\n" in missing.stdout
    assert missing.stdout.endswith(f"→ veristream acls create --role registrar --user {user}\n")
    for _ in range(2):
        given = command(secured.admin, "acls", "create", *roles)
        assert (given.returncode, given.stdout) == (0, f"{user} has the 3 rights of registrar\n"), given.stderr
    until(lambda: command(secured.admin, "acls", "check", *roles).returncode == 0, "they were seen", 30)
    secured_more = command(secured.admin, "acls", "create", "--role", "policy", "--user", user)
    assert secured_more.returncode == 0

    def more() -> list[str]:
        rows = map(json.loads, command(secured.admin, "acls", "check", *roles, "--json").stdout.splitlines())
        return [row["right"] for row in rows if row["what"] == "more than needed"]

    until(lambda: f"WRITE on topic {secured.wire(POLICIES)}" in more(), "what is more was seen", 30)
    both = command(secured.admin, "acls", "check", *roles, "--role", "policy")
    assert both.stdout == f"{user} has the rights of registrar, policy, and no others\n"


def test_only_who_may_alter_the_cluster_gives_rights(secured: Secured) -> None:
    ended = command(secured.as_("provision"), "acls", "create", "--role", "policy", "--user", secured.user("provision"))
    assert ended.returncode == 1
    assert "the broker does not answer about rights: Cluster authorization failed. It needs" in ended.stderr
    checked = command(secured.as_("reader"), "acls", "check", "--role", "policy", "--user", secured.user("provision"))
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "the broker does not answer about rights" in checked.stderr


def test_a_broker_without_an_authorizer_says_so(kafka: Cluster) -> None:
    for doing in ("check", "create"):
        ended = command(kafka.settings, "acls", doing, "--role", "policy", "--user", "somebody")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "It needs an authorizer" in ended.stderr


# Certificates, and passwords that change.


async def test_a_certificate_is_a_user_as_well(secured: Secured) -> None:
    name = secured.user("by-certificate")
    settings = secured.cluster.certificate(name) | secured.own
    admin = load(**secured.admin)
    with pytest.raises(KafkaUnusable, match="this client may not write to topic"):
        await send(settings, UPLOADS, an_upload())
    await give(admin, name, rights_of(["ingest"], admin))
    await send(settings, UPLOADS, an_upload())
    found = await asyncio.to_thread(doctor, settings, "--role", "ingest")
    assert found["rights"]["state"] == "ok"


async def test_a_client_that_runs_takes_up_a_password_that_was_changed(secured: Secured) -> None:
    settings = await asyncio.to_thread(secured.as_, "ingest", name="rotated")
    producer = AIOKafkaProducer(**connection(load(**settings)))
    await producer.start()
    topic = secured.wire(UPLOADS)
    await producer.send_and_wait(topic, b"1")
    await asyncio.to_thread(secured.cluster.add_user, secured.user("rotated"), "another")
    settings["broker_password_file"].write_text("another")
    _cut(producer)
    await producer.send_and_wait(topic, b"2")
    await asyncio.to_thread(secured.cluster.add_user, secured.user("rotated"), "a third")
    _cut(producer)
    with pytest.raises(TimeoutError):  # so it is the password that lets it in
        await asyncio.wait_for(producer.send_and_wait(topic, b"3"), 3)
    settings["broker_password_file"].write_text("a third")
    await producer.send_and_wait(topic, b"4")
    await producer.stop()


def _cut(producer: AIOKafkaProducer) -> None:
    """Close its connections, as a broker does that is restarted."""
    for conn in list(producer.client._conns.values()):
        conn.close()
