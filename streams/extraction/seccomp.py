"""The system calls that a confined decoding process may make; every other one is refused with EPERM.

A list of what is allowed, not of what is known to be bad, as a program for the kernel's own filter (seccomp-BPF). The
libraries that would write it for us need libseccomp on the machine, or have not been kept; what is needed of them is
one table and four instructions.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

_EPERM, _ENOSYS = (0x00050000 | code for code in (errno.EPERM, errno.ENOSYS))  # SECCOMP_RET_ERRNO
_ALLOW = 0x7FFF0000
_SET_MODE_FILTER, _TSYNC = 1, 1
#: Offsets in struct seccomp_data, of a little-endian machine: both that are known here are.
_NUMBER, _ARCH, _ARGS = 0, 4, 16
#: Classic BPF: load a word, jump if equal, jump if greater or equal, mask, return.
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
#: From this number on, x86-64 calls are those of its x32 form, under other numbers.
_X32 = 0x40000000


class Machine(NamedTuple):
    """A processor: the kernel's name for it, seccomp's own number, and its column of the table."""

    audit: int
    seccomp: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 317, 0), "aarch64": Machine(0xC00000B7, 277, 1)}

#: Allowed as they are: name → (x86-64, aarch64), from the kernel's asm/unistd. None of them takes a path, makes a
#: descriptor or reaches another process; `recvmsg` is how the file to read comes in.
CALLS: dict[str, tuple[int | None, int | None]] = {
    # the file that was handed over, the answer
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "pread64": (17, 67),
    "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "preadv2": (327, 286), "recvmsg": (47, 212),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216),
    "madvise": (28, 233),
    # threads and signals of its own
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "futex": (202, 98),
    "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283), "exit": (60, 93),
    "exit_group": (231, 94),
    # the time, itself, the machine
    "gettimeofday": (96, 169), "time": (201, None), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "getpid": (39, 172), "gettid": (186, 178),
    "getuid": (102, 174), "getgid": (104, 176), "geteuid": (107, 175), "getegid": (108, 177), "getrusage": (98, 165),
    "times": (100, 153), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278), "getcpu": (309, 168),
}  # fmt: skip


class Ask(NamedTuple):
    """A call that is allowed where `argument & mask == value`, of the argument's lower 32 bits."""

    name: str
    numbers: tuple[int, int]
    argument: int
    mask: int
    values: tuple[int, ...]


_ALL = 0xFFFFFFFF
_EMPTY_PATH = 0x1000
_CLONE_VM_THREAD = 0x10100
_CLONE_NEW = 0x7E020000


def asks(process: int) -> tuple[Ask, ...]:
    """Calls that are allowed for some arguments only."""
    return (
        Ask("newfstatat", (262, 79), 3, _EMPTY_PATH, (_EMPTY_PATH,)),  # how glibc asks about a descriptor
        Ask("fcntl", (72, 25), 1, _ALL, (1, 2, 3)),  # F_GETFD, F_SETFD, F_GETFL
        Ask("clone", (56, 220), 0, _CLONE_VM_THREAD | _CLONE_NEW, (_CLONE_VM_THREAD,)),  # a thread, in no new space
        Ask("prctl", (157, 167), 0, _ALL, (15,)),  # PR_SET_NAME, of a thread
        Ask("kill", (62, 129), 0, _ALL, (process,)),  # itself alone, as abort does
        Ask("tgkill", (234, 131), 0, _ALL, (process,)),
    )


#: Its flags lie in memory where no filter sees them; told that there is no such call, glibc uses `clone`.
_CLONE3 = 435


def program(machine: Machine, process: int) -> list[tuple[int, int, int, int]]:
    """The filter's instructions: (code, jump if true, jump if false, operand)."""
    steps = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _EPERM),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _EPERM),
    ]
    for numbers in CALLS.values():
        if (number := numbers[machine.column]) is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for ask in asks(process):
        body = [(_LOAD, 0, 0, _ARGS + 8 * ask.argument), (_AND, 0, 0, ask.mask)]
        for value in ask.values:
            body += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
        body.append((_RETURN, 0, 0, _EPERM))
        steps += [(_EQUAL, 0, len(body), ask.numbers[machine.column]), *body]
    return [*steps, (_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS), (_RETURN, 0, 0, _EPERM)]


class _Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def restrict(libc: ctypes.CDLL) -> None:
    """Put every thread of this process under the filter, for good. No new privileges must have been set.

    Raises:
        OSError: the machine is not known here, or the kernel refuses.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, f"no table of system calls for {platform.machine()}")
    steps = program(machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    whole = _Program(len(steps), ctypes.addressof(code))
    if answer := libc.syscall(machine.seccomp, _SET_MODE_FILTER, _TSYNC, ctypes.byref(whole)):
        reason = ctypes.get_errno() if answer < 0 else errno.ESRCH  # above 0: a thread that has another filter
        raise OSError(reason, f"the kernel refuses the filter ({os.strerror(reason)})")
