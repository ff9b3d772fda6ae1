"""From what is sent to the row, without a broker: one digest a person, and which time of verification is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from agents.identity.digests import Digester, KeyFile, rotate
from agents.identity.enrolment import Enrolment, answered, holds, pending, read, row
from agents.identity.verifier import VerifyAnswer
from schemas.message import Refused

NUMBER, MOBILE = "11010519491231002X", "+86 138 0013 8007"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def digester(tmp_path):
    rotate(tmp_path / "keys.json", "2026-01")
    return Digester(KeyFile(tmp_path / "keys.json"))


def given(**changes):
    return read(json.dumps({"kind": "person", "numbers": {"id_number": NUMBER}} | changes).encode())


def test_what_is_sent_shows_in_no_repr():
    assert repr(given(name="李明")) == "Enrolment(…)"


@pytest.mark.parametrize(
    "spelling", [NUMBER.lower(), "１１０１０５１９４９１２３１００２Ｘ", "110105–19491231–002X", f" {NUMBER} "]
)
def test_a_number_has_one_digest_however_it_is_written(digester, spelling):
    written = given(numbers={"id_number": spelling})
    assert row("p-1", written, digester, NOW).numbers == row("p-1", given(), digester, NOW).numbers


def test_without_keys_a_row_says_only_the_form():
    (number,) = row("p-1", given(), None, NOW).numbers
    assert (number.form, number.digest, number.key_id) == ("valid", None, None)


@pytest.mark.parametrize("publisher_id", ["", "p" * 257])
def test_an_id_has_its_length(publisher_id):
    with pytest.raises(Refused, match="publisher_id"):
        row(publisher_id, given(), None, NOW)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (NUMBER, True),
        (f"user-{NUMBER.lower()}", True),
        ("110105 19491231 002x", True),
        ("case 9123 1002 X", True),
        ("13800138007", True),
        ("ab" * 32, False),
        ("2026-01", False),
        ("", False),
    ],
)
def test_a_number_is_recognised_in_other_fields(text, there):
    assert holds(["other", text], {"id_number": NUMBER, "mobile": MOBILE}) == there


VERIFIED = VerifyAnswer(state="verified", reference="case 1", valid_until=NOW + timedelta(days=365))


def verified(digester, **changes):
    return answered(row("p-1", given(**changes), digester, NOW), VERIFIED, "v", {}, NOW)


def test_who_is_refused_later_is_not_verified_any_more(digester):
    waits = pending(row("p-1", given(), digester, NOW), verified(digester), NOW)
    refused = answered(waits, VerifyAnswer(state="refused"), "v", {}, NOW)
    assert (refused.real_name, refused.verified_at, refused.verified_until) == ("unverified", None, None)


def test_while_the_verifier_is_down_the_time_of_verification_is_kept(digester):
    waits = pending(row("p-1", given(), digester, NOW), verified(digester), NOW + timedelta(days=1))
    assert (waits.real_name, waits.verified_at, waits.verified_until) == ("pending", NOW, VERIFIED.valid_until)
    again = pending(row("p-1", given(), digester, NOW), waits, NOW + timedelta(days=2))
    assert again.verified_at == NOW


def test_also_with_more_numbers_than_before_and_after_a_rotation(digester, tmp_path):
    before = verified(digester)
    rotate(tmp_path / "keys.json", "2026-02")
    waits = pending(row("p-1", given(numbers={"id_number": NUMBER, "mobile": MOBILE}), digester, NOW), before, NOW)
    assert waits.verified_at == NOW


@pytest.mark.parametrize("real_name", ["unverified", "revoked", "expired"])
def test_not_of_one_who_was_refused_or_revoked(digester, real_name):
    former = replace(verified(digester), real_name=real_name)
    assert pending(row("p-1", given(), digester, NOW), former, NOW).verified_at is None


def test_not_of_one_who_was_never_registered_or_whose_time_has_run_out_or_who_is_another(digester):
    unverified, former = row("p-1", given(), digester, NOW), verified(digester)
    assert pending(unverified, None, NOW).verified_at is None
    assert pending(unverified, former, VERIFIED.valid_until).verified_at is None
    assert pending(unverified, replace(former, kind="organisation"), NOW).verified_at is None
    other = row("p-1", given(numbers={"mobile": MOBILE}), digester, NOW)
    assert pending(other, former, NOW).verified_at is None


def test_an_enrolment_is_made_of_known_fields_only():
    assert Enrolment.__struct_fields__ == ("kind", "numbers", "name", "agreement", "consent", "devices")
