"""Reductions: bits of the virtual-lane order, accuracy, NaN, ties, empty matrices."""

import math

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS, padded

from minidl import kernels

SIZES = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100, 257, 300]
# Every size meets every other as a number of columns or rows, without the full square of them.
SHAPES = [(3, n) for n in SIZES] + [(n, 5) for n in SIZES] + [(n, 37) for n in (255, 256, 257, 513)]
SHAPES += [(300, 300), (17, 130), (600, 1)]


@pytest.fixture(params=ISA_LEVELS, autouse=True)
def isa(request):
    with kernels.use_isa(request.param):
        yield request.param


def draw(shape, dtype, seed=0):
    """Return numbers of very different sizes, so that a change of order changes the last bits."""
    rng = np.random.default_rng([seed, *shape])
    return (rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3, shape)).astype(dtype)


def lane_sums(x):
    """Sum the rows in the order of the contract, one addition at a time, in the dtype of x."""
    rows, n = x.shape
    width = 64 // x.itemsize
    lanes = np.zeros((rows, width), x.dtype)
    for begin in range(0, n, width):
        group = np.zeros_like(lanes)
        part = x[:, begin : begin + width]
        group[:, : part.shape[1]] = part
        lanes = lanes + group
    while width > 1:
        width //= 2
        lanes = lanes[:, :width] + lanes[:, width:]
    return lanes[:, 0]


def block_sums(x):
    """Sum the columns in the order of the contract: blocks of 256 rows."""
    total = np.zeros(x.shape[1], x.dtype)
    for begin in range(0, len(x), 256):
        part = np.zeros_like(total)
        for row in x[begin : begin + 256]:
            part = part + row
        total = total + part
    return total


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_have_the_bits_of_the_contract(shape, dtype):
    data = draw(shape, dtype)
    for pad, offset in [(0, 0), (3, 1), (1, 5)]:
        x = padded(data, pad, offset)
        assert kernels.reduce("sum", x, 1).tobytes() == lane_sums(data).tobytes()
        assert kernels.reduce("sum", x, 0).tobytes() == block_sums(data).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_are_accurate(shape, dtype):
    x = draw(shape, dtype, seed=1)
    rows, n = shape
    eps = float(np.finfo(dtype).eps)
    for axis, additions in [
        (1, -(-n // (64 // x.itemsize)) + 4),
        (0, min(rows, 256) + rows // 256),
    ]:
        vectors = x if axis == 1 else x.T
        exact = np.array([math.fsum(vector) for vector in vectors.tolist()])
        sizes = np.array([math.fsum(map(abs, vector)) for vector in vectors.tolist()])
        # Each addition on the way of an element rounds by at most eps/2 of the sum of the sizes.
        bound = 0.5 * eps * (additions + 1) * sizes
        assert np.all(np.abs(kernels.reduce("sum", x, axis) - exact) <= bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_of_nothing_is_plus_zero(dtype):
    for x in (np.empty((3, 0), dtype), np.full((3, 2), -0.0, dtype)):
        sums = kernels.reduce("sum", x, 1)
        assert sums.tobytes() == np.zeros(3, dtype).tobytes()
    assert kernels.reduce("sum", np.empty((0, 3), dtype), 0).tobytes() == np.zeros(3, dtype).tobytes()
    assert kernels.reduce("sum", np.empty((3, 0), dtype), 0).shape == (0,)
    assert kernels.reduce("sum", np.empty((0, 3), dtype), 1).shape == (0,)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["sum", "max"])
@pytest.mark.parametrize("axis", [0, 1])
def test_out_is_filled_and_nothing_beside_it(op, axis, dtype):
    for n in SIZES[1:]:
        x = padded(draw((n, n), dtype, seed=2), extra=2, offset=1)
        buffer = np.full(n + 2, 7, dtype)
        kernels.reduce(op, x, axis, out=buffer[1:-1])
        assert buffer[0] == buffer[-1] == 7
        assert buffer[1:-1].tobytes() == kernels.reduce(op, x, axis).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [s for s in SHAPES if 0 not in s], ids=str)
def test_max_and_argmax_equal_numpy(shape, dtype):
    data = -np.abs(draw(shape, dtype, seed=3))  # negative: a stray +0 would win
    for pad, offset in [(0, 0), (3, 1)]:
        x = padded(data, pad, offset)
        np.testing.assert_array_equal(kernels.reduce("max", x, 0), data.max(axis=0))
        np.testing.assert_array_equal(kernels.reduce("max", x, 1), data.max(axis=1))
        np.testing.assert_array_equal(kernels.argmax(x), data.argmax(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_of_an_empty_row_is_minus_infinity(dtype):
    np.testing.assert_array_equal(kernels.reduce("max", np.empty((2, 0), dtype), 1), [-np.inf] * 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_anywhere_wins_the_maximum(dtype):
    for n in (1, 2, 7, 8, 9, 16, 17, 40):
        x = np.zeros((n, n), dtype)
        x[np.arange(n), np.arange(n)[::-1]] = np.nan  # one per row and per column
        x[:, 0] += np.inf
        assert np.isnan(kernels.reduce("max", x, 0)).all()
        assert np.isnan(kernels.reduce("max", x, 1)).all()
        np.testing.assert_array_equal(kernels.argmax(x), np.arange(n)[::-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_in_its_row_and_column(dtype):
    x = np.zeros((19, 23), dtype)
    x[11, 13] = np.nan
    for op in ("sum", "max"):
        assert np.flatnonzero(np.isnan(kernels.reduce(op, x, 0))).tolist() == [13]
        assert np.flatnonzero(np.isnan(kernels.reduce(op, x, 1))).tolist() == [11]


@pytest.mark.parametrize("dtype", DTYPES)
def test_argmax_takes_the_first_of_equals(dtype):
    rng = np.random.default_rng(4)
    for n in SIZES[1:]:
        x = rng.integers(0, 3, (50, n)).astype(dtype)
        np.testing.assert_array_equal(kernels.argmax(x), x.argmax(axis=1))
        np.testing.assert_array_equal(kernels.argmax(np.full((2, n), -np.inf, dtype)), [0, 0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_all_finite_sees_every_position(bad, dtype):
    largest = np.finfo(dtype).max
    for rows, n in [(1, 1), (1, 16), (1, 17), (3, 7), (2, 33), (5, 64), (2, 131)]:
        for pad in (0, 2):  # the elements between the rows are NaN, and do not count
            x = padded(np.full((rows, n), largest), pad, 1).astype(dtype, copy=False)
            x[0, 0] = np.finfo(dtype).smallest_subnormal
            assert kernels.all_finite(x)
            for position in np.ndindex(rows, n):
                keep = x[position]
                x[position] = bad
                assert not kernels.all_finite(x)
                x[position] = keep
            assert kernels.all_finite(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_finite(dtype):
    for shape in [(0, 0), (0, 3), (3, 0)]:
        assert kernels.all_finite(np.empty(shape, dtype))
