"""The files of the evasion suite: each clip, and each clip edited in each way, encoded once and kept under build/."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from tests.bench.report import BUILD
from tests.evaluation import evasion_clips, evasion_edits
from tests.evaluation.evasion_clips import CLIPS, SOUNDS, TUNING, Film, film, loaded, written
from tests.evaluation.evasion_edits import EDITS, Edit

FOLDER = BUILD / "evasion"
#: Footage that clips are put into or over, and what stands in for it where the two are parts of one film.
OTHER, INSTEAD = "meadow", "world"
OF_BUNNY = ("meadow", "rabbit", "forest")


@cache
def _made_by() -> str:
    """Changes with the code that makes the files."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (evasion_clips, evasion_edits))
    return hashlib.sha256(code).hexdigest()[:12]


def banned(name: str) -> Path:
    """The clip as it was banned."""
    path = _place(f"{name}.mp4")
    if not path.exists():
        written(path, film(name), "libx264", {"preset": "veryfast", "crf": "18"})
    return path


def edited(name: str, edit: str) -> Path:
    """The clip as it is uploaded again."""
    how: Edit = EDITS[edit]
    path = _place(f"{name}-{edit}{how.suffix}")
    if not path.exists():
        other = INSTEAD if name in OF_BUNNY else OTHER
        written(path, how.change(_loaded(name), _loaded(other)), how.codec, how.options, how.sound_bits_s)
    return path


def pairs(names: list[str], edits: list[str]) -> list[tuple[str, str]]:
    """Clips with the edits that can be done to them: sound is changed only where there is some."""
    return [(name, edit) for name in names for edit in edits if name in SOUNDS or not EDITS[edit].of_sound]


@cache
def _loaded(name: str) -> Film:
    return loaded(banned(name))


def _place(name: str) -> Path:
    folder = FOLDER / _made_by()
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


assert not set(CLIPS) & set(TUNING)
