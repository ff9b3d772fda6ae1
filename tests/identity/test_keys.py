"""Keys and digests: who may read the file, and that one person is recognised before, across and after a rotation."""

from __future__ import annotations

import json
import stat
from datetime import UTC, date, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from agents.identity.digests import Digester, KeyFile, KeyFileError, rotate
from agents.identity.enrol import facts
from agents.identity.standing import Standings, marks
from schemas.decision import PolicyRef
from schemas.message import encode
from schemas.registry import Publisher
from schemas.sanction import Sanction, Standing
from schemas.topics import ENTITIES, PUBLISHERS, STANDINGS
from streams.metrics import Metrics
from streams.views import View

NUMBER, MOBILE = "11010519491231002X", "+86 138 0013 8007"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    rotate(tmp_path / "keys" / "keys.json", "old")
    return tmp_path / "keys" / "keys.json"


def row(publisher_id, path, **numbers):
    known = facts(numbers or {"id_number": NUMBER}, date(2026, 3, 1), Digester(KeyFile(path)))
    return Publisher(publisher_id=publisher_id, kind="person", numbers=known.numbers, born=known.born)


def test_only_its_owner_may_read_a_new_key_file_and_a_rotated_one(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rotate(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o777])
def test_a_key_file_that_others_may_read_or_write_is_not_used(path, mode):
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        KeyFile(path).keys()
    with pytest.raises(KeyFileError):
        rotate(path, "new")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"a": 1}', '{"a": "zz"}', '{"a": "ab"}', '{"a": "' + "0" * 62 + '"}']
)
def test_a_key_file_that_holds_no_keys_is_refused_without_showing_it(path, content):
    path.write_text(content)
    with pytest.raises(KeyFileError) as caught:
        KeyFile(path).keys()
    assert "zz" not in str(caught.value)


def test_a_name_is_given_once(path):
    with pytest.raises(KeyFileError, match="already"):
        rotate(path, "old")


def test_a_digest_is_nothing_without_the_key(path, tmp_path):
    rotate(tmp_path / "other.json", "old")
    assert Digester(KeyFile(path)).new("id_number", NUMBER) != Digester(KeyFile(tmp_path / "other.json")).new(
        "id_number", NUMBER
    )


@pytest.mark.parametrize(
    ("kind", "spellings"),
    [
        ("id_number", [NUMBER, NUMBER.lower(), "110105 19491231 002X", "110105-19491231-002x"]),
        ("mobile", [MOBILE, "13800138007", "138 0013 8007", "+8613800138007", "0086 13800138007"]),
        ("permit", ["H1234567890", "h1234567890"]),
    ],
)
def test_a_number_has_one_digest_however_it_is_written(path, kind, spellings):
    assert len({Digester(KeyFile(path)).new(kind, spelling) for spelling in spellings}) == 1


def test_the_same_digits_of_another_kind_are_another_number(path):
    digester = Digester(KeyFile(path))
    assert digester.new("passport", "12345678").hex != digester.new("permit", "12345678").hex


def test_after_a_rotation_rows_carry_a_digest_under_each_key(path):
    before = row("a", path)
    rotate(path, "new")
    after = row("b", path)
    assert [number.key_id for number in before.numbers] == ["old"]
    assert [number.key_id for number in after.numbers] == ["old", "new"]
    assert set(marks(before)) < set(marks(after))


def test_a_suspended_person_is_recognised_across_rotations(path):
    """Registered before the rotation, again after it, and once the old key is gone."""
    view = {topic.name: View(topic, Metrics(CollectorRegistry())) for topic in (PUBLISHERS, STANDINGS, ENTITIES)}
    standings = Standings(*view.values())

    def put(topic, row):
        view[topic.name].apply(getattr(row, topic.key).encode(), encode(row))

    def suspend(publisher_id):
        sanction = Sanction(
            sanction_id=f"s-{publisher_id}", publisher_id=publisher_id, level="suspend", begins_at=NOW - timedelta(1),
            points=12.0, policy=PolicyRef(name="default", version=1),
        )  # fmt: skip
        put(STANDINGS, Standing(publisher_id=publisher_id, sanctions=(sanction,)))

    put(PUBLISHERS, row("first", path))
    suspend("first")
    rotate(path, "new")
    second = row("second", path)
    put(PUBLISHERS, second)
    assert [sanction.publisher_id for sanction in standings.relatives(second)] == ["first"]
    suspend("second")
    keys = json.loads(path.read_text())
    path.write_text(json.dumps({"new": keys["new"]}))
    third = row("third", path)
    assert [number.key_id for number in third.numbers] == ["new"]
    assert [sanction.publisher_id for sanction in standings.relatives(third)] == ["second"]
    other = row("other", path, id_number="110105199003070038", mobile="+86 139 0013 9007")
    assert standings.relatives(other) == ()


def test_a_mobile_alone_is_recognised_too(path):
    both, one = row("a", path, id_number=NUMBER, mobile=MOBILE), row("b", path, mobile="13800138007")
    assert set(marks(one)) < set(marks(both))
