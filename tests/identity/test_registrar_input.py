"""What the registrar refuses: with the field at fault, and never with a value of what was sent."""

from __future__ import annotations

import aiohttp
import pytest
from running_registrar import NUMBER, PERSON, UNBORN


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (PERSON | {"numbers": {"id_number": "110105194912310021"}}, "numbers.id_number", "fails the check of GB 11643"),
        (
            PERSON | {"numbers": {"id_number": UNBORN}},
            "numbers.id_number",
            "birth date lies in the future",
        ),
        (PERSON | {"numbers": {"mobile": "13800"}}, "numbers.mobile", "no number of that country"),
        (PERSON | {"numbers": {"id_number": 110105194912}}, "numbers", "Expected `str`, got `int`"),
        (PERSON | {"numbers": {"110105194912": "x"}}, "numbers", "a word or a field that is not known"),
        (PERSON | {"110105194912": "x"}, "", "a word or a field that is not known"),
        (PERSON | {"x - at `$.110105194912`": "x"}, "", "a word or a field that is not known"),
        (PERSON | {"kind": "110105194912"}, "kind", "a word or a field that is not known"),
        ({"kind": "person"}, "numbers", "missing required field"),
        (PERSON | {"numbers": {"id_number": "1" * 41}}, "numbers", "length <= 40"),
        (PERSON | {"devices": ["ab", NUMBER]}, "devices", "it holds an identity number"),
        (
            PERSON | {"agreement": {"version": NUMBER[-9:], "accepted_at": "2026-02-01T00:00:00Z"}},
            "agreement.version",
            "it holds an identity number",
        ),
        (PERSON | {"consent": {"reference": "c"}}, "consent.given_at", "missing required field"),
    ],
)
async def test_what_is_wrong_is_said_with_its_field_and_without_its_value(start, body, field, reason):
    one = await start(verified=False)
    status, said = await one.put("p-1", body)
    assert (status, said["field"]) == (400, field)
    assert reason in said["reason"]
    assert "110105" not in str(said)
    assert await one.rows() == []


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000, b"11010519491231002", b'{"kind": "person"'])
async def test_what_is_not_json_is_refused(start, data):
    one = await start(verified=False)
    status, said = await one.put("p-1", data=data)
    assert status == 400
    assert "110105" not in str(said)


async def test_an_id_that_is_a_number_is_refused(start):
    one = await start(verified=False)
    status, said = await one.put(NUMBER)
    assert (status, said["field"]) == (400, "publisher_id")
    status, said = await one.put("13800138000", PERSON | {"numbers": {"mobile": "+86 138 0013 8000"}})
    assert (status, said["field"]) == (400, "publisher_id")


async def test_a_verifier_that_answers_with_the_number_does_not_bring_it_in(start, verifier):
    verifier.extra["p-1"] = {"reference": f"ref-{NUMBER}"}
    one = await start()
    assert (await one.put("p-1"))[0] == 200
    assert (await one.rows())[0].verification == ""


async def test_a_body_that_is_too_large_is_not_read(start):
    one = await start(verified=False)
    async with aiohttp.ClientSession() as session, session.put(f"{one.base}/publishers/p", data=b" " * 70_000) as got:
        assert got.status == 413
