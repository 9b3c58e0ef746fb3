"""What several test files share: shapes, dtypes, levels, and the contract in plain NumPy."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidl import kernels
from minidl.kernels import _leaf

DTYPES = ("float32", "float64")
ISA_LEVELS = kernels.available_isa()
FUSED_LEVELS = tuple(level for level in ISA_LEVELS if level != "portable")
K_BLOCK = 256

# Where to start a fresh Python: not in the root of the source, whose folder minidl is not compiled.
ELSEWHERE = Path(__file__).parent

needs_fused = pytest.mark.skipif(
    not FUSED_LEVELS,
    reason="this CPU has no level with fused multiply-add: its bits differ, as show_config() says",
)
needs_openmp = pytest.mark.skipif(not _leaf.openmp_version(), reason="built without OpenMP")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def python(*arguments, check=True, timeout=120, prefix=(), **variables):
    """Run Python in a fresh process that finds the modules of the tests; None removes a variable.

    Returns the CompletedProcess; what runs longer is killed, and fails the test.
    """
    path = os.pathsep.join([str(ELSEWHERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, **variables}
    done = subprocess.run(
        [*prefix, sys.executable, *map(str, arguments)],
        env={name: value for name, value in env.items() if value is not None},
        cwd=ELSEWHERE,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def uniform(rng, shape, dtype):
    """Return numbers in [-1, 1) of that dtype."""
    return rng.uniform(-1, 1, shape).astype(dtype)


def padded(array, extra=3, offset=1):
    """Return an equal array whose rows are further apart and whose data are not aligned."""
    rows, columns = array.shape
    room = np.full((rows, columns + extra + offset), np.nan, array.dtype)
    view = room[:, offset : offset + columns]
    view[...] = array
    return view


def contract_float32(a, b, bias=None):
    """Return a @ b in float32 exactly as minidl-num-1 says, computed without any FMA instruction.

    The product of two float32 is exact in float64, and so is the rounding decision for the sum: float64
    addition is corrected to round-to-odd, after which one rounding to float32 is the right one.
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    s = np.zeros((a.shape[0], b.shape[1]), np.float32)
    if bias is not None:
        s = s + np.asarray(bias, np.float32)
    for start in range(0, a.shape[1], K_BLOCK):
        p = np.zeros_like(s)
        for k in range(start, min(start + K_BLOCK, a.shape[1])):
            p = _fma_float32(a[:, k : k + 1], b[k : k + 1, :], p)
        s = s + p
    return s


def _fma_float32(a, b, c):
    product = a.astype(np.float64) * b.astype(np.float64)
    c = np.broadcast_to(c, product.shape).astype(np.float64)
    total = product + c
    virtual = total - product
    error = (product - (total - virtual)) + (c - virtual)
    # round to odd: where the sum was inexact and ends in an even bit, step towards the error
    bits = total.view(np.int64)
    even = (bits & 1) == 0
    nudge = (error != 0) & even
    away = (error > 0) == (total > 0)
    bits = np.where(nudge, np.where(away, bits + 1, bits - 1), bits)
    return bits.view(np.float64).astype(np.float32)


def product_bound(a, b, dtype):
    """Return the rounding error that the contract allows a @ b, element by element.

    A chain of n <= 256 roundings and the sum of the blocks: (256 + blocks) * eps/2 * |a| |b|, and
    twice that for safety of the first-order bound.
    """
    k = a.shape[1]
    steps = min(k, K_BLOCK) + -(-k // K_BLOCK) + 1
    magnitude = np.abs(np.asarray(a, np.float64)) @ np.abs(np.asarray(b, np.float64))
    return steps * np.finfo(dtype).eps * magnitude + np.finfo(dtype).tiny


def at_offset(array, offset):
    """Return an equal array whose first byte lies `offset` bytes after a 64-byte boundary, NaN around it."""
    array = np.asarray(array)
    room = np.full(array.nbytes + 192, 0xFF, np.uint8)
    start = -room.ctypes.data % 64 + 64 + offset
    view = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view
