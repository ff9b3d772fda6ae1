"""What stands against a publisher, enforced: sanctions, those of other accounts of one person, and entity labels."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from agents.identity.agent import Identity
from agents.identity.standing import Standings, marks
from schemas.decision import PolicyRef
from schemas.entity import EntityLabel, label_id
from schemas.message import encode
from schemas.policy import default_policy
from schemas.registry import IdentityNumber
from schemas.sanction import Sanction, Standing
from schemas.topics import ENTITIES, POLICIES, PROVIDERS, PUBLISHERS, STANDINGS
from streams.agent import Context, Incoming
from streams.metrics import Metrics
from streams.settings import Settings
from streams.views import View

DIGEST, OTHER = "ab" * 32, "cd" * 32


def number(digest=DIGEST, key_id="k-1", kind="id_number"):
    return IdentityNumber(kind=kind, form="valid", digest=digest, key_id=key_id)


class Registry:
    """The identity agent over views that are filled by hand; two accounts, `p-1` and `p-2`, that nothing joins."""

    def __init__(self, make):
        self.make = make
        self.now = make.now
        metrics = Metrics(CollectorRegistry())
        self.views = {topic.name: View(topic, metrics) for topic in Identity.views}
        self.put(POLICIES, default_policy())
        agent = Identity(Context(Settings(policy="default"), metrics, self.views, lambda: self.now, None))
        self.handle = lambda event: list(agent.handle(Incoming("a topic", 0, 0, event)))
        self.put(PROVIDERS, make.provider(make.licence(services=("*",))))
        self.account("p-1")
        self.account("p-2")

    def put(self, topic, row):
        self.views[topic.name].apply(getattr(row, topic.key).encode(), encode(row))

    def delete(self, topic, key):
        self.views[topic.name].apply(key.encode(), None)

    def account(self, publisher_id, *numbers, devices=()):
        numbers = numbers or (number(digest=None, key_id=None),)
        row = self.make.publisher(publisher_id=publisher_id, numbers=numbers, devices=devices, born="1990-01")
        self.put(PUBLISHERS, row)
        return row

    def sanction(self, level="suspend", publisher_id="p-1", **changes):
        fields = {
            "sanction_id": f"s-{level}-{publisher_id}",
            "publisher_id": publisher_id,
            "level": level,
            "begins_at": self.make.at(-60),
            "points": 12.0,
            "policy": PolicyRef(name="default", version=1),
        }
        row = Sanction(**fields | changes)
        self.put(STANDINGS, Standing(publisher_id=publisher_id, sanctions=(row,)))
        return row

    def label(self, kind, entity_id, label="watched", **changes):
        fields = {"reason": "why", "set_by": "r-1", "set_at": self.make.now}
        key = label_id(kind, entity_id, label)
        self.put(ENTITIES, EntityLabel(label_id=key, kind=kind, entity_id=entity_id, label=label, **fields | changes))
        return key

    def judged(self, publisher_id="p-1", kind="upload", **changes):
        make = self.make.upload if kind == "upload" else self.make.segment
        return self.handle(make(publisher_id=publisher_id, **changes))

    def decided(self, publisher_id="p-1", kind="upload", **changes):
        return self.judged(publisher_id, kind, **changes)[0].value

    def codes(self, publisher_id="p-1", kind="upload", **changes):
        return [reason.code for reason in self.decided(publisher_id, kind, **changes).reasons]


@pytest.fixture
def registry(make):
    return Registry(make)


# A publisher's own sanctions


def test_nothing_stands_against_a_publisher_without_a_row(registry):
    assert registry.codes() == registry.codes("p-2") == []


def test_a_suspended_publishers_items_are_held_with_the_sanctions_id(registry):
    sanction = registry.sanction("suspend", until=registry.make.at(60))
    decision = registry.decided()
    (reason,) = decision.reasons
    assert (decision.action, decision.stop.kind, decision.stop.until) == ("takedown", "hold", "lifted")
    assert (reason.code, reason.article, reason.evidence[0].entry) == (
        "SANCTION-SUSPENDED",
        "AVP-14",
        sanction.sanction_id,
    )
    assert [out.topic.name for out in registry.judged()] == ["decisions", "takedowns"]
    assert registry.codes(kind="segment") == ["SANCTION-SUSPENDED"]
    assert registry.codes("p-2") == []


def test_a_closed_accounts_items_are_removed(registry):
    sanction = registry.sanction("close")
    decision = registry.decided()
    assert (decision.stop.kind, decision.stop.until) == ("remove", "forever")
    assert [(r.code, r.evidence[0].entry) for r in decision.reasons] == [("SANCTION-CLOSED", sanction.sanction_id)]


def test_a_limited_publisher_is_kept_from_that_service_alone(registry):
    registry.sanction("limit", limits=("live",))
    assert registry.codes(kind="segment") == ["SANCTION-LIMITED"]
    assert registry.codes() == []
    assert [out.topic.name for out in registry.judged()] == ["decisions", "admitted"]


def test_a_warned_publisher_publishes(registry):
    registry.sanction("warn")
    assert registry.codes() == []


@pytest.mark.parametrize("level", ["limit", "suspend", "close"])
def test_a_sanction_that_has_ended_or_was_lifted_or_is_to_come_stops_nothing(registry, level):
    make, limits = registry.make, ("short_video",)
    registry.sanction(level, limits=limits, until=make.at(10))
    assert len(registry.codes()) == 1
    registry.now = make.at(10)  # no row has changed
    assert registry.codes() == []
    registry.sanction(level, limits=limits, lifted_by="r-1", lifted_at=make.at(5))
    assert registry.codes() == []
    registry.sanction(level, limits=limits, begins_at=make.at(11))
    assert registry.codes() == []
    registry.now = make.at(11)
    assert len(registry.codes()) == 1
    registry.delete(STANDINGS, "p-1")
    assert registry.codes() == []


# Another account of the same person


@pytest.mark.parametrize(
    "shared",
    [{"numbers": [number()]}, {"devices": ("phone",)}, {"numbers": [number(kind="organisation_code")]}],
    ids=["id number", "device", "organisation code"],
)
@pytest.mark.parametrize("level", ["suspend", "close"])
def test_another_account_of_the_same_person_is_held_until_the_sanction_is_lifted(registry, shared, level):
    for account in ("p-1", "p-2"):
        mobile = number(digest=OTHER if account == "p-2" else None, kind="mobile")  # identifies, and joins nothing
        registry.account(account, mobile, *shared.get("numbers", ()), devices=shared.get("devices", ()))
    sanction = registry.sanction(level)
    decision = registry.decided("p-2")
    assert (decision.stop.kind, decision.stop.until) == ("hold", "lifted")
    assert [(r.code, r.evidence[0].entry) for r in decision.reasons] == [("SANCTION-EVASION", sanction.sanction_id)]
    registry.sanction(level, lifted_by="r-1", lifted_at=registry.make.at(0))
    assert registry.codes("p-2") == []


@pytest.mark.parametrize("level", ["warn", "limit"])
def test_mild_sanctions_are_of_one_account(registry, level):
    for account in ("p-1", "p-2"):
        registry.account(account, number())
    registry.sanction(level, limits=("short_video",))
    assert registry.codes("p-2") == []


@pytest.mark.parametrize(
    "other",
    [number(OTHER), number(key_id="k-2"), number(kind="mobile"), number(digest=None, key_id=None)],
    ids=["another digest", "another key", "another kind", "no digest"],
)
def test_what_is_not_the_same_number_joins_nothing(registry, other):
    registry.account("p-1", number(), number(digest=None, key_id=None, kind="mobile"))
    registry.account("p-2", other)
    registry.sanction("close")
    assert registry.codes("p-2") == []


def test_the_sanctioned_account_itself_is_not_called_an_evasion(registry):
    registry.account("p-1", number())
    registry.sanction("suspend")
    assert registry.codes() == ["SANCTION-SUSPENDED"]


def test_two_sanctioned_accounts_of_one_person_meet_each_others(registry):
    for account in ("p-1", "p-2", "p-3"):
        registry.account(account, number(), devices=("phone",))
    first, second = registry.sanction("suspend"), registry.sanction("close", "p-2")
    (reason,) = registry.decided("p-3").reasons
    assert [said.entry for said in reason.evidence] == [first.sanction_id, second.sanction_id]
    assert registry.codes("p-1") == ["SANCTION-SUSPENDED", "SANCTION-EVASION"]


# Rows change


def test_a_row_that_changes_is_followed_by_the_index(registry):
    registry.sanction("suspend")
    registry.account("p-2", number())
    assert registry.codes("p-2") == []
    registry.account("p-1", number())  # the sanctioned account turns out to be the same person
    assert registry.codes("p-2") == ["SANCTION-EVASION"]
    registry.account("p-1", number(OTHER))
    assert registry.codes("p-2") == []
    registry.account("p-2", number(OTHER))
    assert registry.codes("p-2") == ["SANCTION-EVASION"]
    registry.account("p-2")
    assert registry.codes("p-2") == []


def test_a_row_that_is_deleted_joins_nothing_until_it_is_back(registry):
    for account in ("p-1", "p-2"):
        registry.account(account, number())
    registry.sanction("suspend")
    registry.delete(PUBLISHERS, "p-1")
    assert registry.codes("p-2") == []
    assert registry.codes("p-1") == ["SANCTION-SUSPENDED", "ID-UNKNOWN"]
    registry.account("p-1", number())
    assert registry.codes("p-2") == ["SANCTION-EVASION"]


def test_a_standing_that_changes_or_is_deleted_is_followed_by_the_index(registry):
    for account in ("p-1", "p-2"):
        registry.account(account, number())
    for _ in range(2):
        registry.sanction("suspend")
        assert registry.codes("p-2") == ["SANCTION-EVASION"]
        registry.put(STANDINGS, Standing(publisher_id="p-1"))
        assert registry.codes("p-2") == []
    registry.sanction("close")
    registry.delete(STANDINGS, "p-1")
    assert registry.codes("p-2") == []


def test_the_index_keeps_nothing_of_what_is_gone(make):
    metrics = Metrics(CollectorRegistry())
    views = [View(topic, metrics) for topic in (PUBLISHERS, STANDINGS, ENTITIES)]
    standings = Standings(*views)
    publisher = make.publisher(numbers=(number(),), devices=("phone",))
    assert list(marks(publisher)) == [f"id_number:k-1:{DIGEST}", "device:phone"]
    ref = PolicyRef(name="default", version=1)
    fields = {"sanction_id": "s-1", "publisher_id": "p-1", "begins_at": make.now, "points": 12.0, "policy": ref}
    standing = Standing(publisher_id="p-1", sanctions=(Sanction(level="suspend", **fields),))
    for rows in ((publisher, standing), (standing, publisher)):  # whichever topic is read first
        for row in rows:
            views[0 if row is publisher else 1].apply(b"p-1", encode(row))
        assert standings._marked.keys() == set(marks(publisher))
        for row in rows:
            views[0 if row is publisher else 1].apply(b"p-1", None)
        assert not standings._marked


# Entity labels


def test_a_watched_publishers_items_go_to_a_person_and_on_with_the_label(registry):
    key = registry.label("publisher", "p-1")
    decision = registry.decided()
    assert (decision.action, decision.reasons[0].evidence[0].entry) == ("review", key)
    assert registry.codes() == ["ENTITY-LABEL"]
    outgoing = registry.judged()
    assert [out.topic.name for out in outgoing] == ["decisions", "reviews", "admitted"]
    assert outgoing[-1].value.labels == ("watched",)
    assert registry.codes("p-2") == []


@pytest.mark.parametrize(
    ("kind", "entity_id"),
    [("publisher", "p-1"), ("device", "phone"), ("media", "ab" * 32), ("stream", "s-1")],
)
def test_a_banned_entitys_items_are_held_for_a_person(registry, kind, entity_id):
    registry.account("p-1", number(), devices=("phone",))
    item = {"kind": "segment" if kind == "stream" else "upload"}
    registry.label(kind, entity_id, "banned")
    decision = registry.decided(**item)
    assert (decision.action, decision.stop.kind, decision.stop.until) == ("takedown", "hold", "reviewed")
    registry.label(kind, "another", "banned")
    registry.delete(ENTITIES, label_id(kind, entity_id, "banned"))
    assert registry.codes(**item) == []


def test_a_label_that_has_expired_speaks_no_more(registry):
    registry.label("publisher", "p-1", "banned", expires_at=registry.make.at(10))
    registry.now = registry.make.at(9.9)
    assert registry.codes() == ["ENTITY-LABEL"]
    registry.now = registry.make.at(10)
    assert registry.codes() == []
    assert registry.judged()[-1].value.labels == ()
    registry.label("publisher", "p-1", "banned", expires_at=registry.make.at(20))
    assert registry.codes() == ["ENTITY-LABEL"]


def test_a_label_that_the_policy_does_not_list_only_goes_along(registry):
    registry.label("publisher", "p-1", "vip")
    assert registry.codes() == []
    assert registry.judged()[-1].value.labels == ("vip",)


def test_a_label_on_a_complainant_is_not_one_on_a_publisher(registry):
    registry.label("complainant", "p-1", "banned")
    assert registry.codes() == []
