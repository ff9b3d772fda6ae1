"""A decoder that was taken over gets no file, no network, no program and no way into the worker."""

from __future__ import annotations

import ast
import json
import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from clips import clip
from trial_escapes import ATTEMPTS, Escapee

from streams.doctor import _confinement
from streams.extraction import seccomp
from streams.extraction.confine import FIXES, Confinement
from streams.extraction.pool import Pool
from streams.extraction.read import ExtractFailure, Reading
from streams.settings import SettingsError, load

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("titled")

    def titled(title: str) -> Path:
        path = folder / f"{title}.mkv"
        return path if path.exists() else clip(path, seconds=0.5, metadata={"title": title})

    return titled


def pool_of(confinement: str = "best") -> Pool:
    return Pool(load(extract_workers=1, confinement=confinement), [Escapee])


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = pool_of()
    await pool.warm()
    yield pool
    await pool.close()


def said(reading: Reading) -> dict[str | None, str | None]:
    assert reading.absent == ()
    return {evidence.entry: evidence.text for evidence in reading.signals[0].evidence}


def full(pool: Pool) -> None:
    if pool.confinement.level != "full":
        pytest.skip(f"this machine cannot confine: {pool.confinement}")


async def test_every_way_out_is_refused_and_the_process_reads_on(pool: Pool, titled: Callable[[str], Path]) -> None:
    full(pool)
    before = pool.pids
    outcomes = said(await pool.read(titled("escape")))
    assert outcomes.keys() == ATTEMPTS.keys()
    assert {name: end for name, end in outcomes.items() if end != "Operation not permitted"} == {}
    await pool.read(titled("nothing"))
    assert pool.pids == before


async def test_threads_are_allowed_and_are_confined_too(pool: Pool, titled: Callable[[str], Path]) -> None:
    full(pool)
    assert said(await pool.read(titled("thread"))) == {"open in a thread": "Operation not permitted"}


async def test_without_confinement_the_same_tries_succeed(titled: Callable[[str], Path]) -> None:
    # Else the test above would pass because of how it tries.
    pool = pool_of("off")
    try:
        outcomes = said(await pool.read(titled("escape")))
        assert pool.confinement.level == "none"
    except ExtractFailure:  # `exec` replaces the process
        pass
    else:
        assert {outcomes["open"], outcomes["listen"], outcomes["fork"], outcomes["pair"]} == {"done"}
    finally:
        await pool.close()


async def test_what_is_imported_too_late_says_so(pool: Pool, titled: Callable[[str], Path]) -> None:
    full(pool)
    (reason,) = (await pool.read(titled("late"))).absent
    assert reason == "escapee: ImportError: wave is imported too late: a confined process opens no files"


async def test_secrets_of_the_worker_are_not_in_its_environment(
    titled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VERISTREAM_S3_SECRET_KEY", "VERISTREAM_VERIFIER_TOKEN", "AWS_SESSION", "DB_PASSWORD"):
        monkeypatch.setenv(name, "hush")
    pool = pool_of()
    try:
        assert "hush" not in said(await pool.read(titled("environment"))).values()
    finally:
        await pool.close()


async def test_an_answer_that_is_none_ends_the_process_and_runs_nothing(
    pool: Pool, titled: Callable[[str], Path]
) -> None:
    with pytest.raises(ExtractFailure, match="EXTRACT-CRASHED"):
        await pool.read(titled("lie"))
    assert isinstance(await pool.read(titled("nothing")), Reading)


#: What each layer refuses by itself.
ALONE = {
    "seccomp": set(ATTEMPTS) - {"old numbers"},
    "landlock": {"open", "list", "proc", "write", "device", "internet", "listen", "program", "exec"},
    "namespaces": {"open", "proc", "environment of the worker", "write", "internet", "program", "exec"},
}


@pytest.mark.parametrize("layer", ALONE)
def test_each_layer_holds_by_itself(layer: str) -> None:
    script = f"""
        import sys
        from streams.extraction.confine import Jail

        def missing(self):
            raise OSError(38, "not there")

        for other in {{"seccomp", "landlock", "namespaces"}} - {{{layer!r}}}:
            setattr(Jail, "_" + other, missing)
        jail = Jail(4096, "best")
        from trial_escapes import ATTEMPTS, outcome
        jail.close()
        print({{name: outcome(ATTEMPTS[name]) for name in sorted(ATTEMPTS.keys() & {ALONE[layer]!r})}})
        sys.stdout.flush()
        import os
        os._exit(0)
    """
    path = os.pathsep.join([str(TESTS), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {name for name, end in ast.literal_eval(done.stdout).items() if end == "done"} == set()


#: System calls (x86-64) that a container's own filter refuses → how far confinement then goes, and what it lacks.
CONTAINERS = {
    "docker": ((272, 430), "full", {"namespaces"}),
    "docker before 23.0": ((272, 430, 444), "partial", {"namespaces", "landlock"}),
    "a sandbox that allows nothing of it": ((272, 430, 444, 317), "partial", {"namespaces", "landlock", "seccomp"}),
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls are those of x86-64")
@pytest.mark.parametrize("container", CONTAINERS)
def test_in_a_container_it_goes_as_far_as_it_may_and_says_so(container: str) -> None:
    refused, level, missing = CONTAINERS[container]
    script = f"""
        import ctypes, json, os, struct
        from streams.extraction import seccomp
        from streams.extraction.confine import Jail

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(38, 1, 0, 0, 0)
        steps = [(0x20, 0, 0, 0)]
        for number in {refused}:
            steps += [(0x15, 0, 1, number), (6, 0, 0, 0x50001)]
        steps.append((6, 0, 0, 0x7FFF0000))
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
        whole = seccomp._Program(len(steps), ctypes.addressof(code))
        assert libc.syscall(317, 1, 0, ctypes.byref(whole)) == 0
        found = Jail(4096, "best").close()
        print(json.dumps([found.level, found.missing]), flush=True)
        os._exit(0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reached, lacks = json.loads(done.stdout)
    assert (reached, set(lacks)) == (level, missing)
    assert all("Operation not permitted" in why for why in lacks.values())


def test_the_level_is_full_with_system_calls_filtered_and_files_out_of_reach() -> None:
    every = dict.fromkeys(FIXES, "")
    levels = {
        (): "full",
        ("namespaces",): "full",
        ("landlock",): "full",
        ("landlock", "namespaces"): "partial",
        ("seccomp",): "partial",
        tuple(FIXES): "none",
    }
    for missing, level in levels.items():
        reached = {layer: how for layer, how in every.items() if layer not in missing}
        assert Confinement(reached, dict.fromkeys(missing, "why")).level == level


async def test_a_worker_that_requires_confinement_does_not_start_without(monkeypatch: pytest.MonkeyPatch) -> None:
    partial = Confinement({"limits": ""}, {"seccomp": "the kernel refuses"})
    monkeypatch.setattr("streams.extraction.pool.Ready.confinement", partial)
    pool = pool_of("require")
    with pytest.raises(SettingsError, match=r"confinement = 'require'.*seccomp: the kernel refuses\. allow seccomp"):
        await pool.warm()
    await pool.close()


async def test_a_worker_that_takes_the_best_there_is_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    partial = Confinement({"limits": ""}, {"seccomp": "the kernel refuses"})
    monkeypatch.setattr("streams.extraction.pool.Ready.confinement", partial)
    pool = pool_of()
    await pool.warm()
    await pool.close()
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "no seccomp: the kernel refuses" in warning


@pytest.mark.parametrize(
    ("mode", "missing", "state", "fix"),
    [
        ("best", {}, "ok", None),
        ("require", {}, "ok", None),
        ("best", {"landlock": "too old"}, "ok", None),  # an empty root keeps files out of reach as well
        ("best", {"seccomp": "the kernel refuses"}, "warn", "allow seccomp"),
        ("require", {"seccomp": "the kernel refuses"}, "bad", "allow seccomp"),
        ("off", {}, "warn", "VERISTREAM_CONFINEMENT"),
    ],
)
async def test_doctor_shows_the_level_reached_and_what_to_do_about_a_lower_one(
    monkeypatch: pytest.MonkeyPatch, mode: str, missing: dict[str, str], state: str, fix: str | None
) -> None:
    held = Confinement({layer: "" for layer in FIXES if layer not in missing}, missing)

    async def probe(_: object) -> Confinement:
        return held

    monkeypatch.setattr("streams.extraction.pool.probe", probe)
    found = await _confinement(load(confinement=mode))
    assert found.state == state
    assert fix is None or fix in (found.fix or "")
    assert mode == "off" or found.found.startswith(held.level)
    assert all(why in found.found for why in missing.values())


@pytest.mark.parametrize("header", sorted(Path("/usr/include").rglob("asm/unistd_64.h"))[:1], ids=["x86-64"])
def test_the_numbers_of_the_system_calls_are_the_kernels(header: Path) -> None:
    if "x86" not in str(header):
        pytest.skip("headers of another machine")
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    ours = {name: both[0] for name, both in seccomp.CALLS.items()}
    ours |= {ask.name: ask.numbers[0] for ask in seccomp.asks(1)}
    assert {name: int(numbers[name]) for name in ours} == ours


def test_the_numbers_for_arm_are_the_kernels() -> None:
    header = Path("/usr/include/asm-generic/unistd.h")
    if not header.exists():
        pytest.skip("the kernel's headers are not installed (Debian: linux-libc-dev)")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    numbers |= {"newfstatat": numbers["fstatat"]}
    ours = {name: both[1] for name, both in seccomp.CALLS.items() if both[1] is not None}
    ours |= {ask.name: ask.numbers[1] for ask in seccomp.asks(1)}
    assert {name: int(numbers[name]) for name in ours} == ours
