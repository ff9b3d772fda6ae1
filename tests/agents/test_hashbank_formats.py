"""Hash lists of every format: what is good is read, what is wrong is named, and nothing stops what comes after it."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.review.exchange.formats import FORMATS, read, recognised, signal_type_of
from agents.review.exchange.lines import MOST_LINE, Bad
from agents.review.exchange.row import Given, Gone, Passed, Row
from agents.review.exchange.writing import WRITERS
from schemas.bank import BankFrame, HashEntry
from schemas.message import Refused, decode, encode
from schemas.signals import FramePoints, SoundPrint

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
#: Published examples of python-threatexchange (`PdqSignal.get_examples`).
PDQ = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
OTHER = "c186f9619659658c4b6916daf934496985f4259c72c39676ab9edb631c3c349c"
MD5 = "cab08b36195edb1a1231d2d09fa450e0"
SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def outcomes(text: str | bytes, form: str, **given_here):
    data = text if isinstance(text, bytes) else text.encode()
    return list(read(io.BytesIO(data), form, Given(**{"now": NOW} | given_here)))


def entries(text: str | bytes, form: str, **given_here) -> list[HashEntry]:
    found = outcomes(text, form, **given_here)
    assert all(isinstance(each, Row) for each in found), found
    return [each.entry for each in found]


def test_lines_of_type_and_signal_are_read_with_what_threatexchange_prints_after_them():
    text = (
        f"# a comment\npdq {PDQ}\nvideo_md5 {MD5.upper()}\nvideo_sha256 {SHA256}\n"
        f"pdq {OTHER} 'A partner' POSITIVE_CLASS violence,court-order\n"
        f'vpdq ["{PDQ},100,0.0", "{OTHER},61,1.5"] \'A partner\' NEGATIVE_CLASS\n'
        "url https://example.org/ 'A partner' INVESTIGATION_SEED\n"
    )
    one, two, three, four, five, url = outcomes(text, "signals", severity=None)
    assert one.entry.frames == (BankFrame(pdq=PDQ, quality=100),)
    assert two.entry.md5 == MD5
    assert three.entry.sha256 == SHA256
    assert (four.entry.source, four.entry.severity, four.entry.tags) == (
        "A partner",
        "high",
        ("violence", "court-order"),
    )
    assert [(frame.quality, frame.at_s) for frame in five.entry.frames] == [(100, 0.0), (61, 1.5)]
    assert not five.entry.active and "NEGATIVE_CLASS" in five.entry.note
    assert url == Passed(7, "url")


def test_hashes_alone_are_read_where_their_type_is_given():
    assert [entry.md5 for entry in entries(f"{MD5}\n{'0' * 32}\n", "signals", signal_type="video_md5")] == [
        MD5,
        "0" * 32,
    ]
    (bad,) = outcomes(f"{MD5}\n", "signals")
    assert bad.field == "signal" and "--signal-type" in bad.reason


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (f"pdq {PDQ[:-1]}", "signal", "64 hexadecimal digits, this has 63"),
        (f"pdq {PDQ[:-1]}g", "signal", "'g'"),
        (f"pdq {'0' * 64}", "signal", "without detail (0 of 256 bits"),
        (f"video_md5 {MD5}0", "signal", "32 hexadecimal digits, this has 33"),
        (f"video_sha256 {MD5}", "signal", "64 hexadecimal digits, this has 32"),
        (f"pqd {PDQ}", "signal_type", "'pqd' is no signal type"),
        ("vpdq []", "signal", "not empty"),
        (f'vpdq ["{PDQ},100"]', "signal", "frame 0: 2 parts"),
        (f'vpdq ["{PDQ},101,0"]', "signal", "frame 0: quality 101"),
        (f'vpdq ["{PDQ},100,nan"]', "signal", "frame 0"),
        (f'vpdq ["{PDQ},100,0.0", "{PDQ[:5]},100,1.0"]', "signal", "frame 1: a PDQ hash has 64"),
        (f"pdq {PDQ} what is this", "signal", "'what is this' after it"),
    ],
)
def test_a_bad_line_is_named_with_field_and_reason_and_its_neighbours_are_read(line, field, reason):
    first, bad, last = outcomes(f"pdq {OTHER}\n{line}\nvideo_md5 {MD5}\n", "signals")
    assert isinstance(first, Row) and isinstance(last, Row)
    assert (bad.line, bad.field) == (2, field)
    assert reason in bad.reason


def test_what_is_no_text_or_too_long_a_line_is_named_and_reading_goes_on():
    data = f"pdq {PDQ}\n".encode() + b"pdq \xff\xfe\n" + b"x" * (MOST_LINE + 9) + f"\npdq {OTHER}\n".encode()
    found = outcomes(data, "signals")
    assert {each.line: type(each).__name__ for each in found} == {1: "Row", 2: "Bad", 3: "Bad", 4: "Row"}
    assert {each.reason for each in found if isinstance(each, Bad)} == {
        "is not UTF-8: byte 5 is 0xff", f"is longer than {MOST_LINE // 2**20} MiB",
    }  # fmt: skip


def test_a_packed_list_that_breaks_off_is_read_as_far_as_it_goes_and_that_is_said():
    whole = gzip.compress("".join(f"pdq {PDQ[:-4]}{n:04x}\n" for n in range(0x1000)).encode())
    found = list(
        read(io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(whole[: len(whole) // 2]))), "signals", Given(now=NOW))
    )
    *rows, bad = found
    assert len(rows) > 100 and all(isinstance(row, Row) for row in rows)
    assert bad.line == len(rows) + 1 and "cannot be read any further" in bad.reason


def test_the_csv_of_threatexchange_is_read_by_its_header():
    text = (
        "\ufeffsignal_type,signal_str,collab,category,tags\r\n"
        f"pdq,{PDQ},Sample Signals,INVESTIGATION_SEED,\r\n"
        f'vpdq,"[""{PDQ},100,0.0""]",A partner,DISPUTED,a b\r\n'
        f"video_md5,{MD5},A partner,fraud,\r\n"
    )
    seed, disputed, own = entries(text, "csv")
    assert (seed.source, seed.severity, seed.category) == ("Sample Signals", "medium", "banned")
    assert (disputed.severity, disputed.tags, disputed.frames[0].pdq) == ("low", ("a", "b"), PDQ)
    assert (own.category, own.severity) == ("fraud", "high")


def test_a_quote_that_is_not_closed_spoils_its_own_line_only():
    found = outcomes(f'signal_type,signal_str\npdq,"{PDQ}\npdq,{OTHER}\npdq\n', "csv")
    assert [type(each).__name__ for each in found] == ["Bad", "Row", "Bad"]
    assert (found[0].line, found[2].reason) == (2, "has 1 cells, the header 2")


def test_a_csv_without_the_columns_is_refused_by_their_name():
    assert outcomes(f"hash\n{PDQ}\n", "csv")[0].field == "signal_type"


def test_te_rows_are_read_with_the_type_that_the_file_s_name_says():
    kind = signal_type_of("simple.HASH_PDQ.te")
    assert kind == "HASH_PDQ"
    text = f"{PDQ},123,2020-07-01T18:31:15+0000,true_positive spam\n{OTHER},77,9,mine,false_positive\n"
    ours, false = entries(text, "te", signal_type=kind)
    assert (ours.added_at, ours.severity, ours.tags) == (
        datetime(2020, 7, 1, 18, 31, 15, tzinfo=UTC),
        "high",
        ("spam",),
    )
    assert not false.active and false.tags == ()


def update(**changes):
    descriptors = changes.pop(
        "descriptors", [{"status": "MALICIOUS", "owner": {"id": "1"}, "added_on": "2020-07-01T18:31:15+0000"}]
    )
    record = {"id": "9", "indicator": PDQ, "type": "HASH_PDQ", "last_updated": 1, "should_delete": False}
    return record | {"descriptors": {"data": descriptors}} | changes


def test_updates_of_the_threatexchange_api_are_read_as_pages_lines_and_deletions():
    page = {"data": [update(), update(indicator=MD5, type="HASH_MD5"), update(type="URI", indicator="https://x/")]}
    row, md5, url = outcomes(json.dumps(page, indent=1), "threat_updates")
    assert (row.entry.severity, row.entry.added_at.year, md5.entry.md5) == ("high", 2020, MD5)
    assert url == Passed(1, "URI")
    lines = f"{json.dumps(update(should_delete=True))}\n{json.dumps(update(indicator='no'))}\n"
    gone, bad = outcomes(lines, "threat_updates")
    assert gone == Gone(1, row.entry.entry_id)
    assert (bad.line, bad.field) == (2, "indicator")


def test_members_who_disagree_make_an_entry_disputed_and_all_against_switch_it_off():
    def statuses(*each):
        return json.dumps(
            update(descriptors=[{"status": status, "tags": {"data": [{"text": "t"}]}} for status in each])
        )

    (both,) = entries(statuses("MALICIOUS", "NON_MALICIOUS"), "threat_updates")
    (against,) = entries(statuses("NON_MALICIOUS"), "threat_updates")
    assert (both.severity, both.active, both.tags) == ("low", True, ("t",))
    assert not against.active


def test_a_page_names_a_bad_record_by_its_place():
    (bad, row) = outcomes(json.dumps({"data": [update(indicator=None), update()]}), "threat_updates")
    assert (bad.field, type(row)) == ("data.0.indicator", Row)


def test_banked_content_of_hma_is_one_entry_with_all_its_signals():
    content = {
        "id": 12, "disable_until_ts": 0, "original_media_uri": None,
        "bank": {"name": "TEST_BANK", "matching_enabled_ratio": 1.0},
        "signals": {"pdq": PDQ, "video_md5": MD5, "url": "x"}, "note": "seen",
        "metadata": {"collab": {"a partner": ["1"]}},
    }  # fmt: skip
    (entry,) = entries(json.dumps(content), "hma")
    assert (entry.bank, entry.md5, entry.frames[0].pdq, entry.active) == ("TEST_BANK", MD5, PDQ, False)
    assert (entry.note, entry.tags) == ("switched off: disabled in the bank of HMA. seen", ("a partner",))
    (bad,) = outcomes(json.dumps(content | {"signals": {"pdq": "x"}}), "hma")
    assert bad.field == "signals.pdq"
    (none,) = outcomes(json.dumps({"id": 1}), "hma")
    assert "include_signals=true" in none.reason


def test_records_of_stopncii_are_read_with_what_members_found():
    def hashed(**changes):
        record = {"lastModtimestamp": 1625175071, "signalType": "ImagePDQ", "hashValue": PDQ, "hashStatus": "Active"}
        return record | {"caseNumbers": {}, "CSPFeedbacks": []} | changes

    feedback = [{"source": "A platform", "feedbackValue": "NotBlocked", "tags": ["t"]}]
    page = {"count": 4, "hashRecords": [
        hashed(), hashed(hashValue=OTHER, CSPFeedbacks=feedback), hashed(hashStatus="Withdrawn"),
        hashed(hashValue="2a"),
    ]}  # fmt: skip
    plain, doubted, gone, bad = outcomes(json.dumps(page), "stopncii")
    assert (plain.entry.severity, plain.entry.added_at.year) == ("high", 2021)
    assert (doubted.entry.severity, doubted.entry.active, doubted.entry.tags) == ("low", True, ("t",))
    assert gone == Gone(1, plain.entry.entry_id)
    assert bad.field == "hashRecords.3.hashValue"


NCMEC = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">
    <images count="2" maxTimestamp="2017-10-24T15:10:00Z">
        <image>
            <member id="42">Example Member</member>
            <timestamp>2017-10-24T15:00:00Z</timestamp>
            <id>image1</id>
            <classification>A1</classification>
            <fingerprints><md5>{MD5}</md5><pdq>{PDQ}</pdq><sha1>{"a1" * 20}</sha1></fingerprints>
            <feedback><affirmativeFeedback type="Md5">
                <members><member id="7">M</member></members></affirmativeFeedback></feedback>
        </image>
        <image><member id="42">E</member><id>image2</id><fingerprints><pdna>00</pdna></fingerprints></image>
        <image><member id="42">E</member><id>image3</id><fingerprints><md5>00</md5></fingerprints></image>
        <deletedImage><member id="42">E</member><id>image1</id></deletedImage>
    </images>
</queryResult>"""


def test_the_xml_of_ncmec_is_read_with_deletions():
    row, passed, bad, gone = outcomes(NCMEC, "ncmec")
    assert (row.entry.md5, row.entry.frames[0].pdq, row.entry.severity) == (MD5, PDQ, "highest")
    assert row.entry.tags == ("A1", "Example Member")
    assert (row.line, row.entry.added_at) == (4, datetime(2017, 10, 24, 15, 0, tzinfo=UTC))
    assert passed.what == "pdna"
    assert (bad.line, bad.field) == (14, "fingerprints.md5")
    assert gone.entry_id == row.entry.entry_id


def test_xml_that_breaks_off_or_declares_entities_is_named_and_what_came_before_is_taken():
    row, *_, bad = outcomes(NCMEC[: NCMEC.index("<deletedImage>")], "ncmec")
    assert isinstance(row, Row) and "breaks here" in bad.reason
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><queryResult>&d;</queryResult>'
    (bad,) = outcomes(bomb, "ncmec")
    assert "entities" in bad.reason


def test_frames_of_one_video_are_one_entry_without_the_lines_that_are_wrong():
    bad, row = outcomes(f"0,100,{PDQ},0.000\nx\n1,40,{OTHER},0.033\n", "vpdq")
    assert bad.line == 2
    assert [(frame.quality, frame.at_s) for frame in row.entry.frames] == [(100, 0.0), (40, 0.033)]


def test_a_record_has_the_same_id_each_time_and_another_from_another_source():
    (one,), (again,), (other,) = (
        entries(f"pdq {PDQ}\n", "signals", source=source, bank=bank)
        for source, bank in (("a", "x"), ("a", "y"), ("b", "x"))
    )
    assert one.entry_id == again.entry_id != other.entry_id


def test_what_is_given_stands_in_place_of_what_the_list_says():
    fields = {"source": "us", "bank": "partner", "category": "fraud", "severity": "low", "kind": "known_good",
              "tags": ("q1",), "licence": "TLP:AMBER", "expires_at": datetime(2027, 1, 1, tzinfo=UTC)}  # fmt: skip
    (entry,) = entries(f"pdq {PDQ} 'them' POSITIVE_CLASS theirs\n", "signals", **fields)
    (ours,) = entries(encode(entry), "veristream", **fields)
    for one in (entry, ours):
        assert {name: getattr(one, name) for name in fields} == fields | {"tags": ("theirs", "q1")}


def test_what_has_expired_is_passed_over():
    (entry,) = entries(f"pdq {PDQ}\n", "signals")
    expired = msgspec.structs.replace(entry, expires_at=NOW)
    assert outcomes(encode(expired), "veristream") == [Passed(1, "expired")]


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("list.jsonl", f'{{"entry_id":"a","sha256":"{SHA256}"}}', "veristream"),
        ("list.txt", f"pdq {PDQ}\n", "signals"),
        ("list.txt", f"{MD5}\n", "signals"),
        ("list.csv", f"signal_type,signal_str,collab,category,tags\npdq,{PDQ},,,\n", "csv"),
        ("simple.HASH_PDQ.te", f"{PDQ},1,mine,\n", "te"),
        ("page.json", json.dumps({"data": [update()]}), "threat_updates"),
        ("bank.json", '[{"id": 1, "disable_until_ts": 1, "signals": {}}]', "hma"),
        ("page.json", '{"count": 1, "hashRecords": []}', "stopncii"),
        ("entries.xml", NCMEC, "ncmec"),
        ("clip.txt", f"0,100,{PDQ},0.000\n", "vpdq"),
        ("what.bin", "nothing of all this", None),
    ],
)
def test_a_format_is_recognised_by_what_the_file_looks_like(name, text, form):
    assert recognised(name, text.encode()) == form


def test_a_broken_first_line_does_not_hide_those_after_it():
    good = json.dumps(update())
    bad, row, last = outcomes(f'{{"indicator": broken\n{good}\n{{"x"\n', "threat_updates")
    assert (bad.line, type(row), last.line) == (1, Row, 3)


# What is written can be read again.

# Hashes as PDQ makes them: half of the bits are set.
CODES = st.permutations([0] * 128 + [1] * 128).map(lambda bits: f"{int(''.join(map(str, bits)), 2):064x}")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
FRAMES = st.builds(
    BankFrame, pdq=CODES, quality=st.integers(0, 100),
    at_s=st.integers(0, 10_000_000).map(lambda thousandths: thousandths / 1000),
    variant=st.sampled_from(["", "mirror"]),
)  # fmt: skip
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
ENTRIES = st.builds(
    HashEntry, entry_id=IDS, category=TEXTS, source=TEXTS, added_at=TIMES,
    frames=st.lists(FRAMES, max_size=4).map(tuple),
    sha256=st.just(SHA256), expires_at=st.none() | st.just(datetime(2101, 1, 1, tzinfo=UTC)), bank=IDS,
    kind=st.sampled_from(["banned", "known_good"]), severity=st.sampled_from(["low", "medium", "high", "highest"]),
    tags=st.lists(IDS, max_size=3).map(tuple), licence=TEXTS, md5=st.none() | st.just(MD5), active=st.booleans(),
    note=TEXTS, duration_s=st.none() | st.floats(0, 1e6),
    sounds=st.lists(st.builds(SoundPrint, at_s=st.just(0.0), until_s=st.just(3.0),
                              codes=st.binary(min_size=8, max_size=8)), max_size=2).map(tuple),
    points=st.lists(st.builds(FramePoints, at_s=st.just(1.5), points=st.binary(min_size=34, max_size=34)),
                    max_size=2).map(tuple),
)  # fmt: skip


def written(form: str, *rows: HashEntry) -> bytes:
    writer, lost = WRITERS[form], Counter()
    return writer.head + b"".join(line for row in rows for line in writer.lines(row, lost))


@settings(max_examples=40)
@given(st.lists(ENTRIES, max_size=4))
def test_our_own_lines_lose_nothing(rows):
    assert entries(written("veristream", *rows), "veristream", now=datetime(1999, 1, 1, tzinfo=UTC)) == rows


@settings(max_examples=40)
@given(st.lists(ENTRIES.filter(lambda entry: any(not frame.variant for frame in entry.frames)), min_size=1, max_size=3))
def test_every_hash_survives_the_formats_of_others(rows):
    def hashes(found):
        return {
            (frame.pdq, frame.quality, round(frame.at_s, 3))
            for row in found
            for frame in row.frames
            if not frame.variant
        }

    for form in ("csv", "hma", "signals"):
        sent = [row for row in rows if form == "csv" or (row.kind == "banned" and (form == "hma" or row.active))]
        found = entries(written(form, *sent), form)
        # Alone, a frame is a PDQ signal, which has neither quality nor time.
        plain = [[frame.pdq for frame in row.frames if not frame.variant] for row in sent]
        single = {codes[0] for codes in plain if len(codes) == 1}
        assert {each for each in hashes(found) if each[0] not in single} == {
            each for each in hashes(sent) if each[0] not in single
        }
        assert {frame.pdq for row in found for frame in row.frames} >= {code for code, *_ in hashes(sent)}
        assert {row.sha256 for row in found if row.sha256} == {row.sha256 for row in sent}


@given(st.binary(max_size=300), st.sampled_from(sorted(FORMATS)))
def test_no_bytes_stop_a_reader(data, form):
    for outcome in outcomes(data, form, signal_type="pdq"):
        assert isinstance(outcome, (Row, Gone, Passed, Bad))


@given(
    st.lists(
        st.sampled_from(["{", "}", "[", "]", '"a":', '"data":', '"signals":', "null", "1", '"x"', ",", "\n"]),
        max_size=30,
    )
)
def test_no_json_stops_a_reader(parts):
    for form in ("threat_updates", "hma", "stopncii", "veristream"):
        assert all(isinstance(each, (Row, Gone, Passed, Bad)) for each in outcomes("".join(parts), form))


def test_what_is_no_entry_is_refused_by_field():
    (row,) = outcomes(encode(HashEntry(entry_id="a", category="c", source="s", added_at=NOW, md5=MD5)), "veristream")
    tree = json.loads(encode(row.entry))
    for field, value in (("md5", "xyz"), ("severity", "huge"), ("added_at", "today"), ("frames", [{"pdq": PDQ}])):
        (bad,) = outcomes(json.dumps(tree | {field: value}), "veristream")
        assert bad.field.startswith(field)
        with pytest.raises(Refused):
            decode(HashEntry, json.dumps(tree | {field: value}).encode())
