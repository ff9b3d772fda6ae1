"""A view holds the last valid row of each key: a bad row changes nothing, and is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from schemas.message import Message, Refused, encode
from schemas.policy import Policy, default_policy
from schemas.registry import Feature, Provider
from schemas.topics import FEATURES, POLICIES, PROVIDERS
from streams.client import Client
from streams.kafka import KafkaUnusable, create_topics
from streams.metrics import Metrics
from streams.settings import Settings, load
from streams.views import View, Views
from streams.worker import Worker


def provider(key: str = "p1", name: str = "Video") -> Provider:
    return Provider(provider_id=key, name=name)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def view(registry: CollectorRegistry) -> View[Provider]:
    return View(PROVIDERS, Metrics(registry))


def test_a_row_replaces_the_former_one_of_its_key(view: View[Provider]) -> None:
    view.apply(b"p1", encode(provider()))
    view.apply(b"p2", encode(provider("p2")))
    view.apply(b"p1", encode(provider(name="Other")))
    assert view.rows == {"p1": provider(name="Other"), "p2": provider("p2")}


def test_a_tombstone_deletes_its_row_and_no_other(view: View[Provider]) -> None:
    view.apply(b"p1", encode(provider()))
    view.apply(b"p2", encode(provider("p2")))
    view.apply(b"p1", None)
    view.apply(b"never there", None)
    assert list(view.rows) == ["p2"]


BAD = {
    "no json": b"{",
    "no row": b"{}",
    "not utf-8": b"\xff",
    "empty": b"",
    "a field of another type": b'{"provider_id":"p1","name":1}',
    "another key": encode(provider("p2")),
}


@pytest.mark.parametrize("value", BAD.values(), ids=BAD.keys())
def test_a_bad_row_leaves_the_former_one_in_force_and_is_counted(
    view: View[Provider], registry: CollectorRegistry, value: bytes
) -> None:
    view.apply(b"p1", encode(provider()))
    version = view.version
    view.apply(b"p1", value)
    assert view.rows == {"p1": provider()}
    assert view.version == version
    assert registry.get_sample_value("veristream_state_refused_total", {"topic": "providers"}) == 1
    assert registry.get_sample_value("veristream_state_rows", {"topic": "providers"}) == 1


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe"])
def test_a_row_without_its_key_is_refused(view: View[Provider], key: bytes | None) -> None:
    view.apply(key, encode(provider()))
    assert view.rows == {}


def test_the_version_counts_changes(view: View[Provider], registry: CollectorRegistry) -> None:
    assert view.version == 0
    view.apply(b"p1", encode(provider()))
    view.apply(b"p2", encode(provider("p2")))
    assert view.version == 2
    view.apply(b"p1", None)
    assert view.version == 3
    assert registry.get_sample_value("veristream_state_rows", {"topic": "providers"}) == 1


def test_a_check_sees_the_former_row_and_can_refuse_the_new_one(registry: CollectorRegistry) -> None:
    seen = []

    def check(former: Message | None, row: Message) -> None:
        seen.append((former, row))
        if former:
            raise Refused("name", "it was there before")

    view: View[Provider] = View(PROVIDERS, Metrics(registry), check)
    view.apply(b"p1", encode(provider()))
    view.apply(b"p1", encode(provider(name="Other")))
    assert seen == [(None, provider()), (provider(), provider(name="Other"))]
    assert view.rows == {"p1": provider()}
    assert registry.get_sample_value("veristream_state_refused_total", {"topic": "providers"}) == 1


def test_a_row_of_a_later_schema_is_read(view: View[Provider]) -> None:
    view.apply(b"p1", encode(provider()).replace(b"{", b'{"added_later":1,', 1))
    assert view.rows == {"p1": provider()}


def test_a_listener_is_told_of_every_change_and_of_nothing_else(view: View[Provider]) -> None:
    view.apply(b"p1", encode(provider()))
    told: list[tuple[object, ...]] = []
    view.listen(lambda *change: told.append(change))
    view.apply(b"p1", encode(provider(name="Other")))
    view.apply(b"p1", b"{")
    view.apply(b"p2", encode(provider("p2")))
    view.apply(b"p1", None)
    assert told == [
        ("p1", provider(), provider(name="Other")),
        ("p2", None, provider("p2")),
        ("p1", provider(name="Other"), None),
    ]


def test_a_row_that_ships_is_there_until_another_is_sent_and_again_when_that_is_deleted(
    registry: CollectorRegistry,
) -> None:
    view: View[Provider] = View(PROVIDERS, Metrics(registry), shipped={"p1": provider()})
    assert view.rows == {"p1": provider()}
    view.apply(b"p1", encode(provider(name="Other")))
    assert view.rows == {"p1": provider(name="Other")}
    view.apply(b"p1", None)
    assert view.rows == {"p1": provider()}


# Policies, as the worker views them.


class Judge:
    """An agent that looks at policies."""

    name = "judge"
    views = (POLICIES,)
    slow = False

    def __init__(self, context: object) -> None:
        self.context = context


class Ward:
    """The worker's view of the policies, and its gauge."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
        monkeypatch.setattr("streams.worker.installed", lambda *_: {"judge": Judge})
        self.worker = Worker(load(**settings))
        self.view = self.worker._views.by_topic[POLICIES.name]

    def put(self, policy: Policy) -> None:
        self.view.apply(policy.name.encode(), encode(policy))

    @property
    def in_force(self) -> Policy:
        return self.view.rows["default"]

    @property
    def gauge(self) -> dict[str, float]:
        return {
            sample.labels["name"]: sample.value
            for metric in self.worker.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "veristream_policy_version"
        }


def changed(version: int, comment: str = "changed") -> Policy:
    return msgspec.structs.replace(default_policy(), version=version, comment=comment)


def test_the_policy_that_ships_is_in_force_until_one_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    assert ward.view.rows == {"default": default_policy()}
    assert ward.gauge == {"default": 1}
    ward.put(changed(2, "one"))
    assert ward.in_force.comment == "one"
    assert ward.gauge == {"default": 2}


def test_the_policy_that_ships_goes_by_the_name_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch, policy="strict")
    assert list(ward.view.rows) == ["strict"]


def test_a_version_is_never_given_other_content(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    ward.put(changed(2, "one"))
    ward.put(changed(2, "another"))
    assert ward.in_force.comment == "one"
    ward.put(changed(2, "one"))  # the same again is the same
    ward.put(changed(3, "another"))
    assert ward.in_force.comment == "another"


def test_the_first_version_sent_may_differ_from_the_one_that_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    ward.put(changed(1, "one"))
    assert ward.in_force.comment == "one"


def test_a_former_version_can_be_put_in_force_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    ward.put(changed(3))
    ward.put(changed(2))
    assert ward.gauge == {"default": 2}


def test_a_policy_of_another_name_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    ward.put(msgspec.structs.replace(changed(9), name="other"))
    assert ward.in_force == default_policy()
    assert ward.gauge == {"default": 1}


def test_a_deleted_policy_leaves_the_one_that_ships_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    ward = Ward(monkeypatch)
    ward.put(changed(5, "one"))
    version = ward.view.version
    ward.view.apply(b"default", None)
    assert ward.view.rows == {"default": default_policy()}
    assert ward.view.version > version
    assert ward.gauge == {"default": 1}


# Beside a broker.


async def loaded(views: Views) -> None:
    await views.start()
    await asyncio.wait_for(views.loaded(), 10)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_views_hold_what_lay_there_and_follow_what_comes(
    on_broker: Callable[..., Settings], registry: CollectorRegistry
) -> None:
    settings = on_broker()
    metrics = Metrics(registry)
    await create_topics(settings)
    providers, features = View(PROVIDERS, metrics), View(FEATURES, metrics)
    views = Views([providers, features], settings)
    async with Client(settings) as client:
        for number in range(20):
            await client.send(PROVIDERS, provider(f"p{number % 5}", str(number)))
        await client.send_raw(PROVIDERS, b"p0", None)
        await client.send_raw(PROVIDERS, b"p1", b"{")
        assert not views.is_loaded
        await loaded(views)
        assert views.is_loaded
        assert sorted((name, row.name) for name, row in providers.rows.items()) == [
            ("p1", "16"),
            ("p2", "17"),
            ("p3", "18"),
            ("p4", "19"),
        ]
        assert features.rows == {}
        await client.send(FEATURES, Feature(feature_id="f1", name="Swap"))
        await until(lambda: bool(features.rows))
    await views.stop()
    assert views.failed is None
    assert len(providers.rows) == 4


async def test_views_hold_the_whole_of_what_was_sent_together(
    on_broker: Callable[..., Settings], registry: CollectorRegistry
) -> None:
    settings = on_broker()
    await create_topics(settings)
    providers = View(PROVIDERS, Metrics(registry))
    views = Views([providers], settings)
    async with Client(settings) as client:
        await asyncio.gather(*(client.send(PROVIDERS, provider(f"p{number}")) for number in range(500)))
        await loaded(views)
    assert len(providers.rows) == 500
    await views.stop()


async def test_views_of_empty_topics_are_loaded(
    on_broker: Callable[..., Settings], registry: CollectorRegistry
) -> None:
    settings = on_broker()
    await create_topics(settings)
    views = Views([View(PROVIDERS, Metrics(registry))], settings)
    await loaded(views)
    await views.stop()


async def test_without_views_there_is_nothing_to_load(on_broker: Callable[..., Settings]) -> None:
    views = Views([], on_broker())
    await loaded(views)
    await views.stop()


async def test_a_topic_that_is_missing_is_named(
    on_broker: Callable[..., Settings], registry: CollectorRegistry
) -> None:
    settings = on_broker()
    views = Views([View(PROVIDERS, Metrics(registry))], settings)
    with pytest.raises(KafkaUnusable, match=rf"topic {settings.topic_prefix}providers does not exist"):
        await views.start()
    await views.stop()


async def test_what_ends_the_reading_is_known(
    on_broker: Callable[..., Settings], registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = on_broker()
    await create_topics(settings)
    providers = View(PROVIDERS, Metrics(registry))
    views = Views([providers], settings)
    await loaded(views)

    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr(providers, "apply", fail)
    async with Client(settings) as client:
        await client.send(PROVIDERS, provider())
    await until(lambda: views.failed is not None)
    assert str(views.failed) == "defect"
    await views.stop()
