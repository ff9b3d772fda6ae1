"""Asking a verifier over HTTP: batches, cache, tries, breaker, and that nothing it says or is told gets into texts."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import UTC, datetime

import pytest

from agents.identity.breaker import Breaker
from agents.identity.verifier import TRIES, HttpVerifier, VerifierDown, VerifyAnswer, VerifyRequest, ask, verifier_of
from streams.settings import SettingsError, load

NUMBER = "11010519491231002X"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def client(verifier, clock):
    made = []

    def make(**options):
        options = {"clock": clock, "sleep": clock.sleep, "timeout_s": 0.3} | options
        made.append(HttpVerifier(verifier.url, **options))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def request(publisher_id="p-1", number=NUMBER, name=""):
    return VerifyRequest(publisher_id, "person", {"id_number": number}, name)


async def down(client, *requests):
    with pytest.raises(VerifierDown) as caught:
        await client.verify(requests or [request()])
    return caught.value


async def test_who_is_asked_answers_in_order(verifier, client):
    verifier.extra["p-2"] = {"valid_until": "2027-01-01T00:00:00Z"}
    answers = await client(token="secret").verify([request(), request("refuse-1"), request("p-2", name="李明")])
    assert answers == [
        VerifyAnswer(state="verified", reference="case p-1"),
        VerifyAnswer(state="refused", reference="case refuse-1"),
        VerifyAnswer(state="verified", reference="case p-2", valid_until=datetime(2027, 1, 1, tzinfo=UTC)),
    ]
    assert verifier.asked == [
        {
            "requests": [
                {"publisher_id": "p-1", "kind": "person", "numbers": {"id_number": NUMBER}, "name": ""},
                {"publisher_id": "refuse-1", "kind": "person", "numbers": {"id_number": NUMBER}, "name": ""},
                {"publisher_id": "p-2", "kind": "person", "numbers": {"id_number": NUMBER}, "name": "李明"},
            ]
        }
    ]
    assert verifier.headers[0]["Authorization"] == "Bearer secret"


def test_a_request_shows_neither_numbers_nor_name():
    shown = repr(VerifyRequest("p-1", "person", {"id_number": NUMBER}, "李明"))
    assert shown == "VerifyRequest(publisher_id='p-1', kind='person')"


async def test_those_who_ask_at_the_same_time_share_a_request(verifier, client):
    one = client()
    await asyncio.gather(*(one.verify([request(f"p-{number}")]) for number in range(20)))
    assert [len(body["requests"]) for body in verifier.asked] == [20]


async def test_a_hundred_go_without_waiting_for_more(verifier, client):
    one = client(gather_s=3600.0)
    pending = asyncio.ensure_future(one.verify([request(f"p-{number}") for number in range(250)]))
    while len(verifier.asked) < 2:
        await asyncio.sleep(0.005)
    assert [len(body["requests"]) for body in verifier.asked] == [100, 100]
    assert not pending.done()
    pending.cancel()


async def test_an_answer_is_kept_for_its_time_and_no_longer(verifier, client, clock):
    one = client(cached_s=60.0)
    for _ in range(3):
        await one.verify([request()])
    assert len(verifier.asked) == 1
    await one.verify([request(number="another")])
    await one.verify([request("another")])
    assert len(verifier.asked) == 3
    clock.now += 60.0
    await one.verify([request()])
    assert len(verifier.asked) == 4


async def test_of_answers_only_so_many_are_kept_and_without_numbers(verifier, client):
    one = client(cached=2)
    for name in ("p-1", "p-2", "p-1", "p-3"):  # p-1 was used last before p-3 came
        await one.verify([request(name)])
    assert len(verifier.asked) == 3
    await one.verify([request("p-1")])
    assert len(verifier.asked) == 3
    await one.verify([request("p-2")])
    assert len(verifier.asked) == 4
    assert NUMBER not in repr(vars(one._cache))


@pytest.mark.parametrize("fault", ["500", "503", "429", "drop", "slow", "malformed", "unknown state", "wrong count"])
async def test_a_fault_that_passes_is_tried_again_after_a_while(verifier, client, clock, fault):
    verifier.faults.extend([fault] * (TRIES - 1))
    assert (await client().verify([request()]))[0].state == "verified"
    assert len(verifier.asked) == TRIES
    assert [0 <= seconds <= limit for seconds, limit in zip(clock.slept, (0.2, 0.4), strict=True)] == [True, True]


@pytest.mark.parametrize("fault", ["500", "drop", "slow", "malformed", "unknown state", "wrong count"])
async def test_a_fault_that_stays_is_an_error_that_tells_nothing_of_the_question(verifier, client, fault, caplog):
    caplog.set_level(logging.DEBUG)
    verifier.always = fault
    error = await down(client())
    assert len(verifier.asked) == TRIES
    told = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
    assert NUMBER not in told
    assert NUMBER[:8] not in told
    while error:  # nor is it kept behind the error
        assert NUMBER not in repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(("fault", "said"), [("400", "400"), ("401", "401"), ("redirect", "307"), ("large", "large")])
async def test_what_will_not_pass_is_not_tried_again_nor_followed(verifier, client, fault, said):
    verifier.always = fault
    assert said in str(await down(client()))
    assert len(verifier.asked) == 1


async def test_a_verifier_that_is_not_there_is_down(client, clock):
    one = HttpVerifier("http://127.0.0.1:9/", clock=clock, sleep=clock.sleep)
    assert "cannot be reached" in str(await down(one))
    await one.close()


async def test_after_failures_in_a_row_nobody_asks_until_one_has_tried(verifier, client, clock):
    one = client(breaker=Breaker(failures=TRIES, open_s=30.0, clock=clock), cached=0)
    verifier.always = "500"
    await down(one)
    assert len(verifier.asked) == TRIES
    for _ in range(5):
        assert "too often" in str(await down(one))
    clock.now += 29.9
    await down(one)
    assert len(verifier.asked) == TRIES  # open: not asked
    clock.now += 0.1
    await down(one)
    assert len(verifier.asked) == TRIES + 1  # half open: asked once, and open again
    clock.now += 30.0
    verifier.always = None
    assert (await one.verify([request()]))[0].state == "verified"
    await one.verify([request()])
    assert len(verifier.asked) == TRIES + 3  # closed


def test_a_half_open_breaker_lets_one_through_at_a_time(clock):
    breaker = Breaker(failures=1, open_s=10.0, clock=clock)
    assert breaker.lets()
    breaker.note(ok=False)
    assert (breaker.lets(), breaker.is_open) == (False, True)
    clock.now += 10.0
    assert [breaker.lets() for _ in range(3)] == [True, False, False]
    breaker.note(ok=True)
    assert [breaker.lets() for _ in range(3)] == [True, True, True]


def test_failures_that_do_not_follow_one_another_open_nothing(clock):
    breaker = Breaker(failures=2, clock=clock)
    for ok in (False, True, False, True, False):
        breaker.note(ok=ok)
    assert breaker.lets()


async def test_closing_ends_who_still_waits(verifier, clock):
    one = HttpVerifier(verifier.url, timeout_s=60.0, clock=clock)
    verifier.always = "slow"
    pending = asyncio.ensure_future(one.verify([request()]))
    while not verifier.asked:
        await asyncio.sleep(0.005)
    await one.close()
    with pytest.raises(asyncio.CancelledError):
        await pending


class Own:
    """A platform's own verifier, which says too much when it fails."""

    def __init__(self, settings=None):
        self.settings = settings

    async def verify(self, requests):
        raise ValueError(f"no such person: {requests[0].numbers}")

    async def close(self):
        pass


async def test_of_an_own_verifiers_error_only_the_type_is_told():
    with pytest.raises(VerifierDown) as caught:
        await ask(Own(), [request()])
    assert str(caught.value) == "it failed with ValueError"
    assert NUMBER not in "".join(traceback.format_exception(caught.value))


async def test_an_own_verifier_that_answers_too_little_is_down():
    class Silent(Own):
        async def verify(self, requests):
            return []

    with pytest.raises(VerifierDown):
        await ask(Silent(), [request()])


def test_the_settings_name_a_verifier(monkeypatch):
    assert verifier_of(load()) is None
    assert isinstance(verifier_of(load(verifier_url="https://verifier.example/v1")), HttpVerifier)
    with pytest.raises(SettingsError, match="nowhere not installed"):
        verifier_of(load(verifier="nowhere"))
    with pytest.raises(SettingsError, match="name one of them"):
        verifier_of(load(verifier="own", verifier_url="https://verifier.example/v1"))
    monkeypatch.setattr(
        "agents.identity.verifier.installed",
        lambda group, names: {names[0]: Own} if group == "veristream.verifiers" else {},
    )
    settings = load(verifier="own")
    assert verifier_of(settings).settings is settings


def test_a_secret_that_is_of_the_wrong_type_is_not_shown(tmp_path):
    (tmp_path / "veristream.toml").write_text("registrar_token = 123456789\n")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "123456789" not in str(caught.value)
