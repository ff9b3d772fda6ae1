"""A real Apache Kafka on this machine: it keeps its data, loses brokers and gets them back, lets in whom it knows."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from kafka import client, cluster_or_skip, prefixes
from processes import COMMAND, until

from deploy.kafka.cluster import Cluster
from deploy.kafka.jars import KafkaError as ClusterError


def create(settings: dict, topic: str, partitions: int = 1, replicas: int = 3) -> None:
    admin = AdminClient(client(settings))  # its answers come while it lives
    for done in admin.create_topics([NewTopic(topic, partitions, replicas)]).values():
        done.result(10)


def produce(settings: dict, topic: str, *values: str, timeout_ms: int = 30_000) -> list[str]:
    """Produce to partition 0 with acks=all; the values that the broker acknowledged."""
    acknowledged: list[str] = []
    producer = Producer(client(settings, **{"acks": "all", "message.timeout.ms": timeout_ms, "linger.ms": 0}))
    for value in values:
        producer.produce(
            topic,
            value.encode(),
            partition=0,
            on_delivery=lambda error, message: error or acknowledged.append(message.value().decode()),
        )
    producer.flush(timeout_ms / 1000 + 5)
    return acknowledged


def everything(settings: dict, topic: str, count: int) -> list[str]:
    """The first so many values of partition 0."""
    reader = Consumer(client(settings, **{"group.id": "unused", "enable.auto.commit": False}))
    reader.assign([TopicPartition(topic, 0, 0)])
    found: list[str] = []

    def read() -> bool:
        found.extend(message.value().decode() for message in reader.consume(count, 0.5) if not message.error())
        return len(found) >= count

    until(read, f"{count} messages were not read, but {len(found)}", 30)
    reader.close()
    return found


def topic_of(name: str) -> str:
    return prefixes()["topic_prefix"] + name


def test_three_brokers_are_registered_and_refuse_what_would_lose_data(kafka):
    admin = AdminClient(client(kafka.settings))
    assert set(admin.list_topics(timeout=10).brokers) == {1, 2, 3}
    topic = topic_of("defaults")
    with pytest.raises(KafkaException) as refusal:
        create(kafka.settings, topic, replicas=4)
    assert refusal.value.args[0].code() == KafkaError.INVALID_REPLICATION_FACTOR
    assert produce(kafka.settings, topic, "x", timeout_ms=2_000) == []
    assert topic not in admin.list_topics(timeout=10).topics, "producing to a topic does not create it"
    create(kafka.settings, topic)

    def described() -> dict[str, str]:
        (done,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        try:
            return {name: entry.value for name, entry in done.result(10).items()}
        except KafkaException as error:  # the broker that is asked may not have heard of the topic yet
            assert error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            return {}

    in_force = until(described, "the topic was not known", 20)
    assert in_force["min.insync.replicas"] == "2"
    assert in_force["unclean.leader.election.enable"] == "false"


def test_a_killed_leader_is_replaced_and_comes_back_with_what_was_acknowledged(kafka):
    topic = topic_of("killed")
    create(kafka.settings, topic)
    before = [f"before-{number}" for number in range(200)]
    assert produce(kafka.settings, topic, *before) == before
    leader = kafka.leader_of(topic, 0)
    pid = leader.pid
    leader.kill()
    assert leader.pid is None and not leader.is_up()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    try:
        meanwhile = produce(kafka.settings, topic, "meanwhile", timeout_ms=60_000)
        assert meanwhile == ["meanwhile"], "two of three replicas are enough"
        assert kafka.leader_of(topic, 0) is not leader
    finally:
        leader.start()
    assert leader.is_up() and leader.pid not in (None, pid)

    def in_sync() -> bool:
        partition = AdminClient(client(kafka.settings)).list_topics(topic, timeout=10).topics[topic].partitions[0]
        return set(partition.isrs) == {1, 2, 3}

    until(in_sync, "the broker that came back did not catch up", 60)
    assert everything(kafka.settings, topic, 201) == [*before, "meanwhile"]


def test_a_stopped_cluster_goes_on_with_its_data(tmp_path):
    topic = "kept"
    with cluster_or_skip(tmp_path, brokers=1) as first:
        create(first.settings, topic, replicas=1)
        produce(first.settings, topic, "a", "b")
    assert [broker.pid for broker in first.brokers] == [None]
    with Cluster(tmp_path, brokers=1) as second:
        assert everything(second.settings, topic, 2) == ["a", "b"]
    with pytest.raises(ClusterError, match=r"holds a cluster of 1 brokers, not secure"):
        Cluster(tmp_path, brokers=3).start()


def test_a_broker_that_does_not_start_says_why(tmp_path):
    wrong = cluster_or_skip(tmp_path, brokers=1, config={"log.retention.hours": "soon"})
    with pytest.raises(ClusterError, match=r"log\.retention\.hours"):
        wrong.start()
    assert wrong.brokers[0].pid is None
    with cluster_or_skip(tmp_path / "disk", brokers=1) as cluster:
        (broker,) = cluster.brokers
        broker.stop()
        (broker.log_dir / "meta.properties").unlink()
        with pytest.raises(ClusterError, match=r"(?s)ended with 1.*meta\.properties") as error:
            broker.start()
        assert "\tat " not in str(error.value)


def test_a_folder_in_use_is_left_alone(kafka):
    before = [broker.log.stat().st_size for broker in kafka.brokers]
    with pytest.raises(ClusterError, match=r"runs in .* already"):
        Cluster(kafka.folder).start()
    after = [broker.log.stat().st_size for broker in kafka.brokers]
    assert all(now >= then > 0 for now, then in zip(after, before, strict=True)), "a log that is written was emptied"
    assert all(broker.is_up() for broker in kafka.brokers)
    other = Cluster(kafka.folder.with_name("beside"), brokers=1, first_port=kafka.brokers[0].port)
    with pytest.raises(ClusterError, match=f"already listens on port {kafka.brokers[0].port}"):
        other.start()


def test_data_lies_where_it_was_told_to(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    with cluster_or_skip(tmp_path / "folder", brokers=1, log_dirs={1: elsewhere}) as cluster:
        create(cluster.settings, "here", replicas=1)
        until((elsewhere / "here-0").is_dir, "the topic's folder was not made", 10)
        assert cluster.brokers[0].log_dir == elsewhere


def refused(configuration: dict) -> list[int]:
    """The codes of the errors that a client meets which asks for the cluster's topics."""
    codes: list[int] = []
    admin = AdminClient(configuration | {"error_cb": lambda error: codes.append(error.code())})
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=4)
    admin.poll(0)
    return codes


def test_a_secure_broker_refuses_who_speaks_in_the_clear(secure_kafka):
    broker = secure_kafka.brokers[0]
    versions = struct.pack(">hhih", 18, 0, 1, -1)  # ApiVersions, which any client may ask before it logs in
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as line:
        line.sendall(struct.pack(">i", len(versions)) + versions)
        answer = line.recv(100)
    assert answer == b"" or answer[:2] == b"\x15\x03", "neither closed nor a TLS alert"
    refused({"bootstrap.servers": broker.address, "log_level": 0})
    assert broker.is_up()


def test_a_secure_broker_refuses_a_wrong_password(secure_kafka):
    right = client(secure_kafka.settings)
    assert AdminClient(right).list_topics(timeout=10).brokers
    assert KafkaError._AUTHENTICATION in refused(right | {"sasl.password": "guessed"})


def test_a_client_refuses_a_secure_broker_that_its_authority_did_not_sign(secure_kafka):
    configuration = client(secure_kafka.settings)
    del configuration["ssl.ca.location"]
    assert KafkaError._SSL in refused(configuration)


def test_a_new_user_may_do_nothing_until_an_access_list_says_so(secure_kafka):
    topic = topic_of("listed")
    create(secure_kafka.settings, topic, replicas=1)
    for name, theirs in {
        "reader": secure_kafka.add_user("reader", "a password with = and , in it"),
        "shower": secure_kafka.certificate("shower"),
    }.items():
        assert topic not in AdminClient(client(theirs)).list_topics(timeout=10).topics
        assert produce(theirs, topic, "x", timeout_ms=5_000) == []
        allowed = [
            AclBinding(
                ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{name}", "*", AclOperation.WRITE,
                AclPermissionType.ALLOW,
            )
        ]  # fmt: skip
        admin = AdminClient(client(secure_kafka.settings))
        for done in admin.create_acls(allowed).values():
            done.result(10)
        until(lambda theirs=theirs, name=name: produce(theirs, topic, name, timeout_ms=5_000) == [name], name, 20)
    assert everything(secure_kafka.settings, topic, 2) == ["reader", "shower"]


def test_secrets_of_a_secure_cluster_are_its_owners_alone(secure_kafka):
    folder = Path(secure_kafka.settings["broker_ca"]).parent
    secret = [path for path in folder.iterdir() if b"PRIVATE KEY" in path.read_bytes() or "password" in path.name]
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    assert len(secret) >= 4
    password = secure_kafka.settings["broker_password_file"].read_text()
    holders = [path.name for path in secure_kafka.folder.rglob("*") if path.is_file() and password in text_of(path)]
    assert holders == ["admin.password"]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_up_as_a_command_answers_clients_says_how_to_reach_it_and_ends_on_ctrl_c(tmp_path):
    ports = cluster_or_skip(tmp_path / "unused", brokers=1)
    command = [
        COMMAND,
        "kafka",
        "up",
        "--brokers",
        "1",
        "--port",
        str(ports.brokers[0].port),
        "--folder",
        str(tmp_path),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VERISTREAM_")}
    log = tmp_path / "said"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        ) as running,
    ):
        try:
            assert running.stdout is not None
            lines = [running.stdout.readline().strip() for _ in range(2)]
            assert all(lines), log.read_text()
            told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
            assert told == {"VERISTREAM_BROKER": ports.address, "VERISTREAM_REPLICATION": "1"}
            create({"broker": told["VERISTREAM_BROKER"]}, "up", replicas=1)
            assert produce({"broker": told["VERISTREAM_BROKER"]}, "up", "x") == ["x"]
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0, log.read_text()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", ports.brokers[0].port)) != 0, "the broker outlived its command"
    assert "ready" in log.read_text() and str(tmp_path) in log.read_text()


def test_brokers_die_with_the_process_that_started_them(tmp_path):
    script = (
        "import pathlib, sys, time\n"
        "from deploy.kafka.cluster import Cluster\n"
        "cluster = Cluster(pathlib.Path(sys.argv[1]), brokers=1)\n"
        "cluster.start()\n"
        "print(cluster.brokers[0].pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    cluster_or_skip(tmp_path)
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    def gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"

    until(gone, "the broker outlived its parent", 10)
