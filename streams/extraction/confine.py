"""Taking a decoding process's rights away, since what it decodes comes from strangers.

Layers, each of which stands by itself: namespaces (no network, an empty root), Landlock (no file system), seccomp (a
list of system calls), limits. What of them works differs between kernels and containers, so each is tried, and what
was reached is said.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from streams.extraction import seccomp

Mode = Literal["require", "best", "off"]
#: Descriptors of a decoding process: its line to the worker, its libraries and one file fit well.
MAX_FILES = 64

_CLONE_NEW = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
#: Same numbers on every machine.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
#: Those of them whose failure is told; libc has no functions for them.
_NAMES: dict[object, str] = {
    _FSOPEN: "fsopen", _FSCONFIG: "fsconfig", _FSMOUNT: "fsmount",
    _LANDLOCK_CREATE: "landlock_create_ruleset", _LANDLOCK_RESTRICT: "landlock_restrict_self",
}  # fmt: skip
_FSCONFIG_CREATE = 6
_MOUNT_READ_ONLY = 0x1 | 0x2 | 0x4 | 0x8  # and no set-user-ID, devices, programs
_CAP_SYS_CHROOT = 1 << 18
_CAPABILITY_VERSION = 0x20080522
#: Rights on files that each version of Landlock knows, as its kernel's documentation counts them.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
#: TCP (bind, connect) from version 4; signals and abstract sockets to others from version 6.
_NETWORK_FROM, _SCOPES_FROM = 4, 6

#: What helps where a layer is missing.
FIXES = {
    "namespaces": "let the worker make user namespaces (sysctl user.max_user_namespaces; in containers a seccomp "
    "profile that allows unshare). Not needed for the full level",
    "landlock": "run Linux 5.13 or newer with landlock among its security modules (lsm=…), and a container runtime "
    "whose seccomp profile allows landlock_*",
    "seccomp": "allow seccomp(2) and prctl(PR_SET_NO_NEW_PRIVS) in the container's profile, on x86-64 or aarch64",
    "limits": "allow setrlimit(2)",
}


class Confinement(msgspec.Struct, frozen=True):
    """What holds a decoding process: layer → how it stands; `missing`: layer → why it does not."""

    reached: dict[str, str] = {}
    missing: dict[str, str] = {}

    @property
    def level(self) -> Literal["full", "partial", "none"]:
        """full: system calls are filtered, and files out of reach by a second layer as well."""
        if {"seccomp", "limits"} <= self.reached.keys() and {"landlock", "namespaces"} & self.reached.keys():
            return "full"
        return "partial" if self.reached else "none"

    @property
    def needed(self) -> dict[str, str]:
        """What keeps it from the full level: layer → why."""
        return {} if self.level == "full" else self.missing

    def __str__(self) -> str:
        stands = "; ".join(f"{layer} ({how})" for layer, how in self.reached.items())
        lacks = "; ".join(f"no {layer}: {why}" for layer, why in self.missing.items())
        return f"{self.level}: {stands or 'nothing'}" + (f"; {lacks}" if lacks else "")


class Jail:
    """The process that it is made in, on its way into confinement. Made before there are threads and models: memory is
    limited, there is no network, and the process dies with its parent. `close` comes before the first stranger's byte,
    and cannot be undone."""

    def __init__(self, memory_mb: int, mode: Mode, written: int = 0) -> None:
        """`written`: bytes up to which files that it was given may grow; none is written by what only reads."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._reached: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._mode = mode
        self._root: int | None = None
        self._threads = 1
        self._written = written
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if mode != "off":
            self._try("namespaces", self._namespaces)
            self._call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        self._call("prctl", _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)  # forgotten where credentials change, so last

    def close(self) -> Confinement:
        """Shut it: from here on it has the descriptors that are open, memory, threads and the clock."""
        self._threads = len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").is_dir() else 1
        if self._mode == "off":
            resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
            return Confinement()
        if self._root is not None:
            self._try("namespaces", self._empty_root)
        self._try("landlock", self._landlock)
        self._try("limits", self._limits)
        self._try("seccomp", self._seccomp)
        if "seccomp" not in self._reached:  # else threads may be made, and nothing else
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        return Confinement(self._reached, self._missing)

    def _try(self, layer: str, work: Callable[[], str]) -> None:
        try:
            self._reached[layer] = work()
        except OSError as error:
            self._reached.pop(layer, None)
            self._missing[layer] = f"{error.strerror}" + (f" ({error.filename})" if error.filename else "")

    def _call(self, name: str, *arguments: object) -> int:
        answer: int = getattr(self._libc, name)(*arguments)
        if answer < 0:
            code = ctypes.get_errno()
            what = name if name != "syscall" else _NAMES[arguments[0]]
            raise OSError(code, f"{what}: {os.strerror(code)}")
        return answer

    def _namespaces(self) -> str:
        user, group = os.getuid(), os.getgid()
        self._call("unshare", sum(_CLONE_NEW.values()))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        # An empty file system that is mounted nowhere: there is no folder in it, and no way up from it.
        context = self._call("syscall", _FSOPEN, b"tmpfs", 0)
        self._call("syscall", _FSCONFIG, context, _FSCONFIG_CREATE, None, None, 0)
        self._root = self._call("syscall", _FSMOUNT, context, 0, _MOUNT_READ_ONLY)
        os.set_inheritable(self._root, False)
        os.close(context)
        self._keep_capabilities(_CAP_SYS_CHROOT)  # before there are threads: each has its own
        return "being entered"

    def _empty_root(self) -> str:
        assert self._root is not None, "made by _namespaces"
        os.fchdir(self._root)
        os.chroot(".")
        os.close(self._root)
        return ", ".join(name for name in _CLONE_NEW if name != "uts") + ", an empty root"

    def _keep_capabilities(self, kept: int) -> None:
        class Header(ctypes.Structure):
            _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

        sets = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; then the upper halves
        self._call("capset", ctypes.byref(Header(_CAPABILITY_VERSION, 0)), ctypes.byref(sets))

    def _landlock(self) -> str:
        version = self._libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
        if version < 1:
            code = ctypes.get_errno()
            raise OSError(code, "the kernel has it not" if code == errno.ENOSYS else os.strerror(code))
        handled = [
            (1 << _FILE_RIGHTS.get(version, _FILE_RIGHTS[5])) - 1,
            *([0b11] if version >= _NETWORK_FROM else []),
            *([0b11] if version >= _SCOPES_FROM else []),
        ]
        # Every right that this kernel knows is handled, and no rule grants one.
        attributes = (ctypes.c_uint64 * len(handled))(*handled)
        ruleset = self._call("syscall", _LANDLOCK_CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
        self._call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)
        others = self._threads - 1
        # It binds the thread that asks for it, and those that this thread makes: here the one that decodes.
        return f"version {version}" + (f", all but {others} threads that came before" if others else "")

    def _limits(self) -> str:
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._written, self._written))
        self._keep_capabilities(0)  # root's, where there are no namespaces
        return "memory, descriptors, writing, capabilities"

    def _seccomp(self) -> str:
        seccomp.restrict(self._libc)
        return f"{len(seccomp.CALLS) + len(seccomp.asks(0))} system calls allowed"
