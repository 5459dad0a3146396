"""What the memory allocator does between forward passes."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep large blocks for reuse; for a program of its own, not for a library.

    glibc gives every large block back to the system as soon as it is freed, and takes it anew, page by page, for the
    next layer of a forward pass on the CPU. Kept, the same pass takes less time; how much less, `benchmarks/memory.py`
    measures.

    Returns:
        Whether the allocator is one that can be told so (glibc); elsewhere nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
