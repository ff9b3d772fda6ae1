"""The administrator's calls that aiokafka has none for: topics' configuration and rights, through librdkafka."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeAclsRequest
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams.contact import contact
from streams.security import librdkafka
from streams.settings import Settings

#: What Kafka's protocol calls any kind, operation or permission.
_ANY = 1
#: Of these the broker's own words show its inner workings.
_NOT_AUTHORIZED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
#: For one call; creating rights is written by the controller, which a loaded cluster takes seconds for.
TIMEOUT_S = 30.0


class Unanswered(RuntimeError):
    """The broker does not answer such a question, or not to this user; the text is its own."""


class Admin:
    """An administrator's connection. Enter it: `async with Admin(settings) as admin`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AdminClient

    async def __aenter__(self) -> Admin:
        """Connect.

        Raises:
            KafkaUnusable: no broker answers, or none takes this client; the text says why.
        """
        async with contact(self._settings):  # librdkafka tries for ever, and says why only to its log
            pass
        self._client = AdminClient(librdkafka(self._settings) | {"log_level": 0})
        return self

    async def __aexit__(self, *_: object) -> None:
        # It ends with its last reference; waiting for its threads would hold up the loop.
        del self._client

    async def configs(self, topics: Iterable[str]) -> dict[str, dict[str, str]]:
        """The topics, each → its configuration as it is in force, the broker's defaults included.

        Raises:
            Unanswered: the broker does not tell, or not this user.
        """
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        answers = self._client.describe_configs(resources, request_timeout=TIMEOUT_S)
        found = {}
        for resource, answer in answers.items():
            entries = await _answered(answer)
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
        return found

    async def set_configs(self, topic: str, entries: Mapping[str, str]) -> None:
        """Set these entries of a topic's configuration, and leave every other as it is.

        Raises:
            Unanswered: the broker refuses them.
        """
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in entries.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=changes)
        for answer in self._client.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values():
            await _answered(answer)

    async def acls(self, wanted: AclBindingFilter) -> list[AclBinding]:
        """The rights that fit a filter.

        Raises:
            Unanswered: the broker keeps none (no authorizer), or does not tell this user.
        """
        found: list[AclBinding] = await _answered(self._client.describe_acls(wanted, request_timeout=TIMEOUT_S))
        if not found:
            await self._none_to_tell()
        return found

    async def _none_to_tell(self) -> None:
        """Whether there are none, or the broker refuses to tell: librdkafka takes both for none."""
        async with contact(self._settings) as conn:
            answer = await conn.send(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
        if answer.error_code:
            raise Unanswered(for_code(answer.error_code).description.rstrip("."))

    async def create_acls(self, acls: Iterable[AclBinding]) -> None:
        """Give rights; those that are there already stay as they are.

        Raises:
            Unanswered: the broker refuses.
        """
        for answer in self._client.create_acls(list(acls), request_timeout=TIMEOUT_S).values():
            await _answered(answer)

    async def allowed_topics(self, names: Collection[str]) -> dict[str, set[str]]:
        """The topics, each → what this client's own user may do there; a hidden or missing topic has nothing."""
        if not names:
            return {}
        answers = self._client.describe_topics(
            TopicCollection(list(names)), include_authorized_operations=True, request_timeout=TIMEOUT_S
        )
        return {name: await _allowed(answer) for name, answer in answers.items()}

    async def allowed_groups(self, names: Collection[str]) -> dict[str, set[str]]:
        """The consumer groups, each → what this client's own user may do with it, whether it is there or not."""
        if not names:
            return {}
        answers = self._client.describe_consumer_groups(
            list(names), include_authorized_operations=True, request_timeout=TIMEOUT_S
        )
        return {name: await _allowed(answer) for name, answer in answers.items()}


async def _allowed(answer: Future[Any]) -> set[str]:
    try:
        described = await _answered(answer)
    except Unanswered:
        return set()
    return {operation.name for operation in described.authorized_operations or ()}


async def _answered(answer: Future[Any]) -> Any:
    try:
        return await asyncio.wrap_future(answer)
    except KafkaException as raised:
        error = raised.args[0]
        if error.code() in _NOT_AUTHORIZED:
            error = KafkaError(error.code())
        raise Unanswered(error.str().removeprefix("Broker: ").rstrip(".")) from None
