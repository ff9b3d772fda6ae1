"""A process that makes one labelled copy and ends. It is confined as those that decode are: it has the original, open
for reading, two files that it may write, and a pipe for its answer."""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import pkgutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from streams.extraction.confine import Jail, Mode
from streams.labels.copy import Copied, Terms, label_copy
from streams.labels.write import CannotLabel

#: How much larger than its original a copy may be, in bytes: another encoder's opening, or all of it.
GROWTH, LEAST = 4, 64 << 20
#: Longest answer, in bytes.
LONGEST = 1 << 16
#: Memory that FFmpeg's encoders, threads included, take beside the pictures.
MEMORY_MB = 3072


class Job(msgspec.Struct, frozen=True, array_like=True):
    """What it is asked. `out`, `scratch`: descriptors that are open and empty."""

    out: int
    scratch: int
    terms: Terms
    confinement: Mode
    most: int


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What it says: the copy, or why there is none. `disk`: the disk is to blame, not the file."""

    copied: Copied | None = None
    why: str = ""
    disk: bool = False


async def copy_confined(source: Path, out: Path, terms: Terms, confinement: Mode, timeout_s: float) -> Copied:
    """Make the labelled copy of a stranger's file.

    Raises:
        CannotLabel: it cannot be made, or took too long, or what makes it died of it.
        OSError: the folder of `out` cannot be written.
    """
    scratch = out.with_suffix(".scratch")
    with source.open("rb") as given, out.open("w+b") as made, scratch.open("w+b") as between:
        most = LEAST + GROWTH * os.fstat(given.fileno()).st_size
        job = Job(made.fileno(), between.fileno(), terms, confinement, most)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "streams.labels.process", msgspec.json.encode(job).decode()),
            stdin=given.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(made.fileno(), between.fileno()),
            env={name: value for name, value in os.environ.items() if name in _KNOWN},
        )
        assert process.stdout, "asked for"
        try:
            async with asyncio.timeout(timeout_s):
                said = await process.stdout.read(LONGEST)
                code = await process.wait()
        except TimeoutError as error:
            raise CannotLabel(f"making the copy took longer than {timeout_s:.0f} s") from error
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            scratch.unlink(missing_ok=True)
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.DecodeError as error:
        raise CannotLabel(f"the process that made the copy died (exit code {code})") from error
    if answer.disk:
        raise OSError(answer.why)
    if answer.copied is None:
        raise CannotLabel(answer.why)
    return answer.copied


#: Environment that it is given: where Python and its libraries are.
_KNOWN = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV"})


def _prepare() -> None:
    """Have everything in memory that libraries would open later: fonts, notices, modules, encoders."""
    import av

    from streams.extraction.rehearsal import clip
    from streams.labels import audible, marks

    av.logging.set_level(av.logging.PANIC)
    for part in pkgutil.walk_packages(av.__path__, "av."):
        if not part.name.endswith("__main__"):
            importlib.import_module(part.name)
    from PIL import Image

    Image.init()
    marks.font_file()
    for level in (1, 2, 3):
        audible.notice_file(level)
    label = {"Label": "3", "ContentPropagator": "001191110102MACQD9K64018705", "PropagateID": "rehearsal"}
    with suppress(CannotLabel):
        label_copy(io.BytesIO(clip()), io.BytesIO(), Terms(label, "AI生成"), scratch=io.BytesIO())
    picture = io.BytesIO()
    Image.new("RGB", (96, 96)).save(picture, "JPEG")
    label_copy(picture, io.BytesIO(), Terms(label, "AI生成"), scratch=io.BytesIO())


def main() -> None:
    """Make one copy; the answer goes to standard output."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    jail = Jail(MEMORY_MB, job.confinement, job.most)
    source, out, scratch = (
        cast(BinaryIO, open(number, mode, closefd=False))  # noqa: SIM115 - it ends with them
        for number, mode in ((0, "rb"), (job.out, "r+b"), (job.scratch, "r+b"))
    )
    _prepare()
    reached = jail.close()
    if job.confinement == "require" and reached.level != "full":
        _say(Answer(why=f"it cannot be confined: {reached}"))
        return
    try:
        answer = Answer(copied=label_copy(source, out, job.terms, scratch=scratch))
        out.flush()
    except CannotLabel as error:
        answer = Answer(why=str(error))
    except OSError as error:
        answer = Answer(why=f"the copy cannot be written: {error.strerror or error}", disk=True)
    except MemoryError:
        answer = Answer(why="making the copy took more memory than allowed")
    _say(answer)


def _say(answer: Any) -> None:
    os.write(1, msgspec.json.encode(answer))
    os._exit(0)


if __name__ == "__main__":
    main()
