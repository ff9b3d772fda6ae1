"""The form of identity numbers: what each check digit finds, what it cannot, and numbers from elsewhere.

GB 11643 is ISO 7064 MOD 11-2 with weights 2^(17-i), prime to 11 and no two neighbours alike: it finds every error in
one place and every swap of unequal neighbours, the check digit included. GB 32100-2015 weighs by 3^i mod 31 over 31
characters, 31 being prime: the same. The nine characters inside it that are an organisation code of GB 11714 have a
check digit of their own.
"""

from __future__ import annotations

import string
from datetime import date

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from agents.identity.enrol import facts
from agents.identity.forms import KINDS, check, plain

TODAY = date(2026, 3, 1)
#: The characters of GB 32100-2015: no I, O, S, V, Z.
USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
#: Districts of Beijing and Shanghai that are in GB 2260 for longer than anyone's number.
DISTRICTS = ("110105", "310104")


def with_id_check(digits):
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(digits))
    return digits + "10X98765432"[total % 11]


def with_code_check(characters):
    total = sum(USCC.index(each) * pow(3, place, 31) for place, each in enumerate(characters))
    return characters + USCC[-total % 31]


id_numbers = st.builds(
    lambda district, born, order: with_id_check(f"{district}{born:%Y%m%d}{order:03d}"),
    st.sampled_from(DISTRICTS),
    st.dates(date(1930, 1, 1), TODAY),
    st.integers(0, 999),
)


def _organisation(number):
    """A code whose inner organisation code is a number of GB 11714 with its check character."""
    inner = f"{number:08d}"
    total = sum(int(digit) * weight for digit, weight in zip(inner, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return with_code_check("91110000" + inner + "0123456789X0"[(11 - total % 11) % 11])


codes = st.builds(_organisation, st.integers(0, 10**8 - 1))


def refused(kind, number):
    return check(kind, number, TODAY).word == "invalid"


@given(number=id_numbers)
def test_an_id_number_with_its_check_digit_passes_and_tells_the_birth_date(number):
    form = check("id_number", number, TODAY)
    assert (form.word, f"{form.born:%Y%m%d}") == ("valid", number[6:14])


@given(number=id_numbers, place=st.integers(0, 17), to=st.sampled_from("0123456789X"))
def test_every_wrong_character_of_an_id_number_is_found(number, place, to):
    assume(number[place] != to)
    assert refused("id_number", number[:place] + to + number[place + 1 :])


@given(number=id_numbers, place=st.integers(0, 16))
def test_every_swap_of_unequal_neighbours_in_an_id_number_is_found(number, place):
    assume(number[place] != number[place + 1])
    assert refused("id_number", number[:place] + number[place + 1] + number[place] + number[place + 2 :])


def test_an_id_number_with_two_errors_may_pass_as_no_check_digit_can_help():
    one, two = with_id_check("11010519900307001"), with_id_check("11010519900307091")
    between = next(
        each
        for order in range(1000)
        if (each := with_id_check(f"11010519900307{order:03d}"))[17] == one[17] and each != one
    )
    assert not any(refused("id_number", number) for number in (one, two, between))


@given(born=st.dates(date(2026, 3, 2), date(2099, 12, 31)), order=st.integers(0, 999))
@example(born=date(2026, 3, 2), order=1)
def test_nobody_is_born_in_the_future(born, order):
    form = check("id_number", with_id_check(f"110105{born:%Y%m%d}{order:03d}"), TODAY)
    assert form.fault == "its birth date lies in the future"
    assert form.born is None


def test_a_district_may_be_younger_than_who_lives_there():
    # Numbers are given out since 1984. 433101 is Jishou, a city since 1982: whoever was born there before has it.
    assert not refused("id_number", with_id_check("43310119700101001"))


def test_who_was_born_today_is_born():
    assert check("id_number", with_id_check(f"110105{TODAY:%Y%m%d}001"), TODAY).word == "valid"


@pytest.mark.parametrize("born", ["19900230", "19901301", "19900001", "19900100", "20230229"])
def test_a_birth_date_that_no_calendar_has_is_refused(born):
    assert refused("id_number", with_id_check(f"110105{born}001"))


@pytest.mark.parametrize("number", ["", "1", "110105491231002", "11010519491231002X1", "A" * 18])
def test_what_is_no_id_number_at_all_is_refused(number):
    assert refused("id_number", number)  # the old numbers of 15 digits are not in use since 2013


@given(code=codes)
def test_an_organisation_code_with_its_check_characters_passes(code):
    assume(not code[16].isalpha() or code[16] == "X")
    assert not refused("organisation_code", code)


@given(code=codes, place=st.integers(0, 17), to=st.sampled_from(USCC))
def test_every_wrong_character_of_an_organisation_code_is_found(code, place, to):
    assume(code[place] != to)
    assert refused("organisation_code", code[:place] + to + code[place + 1 :])


@given(code=codes, place=st.integers(0, 16))
def test_every_swap_of_unequal_neighbours_in_an_organisation_code_is_found(code, place):
    assume(code[place] != code[place + 1])
    assert refused("organisation_code", code[:place] + code[place + 1] + code[place] + code[place + 2 :])


@pytest.mark.parametrize("code", ["91110000600037341L", "91440300708461136T", "91110102MACQD9K640"])
def test_published_organisation_codes_pass(code):
    assert not refused("organisation_code", code)


@pytest.mark.parametrize("letter", "IOSVZ")
def test_letters_that_the_standard_leaves_out_are_refused(letter):
    assert refused("organisation_code", f"9111000060003734{letter}L")


@pytest.mark.parametrize(
    ("number", "plainly"),
    [
        ("13800138007", "+8613800138007"),
        ("138 0013 8007", "+8613800138007"),
        ("+86 19912345678", "+8619912345678"),
        ("+852 5123 4567", "+85251234567"),
        ("+44 7911 123456", "+447911123456"),
        ("+1 415 555 2671", "+14155552671"),  # the United States do not tell mobile numbers from others
        ("+81 90-1234-5678", "+819012345678"),
    ],
)
def test_mobile_numbers_of_any_country_pass_and_have_one_spelling(number, plainly):
    assert not refused("mobile", number)
    assert plain("mobile", number) == plainly


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        ("010 6552 9988", "it is not a mobile number"),
        ("+44 20 7946 0958", "it is not a mobile number"),
        ("12800138007", "no number of that country has this form"),
        ("1380013800", "no number of that country has this form"),
        ("+999 12345678", "it is not a telephone number"),
        ("mobile", "it is not a telephone number"),
        ("", "it is not a telephone number"),
    ],
)
def test_other_numbers_are_no_mobile_numbers(number, fault):
    assert check("mobile", number, TODAY).fault == fault


@pytest.mark.parametrize("number", ["E87654321", "e87654321", "AB1234", "123456789", "K1234567A"])
def test_passport_numbers_pass(number):
    assert not refused("passport", number)


@pytest.mark.parametrize("number", ["", "AB123", "E876543210", "E8765432É", "E8765 321", "E876-5432", "E87654321\n1"])
def test_what_is_no_passport_number_is_refused(number):
    assert refused("passport", number)


@pytest.mark.parametrize(
    "number", ["H12345678", "H1234567890", "m1234567890", "12345678", "1234567890", "ABC123456789012"]
)
def test_numbers_of_permits_pass(number):
    assert not refused("permit", number)


@pytest.mark.parametrize(
    "number", ["", "H1234567", "H123456789", "K12345678", "123456789", "AB1234567890123", "ABC12345678901"]
)
def test_what_is_no_number_of_a_permit_is_refused(number):
    assert refused("permit", number)


@given(kind=st.sampled_from(KINDS), number=st.text(max_size=30) | st.text(string.digits + "X +", max_size=20))
def test_no_text_makes_a_check_fail_with_an_error_or_come_back_in_what_it_says(kind, number):
    form = check(kind, number, TODAY)
    plain(kind, number)
    bare = number.strip()
    assert len(bare) < 8 or bare not in form.fault


def test_a_kind_that_is_not_known_is_an_error():
    with pytest.raises(KeyError):
        check("diary", "1", TODAY)


def test_what_is_enrolled_holds_no_number():
    known = facts({"id_number": "11010519491231002X", "mobile": "12800138007"}, TODAY, None)
    assert [(number.kind, number.form, number.digest) for number in known.numbers] == [
        ("id_number", "valid", None),
        ("mobile", "invalid", None),
    ]
    assert known.born == "1949-12"
    assert "1949123" not in repr(known)
