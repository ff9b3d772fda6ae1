"""The entry over HTTP: what is taken, what is refused and how, and what is kept from whom."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from agents.complaints import entry as entry_module
from agents.complaints.digest import digests
from agents.complaints.limits import Buckets, network
from agents.complaints.receipts import Receipts, new_receipt, sha256_of
from schemas.complaint import Complaint, ComplaintResult
from schemas.message import decode, encode
from streams.settings import SettingsError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_complaint_is_acknowledged_and_its_receipt_lies_with_the_complainant_alone(serving):
    served = await serving()
    answer = await served.post(device="phone-1", attachments=[{"uri": "https://x/y", "sha256": "ab" * 32, "bytes": 9}])
    body = await answer.json()
    assert (answer.status, set(body)) == (202, {"receipt", "complaint_id", "due_at"})
    (sent,) = served.sent
    assert decode(Complaint, encode(sent)) == sent
    assert (sent.kind, sent.publisher_id, sent.content_id, sent.text) == ("illegal", "p-1", "c-1", "看这里")
    assert sent.receipt_sha256 == hashlib.sha256(body["receipt"].encode()).hexdigest()
    assert body["due_at"] == (sent.received_at + timedelta(hours=24)).isoformat()
    wire = encode(sent).decode()
    assert not [secret for secret in ("alice", "phone-1", body["receipt"]) if secret in wire]


async def test_one_account_is_recognised_and_no_account_is_a_device(serving):
    served = await serving()
    for fields in ({}, {}, {"complainant": "bob"}, {"device": "alice"}):
        await served.post(**fields)
    first, second, other, device = served.sent
    assert first.complainant == second.complainant != other.complainant
    assert first.complaint_id != second.complaint_id and first.receipt_sha256 != second.receipt_sha256
    assert device.device not in (None, first.complainant)


async def test_who_has_the_receipt_sees_where_the_complaint_stands(serving):
    served = await serving()
    receipt = (await (await served.post()).json())["receipt"]
    answer = await served.client.get(f"/complaints/{receipt}")
    at_once = await answer.json()
    assert (answer.status, at_once["state"], at_once["kind"]) == (200, "received", "illegal")
    assert set(at_once) == {"kind", "state", "text", "due_at", "updated_at"}
    sent = served.sent[0]
    served.receipts.apply(result(sent, "upheld"))
    after = await (await served.client.get(f"/complaints/{receipt}")).json()
    assert (after["state"], after["updated_at"]) == ("upheld", NOW.isoformat())


def result(sent, state):
    return ComplaintResult(
        complaint_id=sent.complaint_id, receipt_sha256=sent.receipt_sha256, publisher_id="p-1", content_id="c-1",
        kind=sent.kind, state=state, text="x", due_at=NOW, at=NOW,
    )  # fmt: skip


async def test_whatever_is_no_receipt_gets_the_same_answer(serving):
    served = await serving()
    await served.post()
    sent = served.sent[0]
    asked = [new_receipt(), sent.receipt_sha256, sent.complaint_id, "x", "%00", "a" * 3000, "%E5%8F%B7"]
    answers = [await served.client.get(f"/complaints/{name}") for name in asked]
    told = {(a.status, await a.text(), tuple(sorted(n for n in a.headers if n != "Date"))) for a in answers}
    assert len(told) == 1
    assert answers[0].status == 404


def test_a_result_read_before_is_not_replaced_by_what_was_given_here(serving):
    receipts, receipt = Receipts(), new_receipt()
    sent = Complaint(
        complaint_id="k", receipt_sha256=sha256_of(receipt), kind="rumor", publisher_id="p", content_id="c", text="x",
        complainant="u", received_at=NOW,
    )  # fmt: skip
    receipts.apply(result(sent, "under_review"))
    receipts.given(result(sent, "received"))
    assert receipts.find(receipt).state == "under_review"


def test_receipts_known_are_bounded(monkeypatch):
    monkeypatch.setattr("agents.complaints.receipts.MOST_RECEIPTS", 2)
    receipts, names = Receipts(), [new_receipt() for _ in range(3)]
    base = Complaint(
        complaint_id="k", receipt_sha256="ab" * 32, kind="rumor", publisher_id="p", content_id="c", text="x",
        complainant="u", received_at=NOW,
    )  # fmt: skip
    for name in names:
        receipts.apply(result(replace(base, receipt_sha256=sha256_of(name)), "received"))
    assert [bool(receipts.find(name)) for name in names] == [False, True, True]


# Errors


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "nonsense"}, "kind"),
        ({"kind": None}, "kind"),
        ({"publisher_id": None}, "publisher_id"),
        ({"content_id": ""}, "content_id"),
        ({"complainant": None}, "complainant"),
        ({"complainant": "x" * 257}, "complainant"),
        ({"text": ""}, "text"),
        ({"text": "字" * 5001}, "text"),
        ({"text": 7}, "text"),
        ({"attachments": [{"uri": "javascript:x", "sha256": "ab" * 32, "bytes": 1}]}, "attachments[0].uri"),
        ({"attachments": [{"uri": "s3://a/b", "sha256": "ab" * 32, "bytes": 1}] * 11}, "attachments"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_sent(serving, changes, field):
    served = await serving()
    answer = await served.post(**changes)
    body = await answer.json()
    assert answer.status == 400
    assert set(body) == {"field", "reason"}
    assert body["field"] == field
    assert served.sent == []


async def test_the_longest_text_is_taken(serving):
    assert (await (await serving()).post(text="字" * 5000)).status == 202


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 30_000])
async def test_what_is_no_json_object_is_refused(serving, data):
    served = await serving()
    answer = await served.client.post("/complaints", data=data, headers={"Content-Type": "application/json"})
    assert (answer.status, (await answer.json())["field"]) == (400, "")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_not_read(serving, chunked):
    async def body():
        for _ in range(65):
            yield b"x" * 1024

    served = await serving()
    data = body() if chunked else b"x" * (64 * 1024 + 1)
    answer = await served.client.post("/complaints", data=data, headers={"Content-Type": "application/json"})
    assert answer.status == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", None])
async def test_another_kind_of_body_is_not_taken(serving, kind):
    served = await serving()
    headers = {"Content-Type": kind} if kind else {}
    assert (await served.client.post("/complaints", data=b"{}", headers=headers)).status == 415


async def test_a_wrong_method_or_path_is_answered_as_every_error_is(serving):
    served = await serving()
    answer = await served.client.put("/complaints")
    assert (answer.status, await answer.json()) == (405, {"field": "", "reason": "Method Not Allowed"})
    assert "POST" in answer.headers["Allow"]
    assert (await served.client.get("/nothing")).status == 404


async def test_a_complainant_who_sends_too_many_is_told_when_to_come_again(serving):
    served = await serving(complaints_rate=4)
    statuses = [(await served.post()).status for _ in range(3)]
    assert statuses == [202, 202, 429]
    refused = await served.post()
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    assert (await served.post(complainant="bob")).status == 202
    assert len(served.sent) == 3


async def test_an_address_that_sends_too_many_is_told_before_its_body_is_read(serving):
    served = await serving(complaints_peer_rate=2)
    assert (await served.post()).status == 202
    answer = await served.client.post("/complaints", data=b"no json")
    assert (answer.status, "Retry-After" in answer.headers) == (429, True)


async def test_a_broker_that_does_not_answer_gives_no_receipt(serving):
    served = await serving()

    async def never():
        await asyncio.Event().wait()

    async def refuses():
        raise ConnectionError("gone")

    for trouble in (never, refuses):
        served.trouble = trouble
        answer = await served.post()
        assert (answer.status, "receipt" in await answer.json()) == (503, False)
        assert int(answer.headers["Retry-After"]) > 0
    served.trouble = None
    assert (await served.post()).status == 202
    assert len(served.sent) == 1


async def test_requests_do_not_pile_up_while_the_broker_is_away(serving, monkeypatch):
    monkeypatch.setattr(entry_module, "MOST_WAITING", 3)
    served = await serving(complaints_ack_s=1.0)
    came = asyncio.Semaphore(0)

    async def never():
        came.release()
        await asyncio.Event().wait()

    served.trouble = never
    waiting = [asyncio.ensure_future(served.post()) for _ in range(3)]
    for _ in waiting:
        await came.acquire()
    begun = asyncio.get_running_loop().time()
    assert (await served.post()).status == 503
    assert asyncio.get_running_loop().time() - begun < 0.5
    assert [(await each).status for each in waiting] == [503] * 3


async def test_a_captcha_decides_who_is_admitted(serving):
    async def admit(request):
        return None if request.headers.get("X-Captcha") == "solved" else "solve the captcha"

    served = await serving(admit=admit)
    refused = await served.post()
    assert (refused.status, await refused.json()) == (403, {"field": "", "reason": "solve the captcha"})
    taken = await served.client.post(
        "/complaints", data=json.dumps({"kind": "rumor", "publisher_id": "p", "content_id": "c", "text": "x",
        "complainant": "u"}), headers={"Content-Type": "application/json", "X-Captcha": "solved"},
    )  # fmt: skip
    assert (taken.status, len(served.sent)) == (202, 1)


async def test_an_error_of_ours_says_nothing_of_itself(serving, monkeypatch):
    served = await serving()
    monkeypatch.setattr(entry_module, "new_receipt", lambda: 1 / 0)
    answer = await served.post()
    assert (answer.status, await answer.json()) == (500, {"field": "", "reason": "Internal Server Error"})


async def test_nothing_of_the_complainant_is_logged(serving, caplog):
    caplog.set_level(logging.DEBUG)
    served = await serving()

    async def refuses():
        raise ConnectionError("gone")

    await served.post(complainant="alice-the-secret", device="the-phone")
    served.trouble = refuses
    await served.post(complainant="alice-the-secret", device="the-phone")
    await served.post(complainant="alice-the-secret", kind="wrong")
    assert "not acknowledged" in caplog.text
    assert not [secret for secret in ("alice-the-secret", "the-phone") if secret in caplog.text]


# Headers, page, probes


async def test_headers_keep_answers_out_of_caches_and_frames(serving):
    served = await serving()
    for answer in (await served.client.get("/"), await served.post(), await served.client.get("/nothing")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_only_listed_origins_may_read_answers(serving):
    served = await serving(complaints_origins="https://a.example,https://b.example")
    for origin, allowed in (("https://b.example", "https://b.example"), ("https://evil.example", None)):
        answer = await served.client.options("/complaints", headers={"Origin": origin})
        assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (204, allowed)
        assert answer.headers["Vary"] == "Origin"


async def test_the_page_takes_a_complaint_without_a_script(serving, filing):
    served = await serving()
    page = await (await served.client.get("/?publisher_id=p-1&content_id=%22%3E%3Cscript%3E")).text()
    assert "<script" not in page and "&quot;&gt;&lt;script&gt;" in page
    for name in filing():
        assert f'name="{name}"' in page
    answer = await served.client.post("/complaints", data=filing(device=""), headers={"Accept": "text/html"})
    text = await answer.text()
    assert (answer.status, answer.content_type) == (202, "text/html")
    receipt = text.split("<code>")[1].split("</code>")[0]
    assert sha256_of(receipt) == served.sent[0].receipt_sha256
    wrong = await served.client.post("/complaints", data=filing(kind="wrong"))
    assert (wrong.status, (await wrong.json())["field"]) == (400, "kind")


async def test_probes_and_metrics(serving):
    served = await serving()
    await served.post()
    await served.post(kind="wrong")
    assert (await served.client.get("/livez")).status == 200
    assert (await served.client.get("/readyz")).status == 200
    served.problems = ["results are still being read"]
    answer = await served.client.get("/readyz")
    assert (answer.status, (await answer.json())["problems"]) == (503, ["results are still being read"])
    metrics = await (await served.client.get("/metrics")).text()
    assert 'veristream_complaint_requests_total{status="202"} 1.0' in metrics
    assert 'veristream_complaint_requests_total{status="400"} 1.0' in metrics


# Limits and digests


def test_a_bucket_fills_evenly_and_never_overflows():
    now = [0.0]
    buckets = Buckets(3600, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(1801)] == [0] * 1800 + [1]
    now[0] = 1.0
    assert [buckets.take("a"), buckets.take("a")] == [0, 1]
    now[0] = 1e9
    assert [buckets.take("a") for _ in range(1801)].count(0) == 1800
    slow = Buckets(1, clock=lambda: now[0])
    assert [slow.take("a"), slow.take("a"), slow.take("b")] == [0, 3600, 0]
    assert Buckets(0).take("a") == 0


def test_buckets_are_bounded(monkeypatch):
    monkeypatch.setattr("agents.complaints.limits.MOST_BUCKETS", 2)
    buckets = Buckets(1)
    for name in "abc":
        assert buckets.take(name) == 0
    assert buckets.take("c") > 0
    assert buckets.take("a") == 0


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("unix", "unix"),
        (None, ""),
    ],
)
def test_an_address_stands_for_one_subscriber(peer, name):
    assert network(peer).replace("::ffff:c000:201", "::ffff:192.0.2.1") == name


def test_digests_are_made_under_the_newest_key_and_differ_between_processes_without_one(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"old": "11" * 32, "new": "22" * 32}))
    first = digests(file)
    assert first("complainant", "a") == digests(file)("complainant", "a") != first("device", "a")
    file.write_text(json.dumps({"new": "22" * 32}))
    assert digests(file)("complainant", "a") == first("complainant", "a")
    assert digests(None)("complainant", "a") != digests(None)("complainant", "a")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"a": "secretkey"}', '{"a": "abcd"}', '{"a": 7}'])
def test_a_key_file_that_cannot_be_used_is_named_and_not_shown(tmp_path, text):
    file = tmp_path / "keys.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=r"identity_keys: .*keys\.json") as error:
        digests(file)
    assert "secretkey" not in str(error.value) and "abcd" not in str(error.value)
