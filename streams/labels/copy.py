"""The labelled copy of a file: what is seen or heard, then what stands in the metadata."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import BinaryIO, Literal, NamedTuple

from schemas.aigc import check_labels
from streams.labels.read import read_labels
from streams.labels.walk import MAX_BLOCK
from streams.labels.write import CannotLabel, write_label

#: Brands of ISO files and FFmpeg's name of the writer that makes such.
_BRANDS = {b"qt  ": "mov", b"M4A ": "ipod", b"M4B ": "ipod"}
#: Containers with sound and pictures, and FFmpeg's name of their writer.
_FORMS = {"avi": "avi", "wav": "wav", "flv": "flv", "mp3": "mp3", "flac": "flac", "ogg": "ogg"}


class Terms(NamedTuple):
    """What the copy shall carry."""

    #: The `AIGC` object's fields.
    label: Mapping[str, str]
    #: Words to be seen; empty: nothing is seen or heard.
    text: str = ""
    seconds: float = 2.0
    permanent: bool = False
    #: Of sounds: the standard's rhythm in place of words.
    rhythm: bool = False


class Copied(NamedTuple):
    """What was made."""

    container: str
    #: The object, as it stands in the file.
    implicit: str
    #: seen, heard, or nothing.
    explicit: Literal["seen", "heard", "nothing"]
    #: Seconds of pictures that were encoded again; None: all, or none.
    encoded_s: float | None
    dropped: tuple[str, ...]
    #: What the names of such files end in.
    ending: str = ""


def label_copy(
    source: BinaryIO,
    out: BinaryIO,
    terms: Terms,
    progress: Callable[[float, str], None] | None = None,
    *,
    scratch: BinaryIO | None = None,
) -> Copied:
    """Make the labelled copy in `out`, which is empty and can be read. `progress` is told how far it is, in seconds or
    bytes, and with what. `scratch`: an empty file for what lies between; without it, one is made.

    Raises:
        CannotLabel: it cannot be made; the text says why.
        OSError: reading or writing failed.
    """
    found = read_labels(source)
    if found.container is None:
        raise CannotLabel(found.problem or "this kind of file is not known")
    there = check_labels(found.labels).fields if found.labels else {}

    def told(what: str) -> Callable[[float], None] | None:
        return (lambda done: progress(done, what)) if progress else None

    if not terms.text:
        written = write_label(source, out, terms.label, told("copying"))
        return Copied(written.container, written.text, "nothing", None, (), _ending(source, written.container))
    with tempfile.TemporaryFile() if scratch is None else nullcontext(scratch) as marked:
        done = mark(source, marked, found.container, terms, told("encoding"))
        marked.seek(0)
        written = write_label(marked, out, terms.label, told("copying"), there=there, marked=True)
    return Copied(written.container, written.text, *done, _ending(source, written.container))


def mark(
    source: BinaryIO, out: BinaryIO, container: str, terms: Terms, progress: Callable[[float], None] | None = None
) -> tuple[Literal["seen", "heard"], float | None, tuple[str, ...]]:
    """Copy with what is seen or heard: which of them, seconds that were encoded again, streams left out.

    Raises:
        CannotLabel: it cannot be made.
    """
    import av

    from streams.labels import audible, visible

    source.seek(0)
    if container in ("jpeg", "png"):
        _mark_picture(source, out, container, terms.text)
        return "seen", None, ()
    form = _form(source, container)
    try:
        with av.open(source, "r") as given:
            seen = visible.pictures_of(given) is not None
        source.seek(0)
        if seen:
            wanted = visible.Wanted(terms.text, terms.seconds, terms.permanent)
            done = visible.mark_video(source, out, form, wanted, progress)
            return "seen", done.encoded_s, done.dropped
        notice = audible.Notice(int(terms.label.get("Label") or 3), terms.rhythm)
        audible.mark_sound(source, out, form, notice, progress)
    except (av.FFmpegError, ValueError, IndexError) as error:
        if isinstance(error, OSError) and error.errno in (28, 122, 30, 5):  # the disk's own, not the file's
            raise OSError(error.errno, error.strerror) from error
        raise CannotLabel(f"it cannot be decoded and encoded again: {error}") from error
    return "heard", None, ()


def _ending(source: BinaryIO, container: str) -> str:
    if container not in ("mp4", "mkv"):
        return container
    source.seek(0)
    return {"ipod": "m4a", "matroska": "mkv"}.get(form := _form(source, container), form)


def _form(source: BinaryIO, container: str) -> str:
    head = source.read(4096)
    source.seek(0)
    if container == "mp4":
        return _BRANDS.get(head[8:12], "mp4") if head[4:8] == b"ftyp" else "mov"
    if container == "mkv":
        return "webm" if b"webm" in head[:64] else "matroska"
    if container not in _FORMS:
        raise CannotLabel(f"the words cannot be put into {container} files")
    return _FORMS[container]


def _mark_picture(source: BinaryIO, out: BinaryIO, container: str, text: str) -> None:
    from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

    from streams.labels import marks

    try:
        with Image.open(source, formats=(container,)) as image:
            if getattr(image, "n_frames", 1) > 1:
                raise CannotLabel("it has several pictures: only still ones are marked")
            info = {name: image.info[name] for name in ("icc_profile", "dpi") if image.info.get(name)}
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
            exif = image.getexif()
            turned = ImageOps.exif_transpose(image)
            exif.pop(0x0112, None)  # the orientation, which now is as it is shown
            made = marks.picture(turned, text)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise CannotLabel(f"the picture cannot be marked: {error}") from error
    if exif:
        info["exif"] = exif.tobytes()
    packet = packet.encode() if isinstance(packet, str) else packet
    if container == "jpeg":
        xmp = {"xmp": packet} if packet and len(packet) < MAX_BLOCK else {}
        made.save(out, "JPEG", quality=95, subsampling="4:4:4", **info, **xmp)
        return
    texts = PngImagePlugin.PngInfo()
    if packet:
        texts.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8", "replace"))
    made.save(out, "PNG", pnginfo=texts, **info)
