"""What can be wrong with a machine and a broker, each with what to do about it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from streams.acls import AGENTS, lacking, rights_of
from streams.contact import OLDEST, KafkaUnusable, lacks
from streams.provision import CREATE, compare
from streams.registered import installed
from streams.settings import Settings, SettingsError

#: Codecs of ingest tiers that the FFmpeg libraries must be able to decode.
CODECS = ("h264", "hevc", "vp9", "av1", "aac", "opus", "mp3")
#: Below this much room, in bytes, the spool runs full with a few long uploads.
LEAST_ROOM = 10 * 2**30
#: A clock before this day is wrong: this code did not exist.
EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
#: adjtimex(2): the kernel's word for a clock that nothing keeps in time.
_TIME_ERROR = 5


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "bad"]
    found: str
    fix: str = ""


async def examine(settings: Settings, roles: Sequence[str] = ()) -> list[Check]:
    """Look at everything; at the rights of these roles, of the agents that run here if none is named."""
    here = await asyncio.to_thread(lambda: [_python(), *_media(), *_plugins(settings), *_folders(settings), _clock()])
    return [*here, await _confinement(settings), *await _broker(settings, roles)]


def _python() -> Check:
    return Check("python", "ok", sys.version.split()[0])


def _media() -> Iterator[Check]:
    import av

    versions = ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in av.library_versions.items())
    yield Check("ffmpeg", "ok", versions)
    missing = [codec for codec in CODECS if codec not in av.codecs_available]
    if missing:
        yield Check("codecs", "bad", f"cannot decode {', '.join(missing)}", "install PyAV from its wheel: make setup")
    else:
        yield Check("codecs", "ok", " ".join(CODECS))


def _plugins(settings: Settings) -> Iterator[Check]:
    for group, wanted in (("agents", settings.agents), ("detectors", settings.detectors)):
        try:
            found = installed(f"veristream.{group}", wanted)
        except (SettingsError, ImportError) as error:
            yield Check(group, "bad", str(error), f"correct VERISTREAM_{group.upper()}, or install the package")
            continue
        yield Check(group, "ok", " ".join(found))
        if group == "detectors":
            for name, kind in found.items():
                problems = kind.problems()
                fix = "install again: make setup" if problems else ""
                # An item without it is judged as the policy's media_text.on_absent says.
                faulty: Literal["warn", "bad"] = "warn" if kind.optional else "bad"
                state: Literal["ok", "warn", "bad"] = faulty if problems else "ok"
                yield Check(f"detector {name}", state, "; ".join(problems) or kind.version, fix)


def _folders(settings: Settings) -> Iterator[Check]:
    spool = settings.spool or Path("/tmp")  # noqa: S108 - only its free room is asked for
    for name, folder in (("store", settings.store), ("spool", spool)):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        room = shutil.disk_usage(there).free
        if not os.access(there, os.W_OK):
            yield Check(name, "bad", f"{folder} cannot be written", f"allow it, or set VERISTREAM_{name.upper()}")
        elif room < LEAST_ROOM:
            yield Check(name, "warn", f"{folder} has {room / 2**30:.1f} GiB left", "make room, or move it")
        else:
            yield Check(name, "ok", f"{folder}, {room / 2**30:.0f} GiB left")


async def _confinement(settings: Settings) -> Check:
    if settings.confinement == "off":
        found = "off: decoding processes may open files and reach the network"
        return Check("confinement", "warn", found, "unset VERISTREAM_CONFINEMENT")
    from streams.extraction.confine import FIXES
    from streams.extraction.pool import PoolUnusable, probe

    try:
        held = await probe(settings)
    except PoolUnusable as error:
        return Check("confinement", "bad", str(error), "install again: make setup")
    if not held.needed:
        return Check("confinement", "ok", str(held))
    state: Literal["warn", "bad"] = "bad" if settings.confinement == "require" else "warn"
    return Check("confinement", state, str(held), "; ".join(FIXES[layer] for layer in held.needed))


def _clock() -> Check:
    now = datetime.now(UTC)
    if now < EARLIEST:
        return Check("clock", "bad", f"it says {now:%Y-%m-%d %H:%M}", "set it: decisions and deadlines carry its time")
    # The first field of struct timex (modes = 0: only read) is all that matters; the rest is room for the answer.
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    if state == _TIME_ERROR:
        return Check(
            "clock", "warn", f"{now:%Y-%m-%d %H:%M} UTC, kept in time by nothing", "run chrony or another NTP client"
        )
    return Check("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


async def _broker(settings: Settings, roles: Sequence[str]) -> list[Check]:
    try:
        missing = await lacks(settings)
        if missing:
            too_old = f"{settings.broker} is too old: it has no {'; no '.join(missing)}"
            return [Check("broker", "bad", too_old, f"use {OLDEST} or later")]
        different, unasked = await compare(settings)
        rights = await _rights(settings, roles)
    except KafkaUnusable as error:
        return [Check("broker", "bad", f"{settings.broker} cannot be used", str(error))]
    found = [Check("broker", "ok", settings.broker)]
    if rights:
        # What else is hidden from a user is none of its business.
        different = [row for row in different if row.what != "topic" or row.fix == CREATE]
    found += [Check("topic", "bad", f"{row.topic} {row.sentence}", row.fix) for row in different]
    if not different:
        found.append(Check("topics", "ok", "as the table says"))
    if unasked:
        found.append(
            Check("configuration", "warn", unasked, "`veristream topics check` as a user of role reader tells")
        )
    return [*found, *rights]


async def _rights(settings: Settings, roles: Sequence[str]) -> list[Check]:
    """Whether the user of these settings may do what its roles do; nothing where clients are nobody in particular."""
    if not (settings.broker_user or settings.broker_cert):
        return []
    roles = roles or settings.agents or (AGENTS,)
    user = settings.broker_user or "the certificate's user"
    try:
        missing = await lacking(settings, rights_of(roles, settings))
    except ValueError as error:
        return [Check("rights", "bad", str(error), "name a role with --role")]
    if not missing:
        return [Check("rights", "ok", f"{user} may do what {', '.join(roles)} do")]
    given = " ".join(f"--role {role}" for role in roles)
    fix = (
        f"veristream acls create {given} --user {settings.broker_user or 'CN=…'}, as a user that may alter the cluster"
    )
    return [Check("rights", "bad", f"{user} lacks {'; '.join(map(str, missing))}", fix)]
