"""What identity says of a publisher that gives reason to look closer at its items."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.identity.judge import Known, standing_of
from schemas.policy import default_policy
from schemas.registry import Publisher
from schemas.sanction import Sanction

RULES = default_policy().extraction
DAYS = RULES.new_publisher_days


@pytest.fixture(scope="session")
def standing(make):
    def standing(*, verified_days=1000.0, known=True, **sanction):
        verified_at = None if verified_days is None else make.now - timedelta(days=verified_days)
        publisher = Publisher(publisher_id="p", kind="person", verified_at=verified_at)
        ordered = Sanction(
            **{
                "sanction_id": "s",
                "publisher_id": "p",
                "level": "warn",
                "begins_at": make.now - timedelta(days=400),
                "points": 1.0,
                "because": ("d",),
                "policy": default_policy().ref,
            }
            | sanction
        )
        found = Known(publisher if known else None, sanctions=(ordered,) if sanction else ())
        return standing_of(found, RULES, make.now)

    return standing


@pytest.mark.parametrize(
    ("days", "new"), [(0.0, True), (DAYS - 0.01, True), (DAYS, False), (1000.0, False), (None, True)]
)
def test_a_publisher_is_new_for_some_days_after_its_verification(standing, days, new):
    assert standing(verified_days=days) == (("new",) if new else ())


def test_one_that_is_not_in_the_registry_is_new(standing):
    assert standing(known=False) == ("new",)


def test_a_sanction_gives_reason_while_it_lasts_and_for_some_days_after(make, standing):
    def until(days):
        return standing(level="limit", until=make.now + timedelta(days=days))

    assert until(5) == ("sanctioned",)
    assert until(-DAYS + 0.01) == ("sanctioned",)
    assert until(-DAYS) == ()
    assert standing(level="warn", until=None) == ("sanctioned",)


def test_one_that_was_lifted_or_has_not_begun_gives_none(make, standing):
    assert standing(level="limit", until=make.now + timedelta(days=5), lifted_by="ruling") == ()
    assert standing(level="limit", begins_at=make.now + timedelta(days=1), until=make.now + timedelta(days=5)) == ()
