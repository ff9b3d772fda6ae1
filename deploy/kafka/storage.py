"""Formatting: what a broker's folder holds before its first start, and which cluster it belongs to."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploy.kafka.broker import Broker, said
from deploy.kafka.jars import KafkaError
from deploy.kafka.security import write_secret

if TYPE_CHECKING:
    from deploy.kafka.jvm import Jvm

FORMAT_TIMEOUT_S = 60.0
META = "meta.properties"
BOOTSTRAP = "bootstrap.checkpoint"


def new_id() -> str:
    """An identifier as Kafka writes them: 16 random bytes, of which none looks like an option on a command line."""
    return urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "_")


def format_new(jvm: Jvm, brokers: Sequence[Broker], cluster_id: str, user: str | None) -> None:
    """Format the folders that are not, with the user (as `--add-scram` names it) who may log in from the start.

    Kafka's tool formats one of them. The others differ from it in two names, and get them here: each run of the tool
    costs a small machine half a second.

    Raises:
        KafkaError: the tool failed; the text holds what it said.
    """
    new = [broker for broker in brokers if not (broker.log_dir / META).exists()]
    if not new:
        return
    first, *others = new
    for broker in new:
        broker.log_dir.mkdir(parents=True, exist_ok=True)
    _run_tool(jvm, first, cluster_id, user)
    for broker in others:
        shutil.copyfile(first.log_dir / BOOTSTRAP, broker.log_dir / BOOTSTRAP)
        names = {"version": "1", "cluster.id": cluster_id, "node.id": str(broker.number), "directory.id": new_id()}
        fresh = broker.log_dir / f"{META}.new"
        fresh.write_text("".join(f"{name}={value}\n" for name, value in names.items()), "ascii")
        fresh.rename(broker.log_dir / META)


def _run_tool(jvm: Jvm, broker: Broker, cluster_id: str, user: str | None) -> None:
    arguments = ["format", "--config", str(broker.properties), "--cluster-id", cluster_id]
    if user is not None:
        arguments += ["--add-scram", user]
    java, *rest = jvm.command("kafka.tools.StorageTool", *arguments)
    # From a file, since everybody on the machine can read a command line.
    file = broker.log.with_name("format.arguments")
    log = broker.log.with_name("format.log")
    write_secret(file, "\n".join(map(_quoted, rest)).encode())
    run = jvm.start([java, f"@{file}"], log)
    try:
        code = run.wait(FORMAT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        run.kill()
        code = run.wait()
    finally:
        file.unlink()
    if code != 0:
        raise KafkaError(f"the storage of broker {broker.number} was not formatted ({code}); {said(log)}")


def _quoted(argument: str) -> str:
    """As Java's argument files want it."""
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'
