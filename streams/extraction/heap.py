"""The C library's heap, kept small: what one item took is given back before the next, however long the worker runs.

glibc takes large blocks from the kernel one by one and gives them back at once, until a program frees some: then it
keeps blocks up to that size (at most 32 MB) in its heap, and pictures, activations of models and packets between them
leave holes that nothing else fits. A process with every model held 750 to 870 MB so, and more with each hour of media;
with fixed bounds it holds 700 MB at most, for some 2 % more processor time (`make bench ARGS=extraction.memory`).
"""

from __future__ import annotations

import ctypes

#: Blocks from this size on come from the kernel and go back to it: most of the activations of a model. The decoder's
#: frames, 1.4 MB of 720p, are of a pool of its own and stay.
MMAP_THRESHOLD = 1 << 20
#: Free memory at the heap's end that is kept for the next frame.
TRIM_THRESHOLD = 32 << 20
#: Heaps of the threads of a process: its models run on one.
ARENAS = 1
#: Names of the three for `mallopt`, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def bound() -> None:
    """Fix the bounds of this process's heap; before it grows. Other C libraries than glibc have none to fix."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for name, value in (
            (_M_MMAP_THRESHOLD, MMAP_THRESHOLD),
            (_M_TRIM_THRESHOLD, TRIM_THRESHOLD),
            (_M_ARENA_MAX, ARENAS),
        ):
            libc.mallopt(name, value)


def trim() -> None:
    """Give back what is free in the heap: once models are loaded, which leaves 50 MB of holes, and after each stretch
    of a long item, which leaves 150 MB. Takes some hundredths of a second, and as much again to fill them."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
