"""What one item does to the process that reads it stays with that item: the pool goes on."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic, sleep

import pytest
from clips import clip
from trial_detectors import Moody, Unloadable

from streams.extraction.confine import MAX_FILES
from streams.extraction.pool import ITEMS_PER_PROCESS, Pool, PoolUnusable, Process
from streams.extraction.process import Failed, Handed, Start, Task, _answer
from streams.extraction.read import ExtractFailure, Limits, Reading
from streams.settings import load

TIMEOUT_S = 1.5


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A clip with that title."""
    folder = tmp_path_factory.mktemp("titled")
    plain = clip(folder / "plain.mkv", seconds=1, metadata={"title": "x" * 200}).read_bytes()

    def titled(title: str) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.mkv"
        path.write_bytes(plain.replace(b"x" * 200, title.encode().ljust(200, b"\0")))
        return path

    return titled


def pool_of(workers: int = 2, **others: object) -> Pool:
    settings = load(extract_workers=workers, extract_timeout_s=TIMEOUT_S, extract_memory_mb=2048, **others)
    return Pool(settings, [Moody])


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = pool_of()
    await pool.warm()
    yield pool
    await pool.close()


def process_of(reading: Reading) -> int:
    (signal_,) = reading.signals
    found = re.search(r"process (\d+)", signal_.evidence[0].text or "")
    assert found
    return int(found[1])


async def test_a_reading_comes_back_whole(pool: Pool, titled: Callable[[str], Path]) -> None:
    reading = await pool.read(titled(""))
    assert isinstance(reading, Reading)
    assert reading.media.video_codec == "h264"
    assert (reading.signals[0].name, reading.signals[0].score) == ("mood", 0.5)
    assert (reading.signals[0].evidence[0].text or "").startswith("1 frames, 16")
    assert reading.frames[0].quality == 100
    assert reading.models == {"moody": "3"}
    assert process_of(reading) != os.getpid()


def span_of(reading: Reading) -> tuple[float, float]:
    found = re.search(r"from ([\d.]+) until ([\d.]+)", reading.signals[0].evidence[0].text or "")
    assert found
    return float(found[1]), float(found[2])


async def test_two_items_are_read_side_by_side(pool: Pool, titled: Callable[[str], Path]) -> None:
    path = titled("linger 0.5")
    one, other = await asyncio.gather(pool.read(path), pool.read(path))
    assert process_of(one) != process_of(other)
    assert span_of(one)[0] < span_of(other)[1] and span_of(other)[0] < span_of(one)[1]


ENDS = {
    "deaf": ("EXTRACT-TIMEOUT", "longer than 2 s"),
    "exit 3": ("EXTRACT-CRASHED", "exit code 3"),
    "segfault": ("EXTRACT-CRASHED", "exit code -11"),
    "kill": ("EXTRACT-CRASHED", "exit code -9"),
}


@pytest.mark.parametrize("title", ENDS)
async def test_an_item_that_ends_its_process_ends_alone(pool: Pool, titled: Callable[[str], Path], title: str) -> None:
    code, text = ENDS[title]
    other = asyncio.create_task(pool.read(titled("")))
    with pytest.raises(ExtractFailure) as caught:
        await pool.read(titled(title))
    assert caught.value.code == code
    assert text in caught.value.text
    assert isinstance(await other, Reading)
    assert isinstance(await pool.read(titled("")), Reading)


async def test_time_counts_from_the_beginning_of_the_reading_not_from_the_wait(
    pool: Pool, titled: Callable[[str], Path]
) -> None:
    hanging = [asyncio.create_task(pool.read(titled("hang"))) for _ in range(2)]
    await asyncio.sleep(TIMEOUT_S / 2)
    waiting = asyncio.create_task(pool.read(titled("")))
    for task in hanging:
        with pytest.raises(ExtractFailure, match="EXTRACT-TIMEOUT"):
            await task
    assert isinstance(await waiting, Reading)


async def test_a_detector_that_fails_is_absent_from_its_item(pool: Pool, titled: Callable[[str], Path]) -> None:
    reading = await pool.read(titled("raise it is ill"))
    assert len(reading.absent) == 1
    assert "it is ill" in reading.absent[0]
    assert reading.media.video_codec == "h264"
    assert (await pool.read(titled(""))).absent == ()


async def test_an_item_that_takes_too_much_memory_costs_its_process_and_no_other_item(
    titled: Callable[[str], Path],
) -> None:
    pool = pool_of(1)
    try:
        before = process_of(await pool.read(titled("")))
        with pytest.raises(ExtractFailure, match="more memory than allowed"):
            await pool.read(titled("allocate 4"))
        assert process_of(await pool.read(titled(""))) != before
        assert pool.ended == {"memory": 1}
    finally:
        await pool.close()


async def test_a_process_without_memory_is_not_taken_for_damaged_media(tmp_path: Path) -> None:
    large = clip(tmp_path / "large.mp4", seconds=1, size=(3840, 2160))
    small = clip(tmp_path / "small.mp4", seconds=1)
    pool = pool_of(1)
    try:
        starved = process_of(await pool.read(small))
        held = int(Path(f"/proc/{starved}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(starved, resource.RLIMIT_AS, (held, held))
        # FFmpeg's answer where it gets no memory is one of its own errors, as for what is damaged.
        with pytest.raises(ExtractFailure, match="more memory than allowed"):
            await pool.read(large)
        assert pool.ended == {"memory": 1}
        assert process_of(await pool.read(small)) != starved
    finally:
        await pool.close()


async def test_a_process_that_is_killed_while_it_begins_costs_no_item(
    titled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(1)
    await pool.warm()
    really, tries = Process.start, []

    async def start(given: Start) -> Process:
        tries.append(given)
        if len(tries) <= 2:  # once when it is replaced, and once when the item asks for it
            raise PoolUnusable("a decoding process does not begin (exit code -9)")
        return await really(given)

    monkeypatch.setattr(Process, "start", start)
    try:
        with pytest.raises(ExtractFailure, match="EXTRACT-CRASHED"):
            await pool.read(titled("exit 3"))
        assert isinstance(await pool.read(titled("")), Reading)
    finally:
        await pool.close()


async def test_descriptors_are_limited_even_where_nothing_is_confined(titled: Callable[[str], Path]) -> None:
    pool = pool_of(1, confinement="off")
    try:
        (reason,) = (await pool.read(titled(f"files {MAX_FILES}"))).absent
        assert "Too many open files" in reason
    finally:
        await pool.close()


def test_a_reading_that_needs_too_much_memory_is_a_limit(
    titled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> Reading:
        raise MemoryError

    monkeypatch.setattr("streams.extraction.read.read", exhausted)
    with titled("").open("rb") as file:
        answer = _answer(Handed(file.fileno()), Task(tuple(Limits(1.0, 1 << 20, 60.0))), [])
    assert isinstance(answer, Failed)
    assert (answer.code, answer.text) == ("EXTRACT-LIMIT", "reading it took more memory than allowed")
    assert answer.spent


async def test_what_the_reading_says_of_a_file_comes_through(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("text")
    with pytest.raises(ExtractFailure) as caught:
        await pool.read(path)
    assert (caught.value.code, caught.value.text) == (
        "EXTRACT-FORMAT",
        "it begins like no container that is read here",
    )


async def test_processes_times_threads_are_the_processors(pool: Pool, titled: Callable[[str], Path]) -> None:
    (reason,) = (await pool.read(titled("environment OMP_NUM_THREADS"))).absent
    assert reason.endswith(": 1")


async def test_no_library_looks_for_a_graphics_card(pool: Pool, titled: Callable[[str], Path]) -> None:
    """It would open files of drivers, from a confined process."""
    (reason,) = (await pool.read(titled("environment OPENCV_OPENCL_RUNTIME"))).absent
    assert reason.endswith(": disabled")


def alive(process: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def processes(pool: Pool) -> set[int]:
    return pool.pids


async def test_processes_that_are_killed_while_they_wait_are_replaced(
    pool: Pool, titled: Callable[[str], Path]
) -> None:
    # As the kernel does that is short of memory.
    await pool.read(titled(""))
    before = processes(pool)
    assert len(before) == 2
    for process in before:
        os.kill(process, signal.SIGKILL)
    async with asyncio.timeout(10):
        while any(alive(process) for process in before):
            await asyncio.sleep(0.01)
    readings = await asyncio.gather(pool.read(titled("")), pool.read(titled("")))
    assert all(isinstance(reading, Reading) for reading in readings)
    assert not {process_of(reading) for reading in readings} & before


async def test_a_reading_that_is_cancelled_ends(pool: Pool, titled: Callable[[str], Path]) -> None:
    task = asyncio.create_task(pool.read(titled("hang")))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(await pool.read(titled("")), Reading)


async def test_closing_ends_the_processes_at_once(titled: Callable[[str], Path]) -> None:
    pool = pool_of(1)
    await pool.warm()
    mine = processes(pool)
    assert len(mine) == 1
    busy = asyncio.create_task(pool.read(titled("hang")))
    await asyncio.sleep(0.1)
    began = monotonic()
    await pool.close()
    assert monotonic() - began < 5
    assert not any(alive(process) for process in mine)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)


async def test_a_closed_pool_starts_no_process_again(titled: Callable[[str], Path]) -> None:
    pool = pool_of(1)
    await pool.warm()
    await pool.close()
    with pytest.raises(RuntimeError):
        await pool.read(titled(""))
    assert processes(pool) == set()


async def test_a_detector_that_cannot_be_loaded_is_known_before_the_first_item() -> None:
    pool = Pool(load(extract_workers=1), [Unloadable])
    with pytest.raises(PoolUnusable, match=r"FileNotFoundError: model\.onnx"):
        await asyncio.wait_for(pool.warm(), 30)
    await pool.close()


def test_a_worker_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent("""
            import asyncio, os, signal
            from trial_detectors import Moody
            from streams.extraction.pool import Pool
            from streams.settings import load

            async def main():
                pool = Pool(load(extract_workers=1), [Moody])
                await pool.warm()
                print(*pool.pids, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

            if __name__ == "__main__":
                asyncio.run(main())
        """)
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (process,) = map(int, done.stdout.split())
    deadline = monotonic() + 10
    while alive(process) and monotonic() < deadline:
        sleep(0.01)
    assert not alive(process)


async def test_a_process_is_replaced_after_many_items(
    titled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 50 <= ITEMS_PER_PROCESS <= 5000
    monkeypatch.setattr("streams.extraction.pool.ITEMS_PER_PROCESS", 2)
    pool = pool_of(1)
    try:
        first, second, third = [process_of(await pool.read(titled(""))) for _ in range(3)]
    finally:
        await pool.close()
    assert first == second != third
    assert pool.ended == {"items": 1}


async def test_a_process_that_keeps_memory_is_replaced(
    titled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.extraction.pool.MOST_GROWTH", 200 << 20)
    pool = pool_of(1)
    try:
        first = process_of(await pool.read(titled("keep 100")))
        assert process_of(await pool.read(titled("keep 300"))) == first
        assert process_of(await pool.read(titled(""))) != first
    finally:
        await pool.close()
    assert pool.ended == {"growth": 1}


async def test_whoever_waits_for_a_process_is_served_before_those_who_come_later(
    titled: Callable[[str], Path],
) -> None:
    pool = pool_of(1)
    path = titled("")
    ended: list[str] = []

    async def again_and_again() -> None:
        for number in range(6):
            await pool.read(path)
            ended.append(f"busy {number}")

    async def once() -> None:
        await pool.read(path)
        ended.append("once")

    try:
        await pool.warm()
        await asyncio.gather(again_and_again(), once())
    finally:
        await pool.close()
    assert ended.index("once") <= 1


async def test_an_item_has_so_much_processor_time_and_no_more(pool: Pool, titled: Callable[[str], Path]) -> None:
    process = process_of(await pool.read(titled("")))
    soft, hard = resource.prlimit(process, resource.RLIMIT_CPU)
    assert TIMEOUT_S < soft < 60
    assert hard == resource.RLIM_INFINITY
