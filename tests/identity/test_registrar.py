"""The registrar beside a real broker and a real verifier: what it answers, and which rows come of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from running_registrar import NUMBER, OTHER, PERSON

from agents.identity.digests import Digester, KeyFile
from agents.identity.registrar import Registrar
from schemas.registry import Publisher
from schemas.topics import PUBLISHERS
from streams.client import Client
from streams.settings import SettingsError


async def test_who_is_verified_has_a_row_that_says_so(start, verifier, keys):
    verifier.extra["p-1"] = {"valid_until": "2027-01-01T00:00:00Z"}
    one = await start(identity_keys=keys)
    body = PERSON | {
        "name": "李明",
        "agreement": {"version": "2026-01", "accepted_at": "2026-02-01T00:00:00Z"},
        "devices": ["d1"],
    }
    assert await one.put("p-1", body) == (200, {"real_name": "verified"})
    (row,) = await one.rows()
    assert (row.real_name, row.verified_at, row.verified_until) == (
        "verified",
        one.clock.now,
        datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert (row.verifier, row.verification, row.born, row.devices) == ("127.0.0.1", "case p-1", "1949-12", ("d1",))
    digest = Digester(KeyFile(keys)).new("id_number", NUMBER)
    (number,) = row.numbers
    assert (number.kind, number.form, number.digest, number.key_id) == ("id_number", "valid", digest.hex, "2026-01")
    assert row.agreement.version == "2026-01"


async def test_who_is_refused_is_unverified(start):
    one = await start()
    assert await one.put("refuse-1") == (200, {"real_name": "unverified"})
    (row,) = await one.rows()
    assert (row.real_name, row.verified_at, row.verification) == ("unverified", None, "case refuse-1")


async def test_without_a_verifier_nobody_is_asked(start, verifier):
    one = await start(verified=False)
    assert await one.put("p-1") == (200, {"real_name": "unverified"})
    assert verifier.asked == []


async def test_who_waits_for_the_verifier_is_verified_once_it_answers(start, verifier):
    one = await start()
    verifier.always = "500"
    assert await one.put("p-1") == (202, {"real_name": "pending"})
    await one.again()
    assert [row.real_name for row in await one.rows()] == ["pending"]
    assert "veristream_registrations_waiting 1.0" in (await one.get("/metrics"))[1]
    verifier.always = None
    await one.again()
    first, last = await one.rows()
    assert (first.real_name, first.verified_at) == ("pending", None)
    assert (last.real_name, last.verified_at) == ("verified", one.clock.now)
    assert len(one.registrar.waiting) == 0


async def test_who_was_verified_keeps_that_time_while_the_verifier_is_down(start, verifier):
    one = await start()
    await one.put("p-1")
    before = one.clock.now
    one.clock.now += timedelta(days=3)
    verifier.always = "drop"
    body = PERSON | {"devices": ["new"]}  # another question, so that no kept answer serves it
    one.registrar._verifier._cache._answers.clear()
    assert (await one.put("p-1", body))[0] == 202
    _, row = await one.rows()
    assert (row.real_name, row.verified_at) == ("pending", before)


async def test_of_two_registrations_of_one_publisher_the_later_stands(start, verifier):
    one = await start()
    verifier.always = "500"
    await one.put("p-1")
    await one.put("p-1", PERSON | {"numbers": {"id_number": OTHER}})
    verifier.always = None
    await one.again()
    assert [row.born for row in await one.rows()] == ["1949-12", "1990-03", "1990-03"]
    assert verifier.asked[-1]["requests"][0]["numbers"] == {"id_number": OTHER}


async def test_a_row_that_somebody_else_replaced_is_left_alone(start, verifier):
    one = await start()
    verifier.always = "500"
    await one.put("p-1")
    async with Client(one.settings) as client:
        await client.send(PUBLISHERS, Publisher(publisher_id="p-1", kind="person", real_name="revoked"))
    while one.registrar._view.rows["p-1"].real_name != "revoked":
        await asyncio.sleep(0.02)
    verifier.always = None
    await one.again()  # it may be a row that is only not read yet
    assert len(one.registrar.waiting) == 1
    one.clock.now += timedelta(minutes=2)
    await one.again()
    assert len(one.registrar.waiting) == 0
    assert [row.real_name for row in await one.rows()] == ["pending", "revoked"]


async def test_one_on_whom_the_verifier_chokes_holds_up_no_other(start, verifier):
    one = await start()
    verifier.always = "500"
    await asyncio.gather(*(one.put(f"p-{number}") for number in range(8)))

    def chokes(request):
        return {"state": "perhaps"} if request["publisher_id"] == "p-3" else {}

    answer = verifier._answer
    verifier._answer = lambda request: answer(request) | chokes(request)
    verifier.always = None
    for _ in range(40):
        await one.again()
    assert list(one.registrar.waiting._entries) == ["p-3"]


async def test_only_so_many_wait_and_the_next_is_told_so(start, verifier):
    one = await start(registrar_queue=1)
    verifier.always = "500"
    assert (await one.put("p-1"))[0] == 202
    status, said = await one.put("p-2")
    assert (status, said["reason"]) == (503, "too many wait for the verifier; send it again later")
    assert (await one.put("p-1"))[0] == 202  # who waits already has a place
    assert {row.publisher_id for row in await one.rows()} == {"p-1"}


async def test_the_registry_may_lie_on_disk(start, verifier, tmp_path):
    one = await start(state_dir=tmp_path / "state")
    await one.put("p-1")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["registrar"]
    one.registrar._verifier._cache._answers.clear()
    verifier.always = "500"
    assert (await one.put("p-1"))[0] == 202
    assert [row.verified_at for row in await one.rows()] == [one.clock.now, one.clock.now]


async def test_a_token_is_asked_for_where_one_is_set(start):
    one = await start(verified=False, registrar_token="s3cret")
    assert (await one.put("p-1"))[0] == 401
    one.headers = {"Authorization": "Bearer wrong"}
    assert (await one.put("p-1"))[0] == 401
    one.headers = {"Authorization": "Bearer s3cret"}
    assert (await one.put("p-1"))[0] == 200
    assert (await one.get("/livez"))[0] == 200


async def test_it_does_not_listen_to_the_network_without_a_token(on_broker):
    for host in ("0.0.0.0", "registrar.example", "10.1.2.3"):
        with pytest.raises(SettingsError, match="registrar_token"):
            Registrar(on_broker(registrar_host=host), None)
    for host in ("127.0.0.1", "::1", "localhost"):
        Registrar(on_broker(registrar_host=host), None)


async def test_a_key_file_that_others_may_read_is_said_at_the_start_and_later(start, on_broker, keys):
    one = await start(verified=False, identity_keys=keys)
    keys.chmod(0o644)
    status, said = await one.put("p-1")
    assert (status, said["reason"]) == (503, "the keys for the digests cannot be read")
    with pytest.raises(SettingsError, match="chmod 600"):
        Registrar(on_broker(identity_keys=keys), None)


async def test_a_broker_that_does_not_acknowledge_is_said(start, monkeypatch):
    one = await start()

    async def refuse(*_):
        raise RuntimeError(NUMBER)

    monkeypatch.setattr(one.registrar._client, "send", refuse)
    assert await one.put("p-1") == (503, {"reason": "the broker did not acknowledge the row; send it again"})


async def test_a_defect_is_a_500_that_tells_its_place_and_not_its_text(start, monkeypatch, caplog):
    one = await start()

    def break_down(*_):
        raise RuntimeError(NUMBER)

    monkeypatch.setattr("agents.identity.registrar.row", break_down)
    status, _ = await one.put("p-1")
    assert status == 500
    assert "RuntimeError at " in caplog.text
    assert NUMBER not in caplog.text


async def test_what_was_done_is_counted(start, verifier):
    one = await start()
    await one.put("p-1")
    await one.put("refuse-1")
    await one.put("p-2", {})
    text = (await one.get("/metrics"))[1]
    for outcome in ("verified", "unverified", "refused"):
        assert f'veristream_registrations_total{{outcome="{outcome}"}} 1.0' in text
