"""What the C library does with the memory that XLA gives back between two steps on CPU."""

import ctypes
import platform

import jax

# <malloc.h> of glibc
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1


def keep_freed_memory_on_cpu() -> None:
    """`keep_freed_memory` where the CPU computes: a pretraining step of WCR gains a sixth."""
    if jax.default_backend() == "cpu":
        keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let this process keep freed memory instead of returning it; whether the C library does.

    A step on CPU allocates its activations anew. glibc returns such large blocks to the system as
    soon as they are freed, and each page is then faulted in, and zeroed, again in the next step: in
    a virtual machine that took half of the time of an EfficientNet's training step. Call it
    before other threads allocate. Nothing happens under another C library.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_ARENA_MAX, 1))
    return all(libc.mallopt(name, value) == 1 for name, value in settings)
