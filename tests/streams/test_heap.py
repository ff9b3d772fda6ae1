"""The heap of a decoding process keeps its bounds, whatever was freed before."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAPPED = """
import ctypes
from streams.extraction import heap
if {bounded}:
    heap.bound()
libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
libc.mallinfo2.restype, libc.malloc.restype, libc.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free(libc.malloc(30 << 20))
before = libc.mallinfo2().hblks
libc.malloc(16 << 20)
print(libc.mallinfo2().hblks - before)
"""  # noqa: E501


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
@pytest.mark.parametrize(("bounded", "mapped"), [(True, "1"), (False, "0")])
def test_a_large_block_goes_back_to_the_kernel_though_a_larger_one_was_freed_before(bounded: bool, mapped: str) -> None:
    given = [sys.executable, "-c", MAPPED.format(bounded=bounded)]
    done = subprocess.run(given, capture_output=True, text=True, check=False)
    if "mallinfo2" in done.stderr:
        pytest.skip("this C library does not tell of its heap")
    assert done.stdout.strip() == mapped, done.stderr
