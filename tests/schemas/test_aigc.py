import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.aigc import (
    FIELDS,
    MAX_CHARS,
    MAX_FOREIGN,
    MAX_SHOWN,
    AigcCheck,
    Outcome,
    ProviderCode,
    RawLabel,
    aigc_object,
    check_aigc,
    check_labels,
    check_provider_code,
    provider_of,
)

# Published codes of real providers.
CODES = ("001191440300708461136T1XGW3", "001191110102MACQD9K64018705", "001191110102MACQD9K64028705")
CODE = CODES[0]
OBJECT = aigc_object("1", CODE, "a-1")
REQUIRED = [name for name in FIELDS if not name.startswith("Reserved")]

legal = st.text(st.sampled_from([chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"\\']))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("AIGC", *FIELDS)) | st.text(), inner),
)


def fields() -> dict[str, object]:
    return dict(json.loads(OBJECT)["AIGC"])


def check(value: object) -> AigcCheck:
    return check_aigc({"AIGC": value if isinstance(value, str) else json.dumps(value)})


def check_fields(**changes: object) -> AigcCheck:
    return check({"AIGC": fields() | changes})


def assert_non_compliant(result: AigcCheck, fault: str) -> None:
    assert result.outcome is Outcome.NON_COMPLIANT
    assert any(fault in said for said in result.faults), result.faults


def assert_fit_for_a_message(result: AigcCheck) -> None:
    assert (result.outcome in (Outcome.NON_COMPLIANT, Outcome.INCONCLUSIVE)) == bool(result.faults)
    assert result.label in ("1", "2", "3", None)
    assert len(result.fields) <= len(FIELDS) + MAX_FOREIGN
    assert len(result.faults) < 60
    for text in (*result.faults, *result.fields, *result.fields.values()):
        text.encode("utf-8")
    assert all(len(text) <= MAX_SHOWN for text in (*result.fields, *result.fields.values()))


def test_the_canonical_object_is_written_as_the_standard_orders_it():
    expected = (
        f'{{"AIGC":{{"Label":"1","ContentProducer":"{CODE}","ProduceID":"a-1","ReservedCode1":"",'
        f'"ContentPropagator":"{CODE}","PropagateID":"a-1","ReservedCode2":""}}}}'
    )
    assert expected == OBJECT


@given(
    st.sampled_from("123"),
    st.sampled_from(CODES),
    legal.filter(bool),
    st.none() | st.sampled_from(CODES),
    st.none() | legal.filter(bool),
    legal,
    legal,
)
def test_every_canonical_object_is_compliant(label, producer, number, propagator, onward, first, second):
    text = aigc_object(label, producer, number, propagator, onward, reserved1=first, reserved2=second)
    result = check(text)
    assert (result.outcome, result.label, result.faults) == (Outcome.COMPLIANT, label, ())
    assert set(result.fields) == set(FIELDS)


@pytest.mark.parametrize("bad", [("4", CODE, "n"), ("1", "某公司", "n"), ("1", CODE, "a b"), ("1", CODE, "")])
def test_an_object_that_would_not_pass_is_not_written(bad):
    with pytest.raises(ValueError, match=r"is|holds"):
        aigc_object(*bad)


@pytest.mark.parametrize("metadata", [{}, {"title": "AIGC"}, {"AIGCX": OBJECT}])
def test_without_the_key_nothing_is_found(metadata):
    assert check_aigc(metadata) == AigcCheck(Outcome.NOT_FOUND, None, (), {})


@pytest.mark.parametrize("key", ["AIGC", "aigc", "Aigc", "AIGC-eng"])
def test_the_key_is_found_in_any_case_and_with_the_language_that_ffmpeg_adds(key):
    assert check_aigc({key: OBJECT}).outcome is Outcome.COMPLIANT


def test_two_keys_that_agree_are_one_label():
    assert check_aigc({"AIGC-eng": OBJECT, "AIGC": OBJECT}).outcome is Outcome.COMPLIANT


def test_two_keys_that_disagree_break_one_label_a_file():
    result = check_aigc({"aigc": aigc_object("3", CODE, "a-1"), "AIGC": OBJECT})
    assert_non_compliant(result, "one label a file")
    assert result.label == "1"


@pytest.mark.parametrize("text", ["", "   ", "yes", "{", '{"AIGC":', "{'AIGC':{}}", "[" * 60_000, "9" * 60_000])
def test_what_is_no_json_object_is_non_compliant_and_never_raises(text):
    result = check(text)
    assert result.outcome is Outcome.NON_COMPLIANT
    assert result.fields == {}
    assert result.faults


def test_text_that_is_not_json_is_called_so():
    assert check("made by AI").faults == ("AIGC is not JSON: Expecting value",)


def test_json_nested_too_deeply_is_called_so():
    assert check('{"AIGC":' * 8000).faults == ("AIGC is not JSON: nested too deeply",)


def test_a_value_that_is_too_large_is_inconclusive():
    result = check("x" * (MAX_CHARS + 1))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "too large" in result.faults[0]


@pytest.mark.parametrize("text", ['{"AIGC":\ufffd}', '{"AIGC":\udcff}'])
def test_bytes_that_were_no_utf8_are_inconclusive(text):
    assert check(text).outcome is Outcome.INCONCLUSIVE


def test_a_bare_object_is_read_and_non_compliant():
    result = check(fields())
    assert_non_compliant(result, "lacks its wrapper")
    assert (result.label, len(result.faults)) == ("1", 1)
    assert result.fields == fields()


def test_a_foreign_field_is_read_and_non_compliant():
    result = check({"AIGC": {"Label": "1", "ServiceProvider": "Some Name"}})
    assert_non_compliant(result, "ServiceProvider is no field of the standard")
    assert_non_compliant(result, "ContentProducer is missing")
    assert result.label == "1"
    assert result.fields == {"Label": "1", "ServiceProvider": "Some Name"}


def test_the_label_aigc_is_non_compliant_and_shown():
    result = check_fields(Label="AIGC")
    assert_non_compliant(result, "Label is 'AIGC', not 1, 2 or 3")
    assert (result.label, result.fields["Label"]) == (None, "AIGC")


def test_a_number_as_label_is_read_and_non_compliant():
    result = check_fields(Label=1)
    assert_non_compliant(result, "Label is not a string")
    assert result.label == "1"


def test_a_repeated_field_is_noticed():
    assert_non_compliant(check(OBJECT.replace('"ReservedCode1"', '"Label":"1","ReservedCode1"')), "Label appears 2")


def test_a_repeated_object_is_noticed():
    assert_non_compliant(check(f'{{"AIGC":{json.dumps(fields())},{OBJECT[1:]}'), "one label a file")


def test_fields_out_of_order_are_noticed():
    result = check({"AIGC": dict(reversed(fields().items()))})
    assert_non_compliant(result, "not in the standard's order")
    assert len(result.faults) == 1


def test_other_members_and_another_spelling_of_the_wrapper_are_noticed():
    assert_non_compliant(check({"AIGC": fields(), "more": 1}), "other members")
    assert_non_compliant(check({"aigc": fields()}), "is written aigc")
    assert_non_compliant(check({"AIGC": OBJECT}), "holds no object")


@pytest.mark.parametrize("character", [" ", '"', "\\", "\x7f", "某", "\ud800"])
def test_a_character_outside_the_standards_range_is_noticed(character):
    result = check_fields(PropagateID=f"n{character}1")
    assert_non_compliant(result, f"PropagateID holds U+{ord(character):04X}")
    assert_fit_for_a_message(result)


@pytest.mark.parametrize("label", ["2", "3"])
def test_a_platform_that_labels_anothers_work_may_leave_the_producer_empty(label):
    assert check(aigc_object(label, "", "", CODE, "p-1")).outcome is Outcome.COMPLIANT
    assert_non_compliant(check_fields(Label=label, ContentPropagator=""), "ContentPropagator is empty")


def test_fields_are_cut_and_foreign_ones_counted():
    result = check_fields(ReservedCode1="x" * 999, **{f"f{n}": "y" for n in range(MAX_FOREIGN + 3)})
    assert_non_compliant(result, "3 more foreign fields")
    assert len(result.fields["ReservedCode1"]) == MAX_SHOWN
    assert_fit_for_a_message(result)


@given(
    st.sampled_from(REQUIRED),
    st.none() | st.booleans() | st.integers() | st.lists(st.text()) | st.text(st.characters(min_codepoint=0x7F)),
)
def test_every_required_field_must_be_a_legal_string_that_is_not_empty(name, value):
    assert_non_compliant(check_fields(**{name: value}), name)


@given(st.sampled_from(FIELDS))
def test_every_field_must_be_there(name):
    kept = {field: value for field, value in fields().items() if field != name}
    assert_non_compliant(check({"AIGC": kept}), f"{name} is missing")


@given(st.dictionaries(st.sampled_from(["AIGC", "aigc", "AIGC-eng", "title"]), st.text()))
def test_no_text_raises(metadata):
    assert_fit_for_a_message(check_aigc(metadata))


@given(json_values)
def test_no_json_raises(value):
    assert_fit_for_a_message(check(json.dumps(value)))
    assert_fit_for_a_message(check(json.dumps({"AIGC": value})))


@pytest.mark.parametrize("code", [*CODES, CODE[:22] + "00000"])
def test_published_provider_codes_and_unused_extensions_are_well_formed(code):
    assert check_provider_code(code) == ()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("", "27 characters"),
        (CODE.lower(), "27 characters"),
        (CODE + "\n", "27 characters"),
        ("002191440300708461136T1XGW3", "starts with 0021"),
        ("001191440300708461137T1XGW3", "no valid unified social credit code"),
        (CODE[:22] + "3XGW3", "ends in 3XGW3"),
        (CODE[:22] + "00001", "ends in 00001"),
    ],
)
def test_a_malformed_provider_code_says_why(code, fault):
    assert fault in check_provider_code(code)[0]


@given(st.sampled_from(CODES), st.integers(0, 21), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
def test_one_wrong_character_before_the_extension_is_noticed(code, at, character):
    changed = code[:at] + character + code[at + 1 :]
    assert bool(check_provider_code(changed)) == (changed != code)


@given(st.text())
def test_no_provider_code_raises(code):
    check_provider_code(code)


def test_a_provider_code_is_decoded_only_where_it_is_well_formed():
    assert provider_of(CODE) == ProviderCode("91440300708461136T", "generates", "XGW3")
    assert provider_of(CODE[:22] + "2ABCD") == ProviderCode("91440300708461136T", "spreads", "ABCD")
    assert provider_of(CODE[:22] + "00000") == ProviderCode("91440300708461136T", "", "")
    assert provider_of("0" * 27) is None
    assert provider_of("") is None


def test_what_is_wrong_with_a_place_makes_a_right_object_non_compliant():
    result = check_labels([RawLabel("moov.meta.keys", OBJECT, ("meta stands elsewhere",))])
    assert (result.outcome, result.faults) == (Outcome.NON_COMPLIANT, ("meta stands elsewhere",))
    assert (result.label, result.places) == ("1", ("moov.meta.keys",))


@pytest.mark.parametrize(("other", "said"), [(OBJECT, "more than once:"), ("{}", "more than once and disagrees:")])
def test_two_labels_in_a_file_are_a_fault_though_they_agree(other, said):
    result = check_labels([RawLabel("a", OBJECT), RawLabel("b", other)])
    assert result.outcome is Outcome.NON_COMPLIANT
    assert said in result.faults[0]
    assert result.places == ("a", "b")


def test_a_file_that_could_not_be_read_whole_is_inconclusive_only_without_a_label():
    assert check_labels([], "it breaks off").outcome is Outcome.INCONCLUSIVE
    assert check_labels([], "it breaks off").faults == ("it breaks off",)
    assert check_labels([RawLabel("a", OBJECT)], "it breaks off").outcome is Outcome.COMPLIANT
    assert check_labels([]).outcome is Outcome.NOT_FOUND
