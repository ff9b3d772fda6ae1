"""Who may publish: every ground of the identity agent, and the neighbouring state that is none."""

from __future__ import annotations

import re
from datetime import date, timedelta, timezone

import pytest
import stdnum.cn.ric
import stdnum.cn.uscc
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.identity.judge import Known, judge
from schemas.message import encode
from schemas.registry import Feature

# Letters and digits of GB 32100-2015: no I, O, S, V, Z.
USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# 110105 is a district of Beijing, in GB 2260 since before anyone alive was born.
DISTRICT = "110105"


@pytest.fixture(scope="session")
def decided(make):
    """Judges an event after changes: `publisher`, `provider` and `feature` replace a row, the rest the event."""

    def decide(policy=None, publisher=..., provider=..., feature=None, **event):
        known = Known(
            make.publisher() if publisher is ... else publisher,
            make.provider(make.licence()) if provider is ... else provider,
            feature,
        )
        decision = make.wire(judge(make.upload(**event), known, policy or make.policy(), make.now))
        assert decision.agent == "identity"
        assert {reason.score for reason in decision.reasons} <= {0.0}
        return decision

    return decide


@pytest.fixture(scope="session")
def codes(decided):
    return lambda *args, **changes: [reason.code for reason in decided(*args, **changes).reasons]


@pytest.fixture(scope="session")
def id_refused(make, decided):
    """Whether a person's ID number is refused for its form."""

    def refused(number):
        reasons = decided(publisher=make.publisher(id_number=number)).reasons
        return "ID-NUMBER-FORM" in [reason.code for reason in reasons]

    return refused


@pytest.fixture(scope="session")
def code_refused(make, decided):
    """Whether an organisation's code is refused for its form."""

    def refused(code):
        publisher = make.publisher(kind="organisation", id_number=None, organisation_code=code)
        return "ID-ORG-FORM" in [reason.code for reason in decided(publisher=publisher).reasons]

    return refused


def test_who_is_known_verified_and_licensed_may_publish(decided):
    decision = decided()
    assert (decision.action, decision.reasons, decision.stop) == ("allow", (), None)


def test_a_publisher_without_a_row_is_unknown_and_held_until_identified(decided):
    decision = decided(publisher=None)
    assert [reason.code for reason in decision.reasons] == ["ID-UNKNOWN"]
    assert decision.action == "takedown"
    assert (decision.stop.kind, decision.stop.until) == ("hold", "identified")


@pytest.mark.parametrize("real_name", ["unverified", "expired", "revoked"])
def test_a_real_name_that_is_not_verified_holds_and_is_said(make, decided, real_name):
    decision = decided(publisher=make.publisher(real_name=real_name))
    assert [reason.code for reason in decision.reasons] == ["ID-UNVERIFIED"]
    assert real_name in decision.reasons[0].evidence[0].text
    assert decision.stop.until == "identified"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, []),
        ({"id_number": None}, ["ID-NUMBER-MISSING"]),
        ({"id_number": None, "mobile": "13812345678"}, []),
        ({"id_number": None, "organisation_code": "91110000600037341L"}, ["ID-NUMBER-MISSING"]),
        ({"kind": "organisation"}, ["ID-NUMBER-MISSING"]),
        ({"kind": "organisation", "mobile": "13812345678"}, ["ID-NUMBER-MISSING"]),
        ({"kind": "organisation", "id_number": None, "organisation_code": "91110000600037341L"}, []),
    ],
)
def test_a_person_needs_an_id_or_mobile_number_and_an_organisation_its_code(make, codes, numbers, expected):
    assert codes(publisher=make.publisher(**numbers)) == expected


@pytest.mark.parametrize(
    ("number", "well_formed"),
    [
        ("11010519491231002X", True),
        ("11010519491231002x", True),
        (" 11010519491231002X\n", True),
        ("110105 19491231 002X", False),
        ("110105194912310021", False),  # check digit
        ("110105490102003", False),  # the 15 digits of cards before 1999 are no longer valid
        ("11010519491331002X", False),  # month 13, though only the checksum could tell
        ("11010519490229001X", False),
        ("", False),
        ("１１０１０５１９４９１２３１００２Ｘ", False),
    ],
)
def test_an_id_number_has_the_form_of_gb_11643(id_refused, number, well_formed):
    assert id_refused(number) is not well_formed


def test_a_birth_date_that_does_not_exist_is_refused_whatever_the_check_digit_says(id_refused):
    body = DISTRICT + "19490230" + "002"
    assert id_refused(body + stdnum.cn.ric.calc_check_digit(body + "0"))


@pytest.mark.parametrize(
    ("code", "well_formed"),
    [
        ("91110000600037341L", True),
        ("91110000600037341l", True),
        ("91110000600037341M", False),
        ("9111000060003734IL", False),  # I is not in the standard's alphabet
        ("9111000060003734", False),
        ("", False),
    ],
)
def test_an_organisation_code_has_the_form_of_gb_32100(code_refused, code, well_formed):
    assert code_refused(code) is not well_formed


@pytest.mark.parametrize(
    ("mobile", "well_formed"),
    [
        ("13812345678", True),
        ("+8619912345678", True),
        ("86 138-1234-5678", True),
        ("12812345678", False),
        ("1381234567", False),
        ("138123456789", False),
        ("+85213812345678", False),
        ("1３８12345678", False),  # digits of another width are no number that can be rung
        ("138１２３４５６７８", False),
        ("", False),
    ],
)
def test_a_mobile_number_has_the_form_of_mainland_china(make, codes, mobile, well_formed):
    assert codes(publisher=make.publisher(mobile=mobile)) == ([] if well_formed else ["ID-MOBILE-FORM"])


def test_an_empty_number_is_malformed(make, codes):
    assert codes(publisher=make.publisher(id_number="")) == ["ID-NUMBER-FORM"]


@given(st.text(max_size=32), st.text(max_size=32), st.text(max_size=32))
def test_no_number_however_odd_raises(make, decided, number, code, mobile):
    publisher = make.publisher(id_number=number, organisation_code=code, mobile=mobile)
    assert decided(publisher=publisher).action in ("allow", "takedown")


def test_a_provider_without_a_row_is_unknown_and_held_until_licensed(decided):
    decision = decided(provider=None)
    assert [reason.code for reason in decision.reasons] == ["LICENCE-UNKNOWN-PROVIDER"]
    assert (decision.stop.kind, decision.stop.until) == ("hold", "licensed")


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        (("short_video",), []),
        (("audio", "short_video"), []),
        (("*",), []),
        (("audio",), ["LICENCE-MISSING"]),
        (("short",), ["LICENCE-MISSING"]),
    ],
)
def test_a_licence_covers_the_services_it_names_and_a_star_covers_all(make, codes, services, expected):
    assert codes(provider=make.provider(make.licence(services=services))) == expected


def test_a_provider_without_a_licence_is_told_which_service_is_not_covered(make, decided):
    (reason,) = decided(provider=make.provider()).reasons
    assert reason.code == "LICENCE-MISSING"
    assert "short_video" in reason.evidence[0].text


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1, ["LICENCE-EXPIRED"]), (0, ["LICENCE-EXPIRED"]), (0.001, []), (None, [])]
)
def test_a_licence_ends_at_the_instant_it_expires(make, codes, seconds, expected):
    licence = make.licence(expires_at=None if seconds is None else make.at(seconds))
    assert codes(provider=make.provider(licence)) == expected


def test_one_licence_in_force_is_enough(make, codes):
    old, other = make.licence(expires_at=make.at(-1)), make.licence(services=("*",), expires_at=make.at(1))
    assert codes(provider=make.provider(old, other)) == []


def test_every_expired_licence_is_named_and_one_for_another_service_does_not_help(make, decided):
    gone = [make.licence(number=number, expires_at=make.at(-1)) for number in ("0000001", "0000002")]
    (reason,) = decided(provider=make.provider(*gone, make.licence(services=("audio",)))).reasons
    assert reason.code == "LICENCE-EXPIRED"
    assert [evidence.entry for evidence in reason.evidence] == ["0000001", "0000002"]


@pytest.mark.parametrize(("feature_id", "expected"), [(None, []), ("f-1", ["FEATURE-UNKNOWN"])])
def test_a_feature_that_is_named_must_be_known(codes, feature_id, expected):
    assert codes(feature_id=feature_id) == expected


def test_a_feature_that_was_not_assessed_holds_until_it_is(make, decided):
    feature = Feature(feature_id="f-1", name="Face swap")
    decision = decided(feature=feature, feature_id="f-1")
    assert [reason.code for reason in decision.reasons] == ["FEATURE-UNASSESSED"]
    assert (decision.reasons[0].evidence[0].entry, decision.stop.until) == ("f-1", "assessed")


@pytest.mark.parametrize(("seconds", "expected"), [(-1, ["FEATURE-EXPIRED"]), (0, ["FEATURE-EXPIRED"]), (0.001, [])])
def test_an_assessment_ends_at_the_instant_it_is_no_longer_valid(make, codes, seconds, expected):
    assert codes(feature=make.feature(make.at(seconds)), feature_id="f-1") == expected


def test_several_faults_at_once_are_all_named(make, codes):
    found = codes(
        publisher=make.publisher(
            real_name="revoked", kind="organisation", id_number="1", organisation_code=None, mobile="2"
        ),
        provider=make.provider(make.licence(expires_at=make.now)),
        feature=make.feature(make.at(-1)),
        feature_id="f-1",
    )
    expected = ["ID-UNVERIFIED", "ID-NUMBER-FORM", "ID-MOBILE-FORM", "ID-NUMBER-MISSING"]
    assert found == [*expected, "LICENCE-EXPIRED", "FEATURE-EXPIRED"]


def test_each_fault_is_held_until_it_is_mended(make, decided):
    until = {
        "identified": [
            {"publisher": make.publisher(**row)}
            for row in ({"real_name": "revoked"}, {"id_number": "1"}, {"organisation_code": "1"}, {"mobile": "1"})
        ],
        "licensed": [
            {"provider": row} for row in (None, make.provider(), make.provider(make.licence(expires_at=make.now)))
        ],
        "assessed": [
            {"feature_id": "f-1", "feature": row}
            for row in (None, Feature(feature_id="f-1", name="Face swap"), make.feature(make.now))
        ],
    }
    for end, states in until.items():
        for state in states:
            decision = decided(**state)
            assert (len(decision.reasons), decision.stop.kind, decision.stop.until) == (1, "hold", end)


def test_of_several_faults_the_publishers_identity_is_waited_for_first(make, decided):
    assert decided(publisher=None, provider=None, feature_id="f-1").stop.until == "identified"
    assert decided(provider=None, feature_id="f-1").stop.until == "licensed"


@pytest.mark.parametrize("kind", ["person", "organisation"])
@pytest.mark.parametrize("real_name", ["verified", "revoked"])
@pytest.mark.parametrize(
    "numbers",
    [
        {"id_number": "11010519491231002X", "organisation_code": "91110000600037341L", "mobile": "13812345678"},
        {"id_number": "110105194912310029", "organisation_code": "91110000600037341M", "mobile": "12812345678"},
    ],
)
def test_the_numbers_are_never_in_the_decision(make, decided, kind, real_name, numbers):
    decision = decided(publisher=make.publisher(kind=kind, real_name=real_name, **numbers), provider=None)
    assert decision.reasons
    written = encode(decision).decode()
    # Nor is a part of one: six digits are a birth date or half a mobile number.
    parts = {number[at : at + 6] for number in numbers.values() for at in range(len(number) - 5)}
    assert not [part for part in parts if part in re.sub(r'"decision_id":"[0-9a-f]+"', "", written)]


@pytest.mark.parametrize(
    ("switch", "state", "code"),
    [
        ("require_real_name", {"publisher": {"real_name": "unverified"}}, "ID-UNVERIFIED"),
        ("require_number", {"publisher": {"id_number": None}}, "ID-NUMBER-MISSING"),
        ("require_licence", {"provider": None}, "LICENCE-UNKNOWN-PROVIDER"),
        ("require_licence", {"provider": ()}, "LICENCE-MISSING"),
        ("require_assessment", {"feature_id": "f-1"}, "FEATURE-UNKNOWN"),
    ],
)
def test_the_policy_switches_each_check_off(make, codes, switch, state, code):
    state = dict(state)
    if "publisher" in state:
        state["publisher"] = make.publisher(**state["publisher"])
    if state.get("provider") == ():
        state["provider"] = make.provider()
    assert codes(make.policy(identity={switch: True}), **state) == [code]
    assert codes(make.policy(identity={switch: False}), **state) == []


def test_an_unknown_publisher_is_held_under_any_policy(make, codes):
    off = dict.fromkeys(("require_real_name", "require_number", "require_licence", "require_assessment"), False)
    assert codes(make.policy(identity=off), publisher=None, provider=None, feature_id="f-1") == ["ID-UNKNOWN"]


def test_a_malformed_number_is_no_number_even_where_none_is_required(make, codes):
    policy = make.policy(identity={"require_number": False})
    assert codes(policy, publisher=make.publisher(id_number="1")) == ["ID-NUMBER-FORM"]


# What a checksum covers. GB 11643 takes digits times 2^(17-i) modulo 11: as 11 is prime and no weight is a multiple of
# it, no change of one digit goes unseen; the weights of neighbours differ, so no swap of two unequal neighbours does
# either, the check digit included. Weights repeat after ten places: a swap of two digits ten places apart is not
# covered. GB 32100 takes values times 3^i modulo 31: the same holds, and all seventeen weights differ, so a swap of any
# two of the first seventeen characters is covered too.


@st.composite
def id_numbers(draw):
    born = draw(st.dates(date(1930, 1, 1), date(2025, 12, 31)))
    body = f"{DISTRICT}{born:%Y%m%d}{draw(st.integers(0, 999)):03}"
    return body + stdnum.cn.ric.calc_check_digit(body + "0")


@st.composite
def organisation_codes(draw):
    digits = draw(st.text(st.sampled_from("0123456789"), min_size=8, max_size=8))
    body = digits + draw(st.text(st.sampled_from(USCC), min_size=9, max_size=9))
    return body + stdnum.cn.uscc.calc_check_digit(body)


def swapped(text, one, other):
    characters = list(text)
    characters[one], characters[other] = characters[other], characters[one]
    return "".join(characters)


@settings(max_examples=20)
@given(id_numbers())
def test_every_wrong_digit_of_an_id_number_is_refused(id_refused, number):
    assert not id_refused(number)
    for at, right in enumerate(number):
        for wrong in "0123456789X" if at == 17 else "0123456789":
            assert wrong == right or id_refused(number[:at] + wrong + number[at + 1 :])


@given(id_numbers())
def test_every_swap_of_unequal_neighbours_in_an_id_number_is_refused(id_refused, number):
    for at in range(17):
        assert number[at] == number[at + 1] or id_refused(swapped(number, at, at + 1))


def test_a_swap_of_digits_ten_places_apart_is_beyond_the_checksum_of_id_numbers(id_refused):
    body = DISTRICT + "19900102" + "230"
    number = body + stdnum.cn.ric.calc_check_digit(body + "0")
    far = swapped(number, 3, 13)  # another district, and a day earlier
    near = swapped(number, 3, 12)
    assert [id_refused(each) for each in (number, far, near)] == [False, False, True]


@settings(max_examples=20)
@given(organisation_codes())
def test_every_wrong_character_of_an_organisation_code_is_refused(code_refused, code):
    assert not code_refused(code)
    for at, right in enumerate(code):
        for wrong in USCC:
            assert wrong == right or code_refused(code[:at] + wrong + code[at + 1 :])


@given(organisation_codes(), st.integers(0, 16), st.integers(1, 17))
def test_every_swap_in_an_organisation_code_is_refused_save_of_its_first_and_last(code_refused, code, one, other):
    assume(code[one] != code[other] and {one, other} != {0, 17})
    assert code_refused(swapped(code, one, other))


@pytest.mark.parametrize(("seconds", "expected"), [(0, ["LICENCE-EXPIRED"]), (1, [])])
def test_the_zone_in_which_an_expiry_is_written_does_not_matter(make, codes, seconds, expected):
    east = make.at(seconds).astimezone(timezone(timedelta(hours=8)))
    assert codes(provider=make.provider(make.licence(expires_at=east))) == expected
