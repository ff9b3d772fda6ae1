"""Rights at the broker: what each role needs, and no more, from one table; and whether a user has just that.

Agents say themselves what they read and produce (`inputs`, `views`, `reads_back`, `outputs`); the roles of people and
services beside them are written down here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from schemas.topics import (
    CLAIMS,
    COMPLAINT_RESULTS,
    COMPLAINTS,
    DEADLETTERS,
    FEATURES,
    HASHBANK,
    LABELS,
    LISTS,
    POLICIES,
    PROVIDERS,
    PUBLISHERS,
    REFUTATIONS,
    RELEASES,
    REPLAYS,
    RULINGS,
    RUMORS,
    SANCTIONS,
    SEGMENTS,
    TAKEDOWNS,
    TOPICS,
    UPLOADS,
    VERDICTS,
    Topic,
)
from streams.admin import Admin
from streams.agent import Agent
from streams.archive.columns import ARCHIVED
from streams.registered import installed
from streams.settings import Settings

#: What Kafka calls the cluster as something that rights are given on.
CLUSTER = "kafka-cluster"
#: The role of a user that runs all agents.
AGENTS = "agents"


class Right(NamedTuple):
    """One thing that a user may do. `prefixed`: with everything whose name begins so."""

    kind: Literal["topic", "group", "cluster"]
    name: str
    operation: str
    prefixed: bool = False

    def __str__(self) -> str:
        where = "the cluster" if self.kind == "cluster" else f"{self.kind} {self.name}{'*' if self.prefixed else ''}"
        return f"{self.operation} on {where}"


@dataclass(frozen=True)
class Role:
    """Whoever does one job. `groups`: names of consumer groups after the group prefix."""

    name: str
    about: str
    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    groups: tuple[str, ...] = ()
    #: Whether whoever holds it reads with consumer groups of its own making, named after the role.
    own_groups: bool = False
    #: Operations on every topic, beside reading and writing.
    everywhere: tuple[str, ...] = ()

    def rights(self, settings: Settings) -> tuple[Right, ...]:
        """The rights, by the names on the broker. Reading and writing imply describing."""
        prefix = settings.topic_prefix
        found = [Right("topic", prefix + topic.name, "READ") for topic in self.reads]
        found += [Right("topic", prefix + topic.name, "WRITE") for topic in self.writes]
        found += [Right("topic", prefix + name, operation) for operation in self.everywhere for name in TOPICS]
        found += [Right("group", f"{settings.group_prefix}-{name}", "READ") for name in self.groups]
        if self.own_groups:
            found.append(Right("group", f"{settings.group_prefix}-{self.name}", "READ", prefixed=True))
        if self.writes:
            # An idempotent producer asks for an id; from Kafka 2.8 on a right to write anywhere is enough.
            found.append(Right("cluster", CLUSTER, "IDEMPOTENT_WRITE"))
        return tuple(dict.fromkeys(found))


#: What the platform carries out.
_ANSWERS = (VERDICTS, TAKEDOWNS, RELEASES, LABELS, REFUTATIONS, SANCTIONS)
_PEOPLE = (
    Role("ingest", "sends events, carries out what comes back", _ANSWERS, (UPLOADS, SEGMENTS), own_groups=True),
    Role(
        "registry",
        "keeps providers, features and publishers",
        (PUBLISHERS, PROVIDERS, FEATURES),
        (PUBLISHERS, PROVIDERS, FEATURES),
    ),
    Role("registrar", "registers publishers (veristream registrar serve)", (PUBLISHERS,), (PUBLISHERS,)),
    Role("policy", "the policy team", (POLICIES, LISTS, HASHBANK, RUMORS), (POLICIES, LISTS, HASHBANK, RUMORS)),
    Role(
        "complaints-entry",
        "takes complaints (veristream complaints serve)",
        (POLICIES, COMPLAINT_RESULTS),
        (COMPLAINTS,),
    ),
    Role(
        "desk",
        "reviewers, complaints desk: read all, take reviews, rule",
        tuple(TOPICS.values()),
        (RULINGS, CLAIMS),
        own_groups=True,
    ),
    Role("reader", "inspectors: read all", tuple(TOPICS.values()), own_groups=True, everywhere=("DESCRIBE_CONFIGS",)),
    Role("archiver", "keeps the archive (veristream archive serve)", ARCHIVED, groups=("archiver",)),
    Role(
        "provision",
        "creates and configures topics (veristream topics create)",
        everywhere=("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"),
    ),
)  # fmt: skip


def roles() -> dict[str, Role]:
    """Every role by its name: people and services, each installed agent, and all agents together."""
    agents = [_agent(kind) for kind in installed("veristream.agents", ()).values()]
    inputs = _unique(chain.from_iterable(kind.inputs for kind in installed("veristream.agents", ()).values()))
    every = Role(
        AGENTS,
        "a worker of all agents",
        _unique(chain.from_iterable(role.reads for role in agents)),
        _unique(chain.from_iterable(role.writes for role in agents)),
        tuple(chain.from_iterable(role.groups for role in agents)),
    )
    operator = Role(
        "dead-letters",
        "looks at dead letters and puts them back",
        _unique((DEADLETTERS, REPLAYS, *inputs)),
        _unique((REPLAYS, *inputs)),
        everywhere=("DESCRIBE",),  # a letter may name any topic: whether it is there is looked at first
    )
    return {role.name: role for role in (*_PEOPLE, operator, every, *agents)}


def _agent(kind: type[Agent]) -> Role:
    # What lies in another partition than its key's is sent to its topic again, by whoever meets it.
    moved = (topic for topic in kind.inputs if topic.placed)
    return Role(
        kind.name,
        f"a worker of {kind.name} alone",
        _unique((*kind.inputs, *kind.views, *kind.reads_back)),
        _unique((*kind.outputs, *moved, DEADLETTERS)),
        tuple(kind.name if lane == kind.lanes[0] else f"{kind.name}-{lane}" for lane in kind.lanes),
    )


def _unique(topics: Iterable[Topic]) -> tuple[Topic, ...]:
    return tuple({topic.name: topic for topic in topics}.values())


def rights_of(names: Sequence[str], settings: Settings) -> tuple[Right, ...]:
    """What these roles need together. ValueError, with the names there are, if there is no such role."""
    known = roles()
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"there is no role {', '.join(missing)}; there are {', '.join(known)}")
    return tuple(dict.fromkeys(right for name in names for right in known[name].rights(settings)))


def principal(user: str) -> str:
    """How the broker calls a user: a name of SASL, or a certificate's distinguished name."""
    return user if user.startswith("User:") else f"User:{user}"


_KINDS = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def _binding(right: Right, user: str) -> AclBinding:
    return AclBinding(
        _KINDS[right.kind],
        right.name,
        ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
        principal(user),
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


async def give(settings: Settings, user: str, rights: Iterable[Right]) -> None:
    """Give a user these rights; those that it has already stay as they are, none is taken away.

    Raises:
        KafkaUnusable: no broker answers.
        Unanswered: the broker keeps no rights, or not for this client to give.
    """
    async with Admin(settings) as admin:
        await admin.create_acls(_binding(right, user) for right in rights)


class Held(NamedTuple):
    """A user's rights against those of its roles."""

    missing: list[Right]
    #: Rights on topics, groups and the cluster that none of the roles needs.
    more: list[str]


async def compare_rights(settings: Settings, user: str, rights: Sequence[Right]) -> Held:
    """Which of these rights a user has not been given, and which others it has.

    Raises:
        KafkaUnusable: no broker answers.
        Unanswered: the broker keeps no rights, or does not tell this client.
    """
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        principal(user),
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    async with Admin(settings) as admin:
        found = await admin.acls(everything)
    held = {_right(binding) for binding in found if _plain(binding)}
    more = [str(right) for right in sorted(held - set(rights))]
    more += [str(binding) for binding in found if not _plain(binding)]
    return Held([right for right in rights if right not in held], more)


def _plain(binding: AclBinding) -> bool:
    """Whether it is such a right as is given here: allowed, from every host."""
    return binding.permission_type is AclPermissionType.ALLOW and binding.host == "*" and binding.restype in _NAMES


def _right(binding: AclBinding) -> Right:
    prefixed = binding.resource_pattern_type is ResourcePatternType.PREFIXED
    kind: Literal["topic", "group", "cluster"] = _NAMES[binding.restype]  # type: ignore[assignment]
    return Right(kind, binding.name, binding.operation.name, prefixed)


async def lacking(settings: Settings, rights: Sequence[Right]) -> list[Right]:
    """Which of these rights the user of these settings lacks, as the broker says itself; needs no right to ask.

    What it may create is not told of topics that are not there. A prefix of groups is asked for by a name with it.

    Raises:
        KafkaUnusable: no broker answers.
    """
    async with Admin(settings) as admin:
        topics = await admin.allowed_topics({right.name for right in rights if right.kind == "topic"})
        groups = await admin.allowed_groups({right.name for right in rights if right.kind == "group"})
        allowed = {"topic": topics, "group": groups}
    return list(_denied(rights, allowed))


def _denied(rights: Iterable[Right], allowed: dict[str, dict[str, set[str]]]) -> Iterator[Right]:
    for right in rights:
        # To write to a topic is all that an idempotent producer needs.
        if right.kind != "cluster" and right.operation not in allowed[right.kind].get(right.name, set()):
            yield right
