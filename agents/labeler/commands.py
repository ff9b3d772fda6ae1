"""`label write`: put the label of GB 45438-2025 on a file, as the labeler does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console import AsJson, err, fail, out, settings, shared_group


def register(app: typer.Typer) -> None:
    """Add the command to the others on labels; before or after they are there."""
    shared_group(app, "label", "Labels of generated media (GB 45438-2025).").command("write")(write)


def write(
    file: Annotated[Path, typer.Argument(help="what to label; it is only read", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="the labelled copy; must not exist", show_default=False)
    ],
    code: Annotated[
        str | None,
        typer.Option("--code", help="27 characters: the code of who writes the label [policy: synthetic.propagator]"),
    ] = None,
    level: Annotated[
        int, typer.Option("--level", "-l", min=1, max=3, help="1 is generated, 2 may be, 3 suspected")
    ] = 1,
    content_id: Annotated[
        str | None, typer.Option("--id", help="the content's number at the writer [default: the file's name]")
    ] = None,
    producer: Annotated[
        str | None, typer.Option("--producer", help="27 characters: the code of who made it; level 1: as --code")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", "-t", help="the words to be seen [default: the policy's for that level]")
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=2.0, help="how long the words stand over a video's opening")
    ] = 2.0,
    permanent: Annotated[bool, typer.Option("--permanent", help="the words stand to the end of a video")] = False,
    rhythm: Annotated[
        bool, typer.Option("--rhythm", help="in sound the standard's rhythm (short long, short short), not words")
    ] = False,
    implicit_only: Annotated[
        bool, typer.Option("--implicit-only", help="only the metadata: every packet stays bit for bit as it is")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the label of GB 45438-2025 into a copy of a file: its metadata, and words that people see.

    **Metadata** goes to where the standard has it, into mp4, mov, m4a, mkv, webm, flv, avi, wav, mp3, flac, ogg, jpeg
    and png, and is read back. A label that is there stays: only the writer's own fields are set.

    **Words** stand on the opening of a video, at a corner, at least 5 % of its shorter side high; of H.264 no more than
    the opening is encoded again. Pictures carry them too. Sound gets a spoken notice, as loud as it is itself. The
    standard asks for "人工智能" or "AI" and "生成" or "合成" in them.

    Exit code: 0, done; 1, it cannot be, and nothing was written.

    Examples: **veristream label write clip.mp4 --code 001191110102MACQD9K64018705 -o labelled.mp4**;
    **veristream label write song.mp3 -l 2 --implicit-only -o labelled.mp3**; then **veristream label check**
    """
    from schemas.policy import default_policy

    settings()
    policy = default_policy().synthetic
    code = code or policy.propagator
    if not code:
        sys.exit(fail("who writes the label is not known: give --code (27 characters)"))
    words = text or {1: policy.text_generated, 2: policy.text_possible, 3: policy.text_suspected}[level]
    if not implicit_only and (fault := _wording(words)):
        sys.exit(fail(f"--text {words!r}: {fault}"))
    if permanent and implicit_only:
        sys.exit(fail("--permanent is about words, and --implicit-only writes none: give one of them"))
    if output.exists():
        sys.exit(fail(f"{output}: is there already; nothing is written over. Give another --output"))
    number = content_id or "".join(
        sign if (sign.isascii() and sign.isalnum()) or sign in "-._" else "-" for sign in file.stem
    )
    first = producer or (code if level == 1 else "")
    label = {
        "Label": str(level),
        "ContentProducer": first,
        "ProduceID": number if first else "",
        "ReservedCode1": "",
        "ContentPropagator": code,
        "PropagateID": number,
        "ReservedCode2": "",
    }
    _copy(file, output, label, "" if implicit_only else words, seconds, permanent, rhythm, as_json)


def _copy(
    file: Path,
    output: Path,
    label: dict[str, str],
    words: str,
    seconds: float,
    permanent: bool,
    rhythm: bool,
    as_json: bool,
) -> None:
    import av

    from streams.labels.copy import Terms, label_copy
    from streams.labels.write import CannotLabel

    av.logging.set_level(av.logging.PANIC)
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with file.open("rb") as source, part.open("x+b") as made, err.status("") as status:
            copied = label_copy(
                source,
                made,
                Terms(label, words, seconds, permanent, rhythm),
                lambda done, what: status.update(
                    f"{what}: " + (f"{done / 2**20:.0f} MB" if what == "copying" else f"{done:.0f} s")
                ),
            )
            made.flush()
            os.fsync(made.fileno())
        os.link(part, output)  # fails if it has come to be there meanwhile
    except CannotLabel as error:
        sys.exit(fail(f"{file}: {error}"))
    except OSError as error:
        sys.exit(fail(f"{error.filename or output}: {error.strerror or error}"))
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        said = {"file": str(output), **copied._asdict(), "implicit": json.loads(copied.implicit)}
        out.print(json.dumps(said, ensure_ascii=False), soft_wrap=True, markup=False)
        return
    how = {"seen": "words to be seen", "heard": "a notice to be heard", "nothing": "metadata alone"}[copied.explicit]
    again = f"; {copied.encoded_s:.1f} s encoded again, the rest copied" if copied.encoded_s is not None else ""
    left = f"; left out: {', '.join(copied.dropped)}" if copied.dropped else ""
    out.print(f"{output}: {copied.container}, {how}{again}{left}", markup=False, soft_wrap=True)
    out.print(copied.implicit, markup=False, soft_wrap=True)


def _wording(words: str) -> str | None:
    """What GB 45438-2025 misses in the words."""
    if "人工智能" not in words and "AI" not in words:
        return 'it holds neither "人工智能" nor "AI"'
    if "生成" not in words and "合成" not in words:
        return 'it holds neither "生成" nor "合成"'
    return None
