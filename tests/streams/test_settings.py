"""A setting comes from flag, environment or file, in that order; what is wrong is said by name, value and origin."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import SecretStr

from streams.registered import installed
from streams.settings import Settings, SettingsError, Shown, explain, load


def write(text: str, path: Path = Path("veristream.toml")) -> None:
    path.write_text(text, "utf-8")


def fault(**flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**flags)
    return str(caught.value)


def shown(name: str, **flags: object) -> Shown:
    (row,) = [row for row in explain(load(**flags), **flags) if row.name == name]
    return row


def test_a_flag_goes_before_the_environment_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().broker == "127.0.0.1:9092"
    write('broker = "file:1"')
    assert load().broker == "file:1"
    monkeypatch.setenv("VERISTREAM_BROKER", "environment:1")
    assert load().broker == "environment:1"
    assert load(broker="flag:1").broker == "flag:1"


def test_a_flag_that_is_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_BROKER", "environment:1")
    assert load(broker=None).broker == "environment:1"


def test_every_setting_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    write('broker = "file:1"\npolicy = "strict"')
    monkeypatch.setenv("VERISTREAM_POLICY", "mild")
    monkeypatch.setenv("VERISTREAM_HTTP_PORT", "1")
    assert shown("broker")[1:3] == ("file:1", "file veristream.toml")
    assert shown("policy")[1:3] == ("mild", "environment VERISTREAM_POLICY")
    assert shown("http_port", http_port=2)[1:3] == ("2", "flag")
    assert shown("replication")[1:3] == ("1", "default")


def test_every_setting_is_shown_once_and_nearly_all_explain_themselves() -> None:
    rows = explain(load())
    assert [row.name for row in rows] == list(Settings.model_fields)
    assert {row.name for row in rows if not row.about} <= {"log_level", "s3_region", "s3_access_key", "s3_secret_key"}


def test_the_file_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write('broker = "other:1"', tmp_path / "other.toml")
    write('broker = "default:1"')
    monkeypatch.setenv("VERISTREAM_CONFIG", str(tmp_path / "other.toml"))
    assert load().broker == "other:1"
    assert shown("broker").origin == f"file {tmp_path / 'other.toml'}"


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_CONFIG", "missing.toml")
    assert "missing.toml" in fault()


@pytest.mark.parametrize("name", ["s3_access_key", "s3_secret_key"])
def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"VERISTREAM_{name.upper()}", "hunter2")
    settings = load()
    assert getattr(settings, name) == SecretStr("hunter2")
    assert shown(name).value == "**********"
    assert "hunter2" not in repr(settings)


def test_a_secret_that_is_wrong_is_not_shown_either() -> None:
    write("s3_secret_key = 123456789")
    said = fault()
    assert "s3_secret_key" in said
    assert "123456789" not in said


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("http_port", 70_000, "less than or equal to 65535"),
        ("session_timeout_s", 1, "greater than or equal to 2"),
        ("extract_workers", "many", "valid integer"),
        ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("topic_prefix", "a b", "match pattern"),
        ("broker", "localhost:kafka", "write HOST:PORT"),
        ("broker", "one:9092,", "write HOST:PORT"),
        ("broker", "", "write HOST:PORT"),
        ("extract_memory_mb", 1, "greater than or equal to 512"),
    ],
)
def test_a_fault_names_setting_value_reason_and_origin(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, reason: str
) -> None:
    said = fault(**{name: value})
    assert said.startswith(f"{name} = {value!r}: ")
    assert reason in said
    assert said.endswith("(flag)")
    monkeypatch.setenv(f"VERISTREAM_{name.upper()}", str(value))
    assert fault().startswith(f"{name} = {str(value)!r}: ")
    assert fault().endswith(f"(environment VERISTREAM_{name.upper()})")
    monkeypatch.delenv(f"VERISTREAM_{name.upper()}")
    write(f"{name} = {value!r}")
    assert fault().endswith("(file veristream.toml)")


@pytest.mark.parametrize("broker", ["localhost:9092", "localhost", "10.0.0.1:1,kafka-2.example:9093", "[::1]:9092"])
def test_a_broker_is_one_address_or_several(broker: str) -> None:
    assert load(broker=broker).broker == broker


def test_each_fault_has_a_line() -> None:
    write("http_port = -1\nreplication = 0")
    assert [line.split(" = ")[0] for line in fault().splitlines()] == ["replication", "http_port"]


def test_what_is_no_setting_is_refused_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(brocker="x") == "brocker = 'x': there is no such setting (flag)"
    write('brocker = "x"')
    assert fault() == "brocker = 'x': there is no such setting (file veristream.toml)"
    write("")
    monkeypatch.setenv("VERISTREAM_BROCKER", "x")
    monkeypatch.setenv("VERISTREAM_ANOTHER", "x")
    assert fault().splitlines() == [
        "VERISTREAM_ANOTHER: there is no such setting (environment)",
        "VERISTREAM_BROCKER: there is no such setting (environment)",
    ]


def test_variables_of_others_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAMER_BROKER", "x")
    monkeypatch.setenv("BROKER", "x")
    assert load().broker == "127.0.0.1:9092"


@pytest.mark.parametrize("content", [b"broker = ", b'broker = "\xff\xfe"'])
def test_a_file_that_is_not_toml_is_named(content: bytes) -> None:
    Path("veristream.toml").write_bytes(content)
    assert fault().startswith("veristream.toml is not TOML: ")


def test_a_list_is_written_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERISTREAM_AGENTS", "identity, review,")
    assert load().agents == ("identity", "review")
    assert load(agents="verdict").agents == ("verdict",)
    write('media_roots = ["/a", "/b"]\nmedia_hosts = "one, two:8080"')
    assert load().media_roots == (Path("/a"), Path("/b"))
    assert load().media_hosts == ("one", "two:8080")
    assert shown("media_roots").value == "/a,/b"


def test_an_empty_list_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    write('agents = ["identity"]')
    monkeypatch.setenv("VERISTREAM_AGENTS", "")
    assert load().agents == ()


def test_the_store_is_always_a_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERISTREAM_MEDIA_ROOTS", "/more")
    assert load(store=tmp_path).roots == (tmp_path, Path("/more"))


def test_the_store_lies_in_the_users_data_folder_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert load().store == tmp_path / "share" / "veristream" / "media"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load().store == tmp_path / ".local" / "share" / "veristream" / "media"


def test_a_pool_has_a_process_for_each_processor() -> None:
    assert load().extract_workers == os.cpu_count()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().broker = "other"  # type: ignore[misc]


def test_an_agent_that_is_not_installed_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError) as caught:
        installed("veristream.agents", ("identity", "censor"))
    assert str(caught.value).startswith("agents: censor not installed; there are ")
    for name in ("extraction", "identity", "review", "rumor", "synthetic", "verdict"):
        assert name in str(caught.value)


def test_agents_come_in_the_order_they_are_named_and_all_if_none_is() -> None:
    assert list(installed("veristream.agents", ("verdict", "identity"))) == ["verdict", "identity"]
    found = installed("veristream.agents", ())
    assert {"extraction", "identity", "review", "rumor", "synthetic", "verdict"} <= set(found)
    assert all(kind.name == name for name, kind in found.items())


def test_detectors_are_registered_under_their_own_names() -> None:
    found = installed("veristream.detectors", ())
    assert {"pdq", "blank", "container"} <= set(found)
    assert all(kind.name == name for name, kind in found.items())


@pytest.mark.parametrize("value", ["no.such.module:Thing", "streams.agent:NoSuchThing"])
def test_a_registered_one_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    broken = EntryPoint("broken", value, "veristream.agents")
    monkeypatch.setattr("streams.registered.entry_points", lambda group: [broken])
    with pytest.raises(SettingsError, match=f"broken .{value}. cannot be loaded"):
        installed("veristream.agents", ())
