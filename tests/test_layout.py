"""How rows lie in memory: alignment, distance of rows, huge pages."""

import copy
import mmap
import pickle

import numpy as np
import pytest
from helpers import DTYPES
from hypothesis import example, given
from hypothesis import strategies as st

from minidl.engine.params import ALIGNMENT, HUGE_PAGE, aligned_zeros, leading_dimension


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_width(dtype):
    """All widths of the property below, since they are few: 64-byte rows, odd from 8 lines on.

    With c columns in q = ceil(c / lanes) cache lines, rounding to lines gives q, and at most one line more
    makes the number odd where q >= 8: the distance is at most (1 + 1/8) times the rounded width.
    """
    itemsize = np.dtype(dtype).itemsize
    lanes = 64 // itemsize
    for columns in range(1, 5001):
        distance = leading_dimension(columns, dtype)
        assert isinstance(distance, int)
        assert distance >= columns
        if columns * itemsize < 32:
            assert distance == columns  # dense
            continue
        assert distance * itemsize % 64 == 0
        rounded = -(-columns // lanes) * lanes
        lines = distance // lanes
        if rounded * itemsize >= 8 * 64:
            assert lines % 2 == 1
            assert distance - rounded <= rounded / 8
            assert distance - rounded in (0, lanes)
        else:
            assert distance == rounded


@pytest.mark.parametrize(
    ("dtype", "columns", "distance"),
    [
        ("float32", 7, 7),
        ("float32", 8, 16),
        ("float32", 16, 16),
        ("float32", 17, 32),
        ("float32", 112, 112),  # seven lines
        ("float32", 113, 144),  # eight lines: nine
        ("float32", 128, 144),
        ("float32", 144, 144),
        ("float32", 784, 784),  # 49 lines
        ("float32", 1024, 1040),
        ("float64", 3, 3),
        ("float64", 4, 8),
        ("float64", 56, 56),
        ("float64", 64, 72),
        ("float64", 1000, 1000),  # 125 lines
        ("float64", 1024, 1032),
    ],
)
def test_distances_by_hand(dtype, columns, distance):
    assert leading_dimension(columns, dtype) == distance


@pytest.mark.parametrize("dtype", DTYPES)
def test_walking_down_a_column_meets_every_set_of_the_cache(dtype):
    """64 sets of lines of 64 bytes: an odd number of lines visits each of them once in 64 rows."""
    for columns in (128, 256, 1000, 1024, 4096):
        lines = leading_dimension(columns, dtype) * np.dtype(dtype).itemsize // 64
        assert len({row * lines % 64 for row in range(64)}) == 64


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_columns_have_a_distance_too(dtype):
    assert leading_dimension(0, dtype) == 1


def check_zeros(n, dtype):
    array = aligned_zeros(n, dtype)
    assert array.shape == (n,)
    assert array.dtype == dtype
    if n:  # NumPy gives no address of an empty array
        assert array.ctypes.data % ALIGNMENT == 0
    assert not array.any()
    assert array.flags.writeable
    assert array.flags.c_contiguous
    return array


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=st.integers(0, 5000))
@example(n=0)
def test_zeros(dtype, n):
    array = check_zeros(n, dtype)
    array[...] = np.arange(n)
    assert np.array_equal(array, np.arange(n))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lack", [1, 0, -1, -300_000])
def test_large_vectors_lie_in_huge_pages(dtype, lack):
    n = HUGE_PAGE // np.dtype(dtype).itemsize - lack
    array = check_zeros(n, dtype)
    if lack <= 0 and hasattr(mmap, "MADV_HUGEPAGE"):
        assert array.ctypes.data % HUGE_PAGE == 0
    array[...] = 1
    assert array[0] == array[-1] == 1
    assert array.sum(dtype=np.float64) == n
    other = check_zeros(n, dtype)  # memory of its own
    assert not np.shares_memory(array, other)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 17, HUGE_PAGE // 4 + 5])
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, np.copy, lambda array: pickle.loads(pickle.dumps(array))]
)
def test_copies_hold_the_same_numbers_and_outlive_the_original(dtype, n, again):
    array = aligned_zeros(n, dtype)
    array[...] = np.arange(n)
    twin = again(array)
    assert not np.shares_memory(array, twin)
    array[...] = -1
    del array
    assert twin.dtype == dtype
    assert np.array_equal(twin, np.arange(n))
    twin[...] = 2
    assert (twin == 2).all()


def test_a_view_keeps_the_memory_alive():
    view = aligned_zeros(HUGE_PAGE, "float32")[HUGE_PAGE // 2 :][:5]
    view[...] = 3
    assert view.sum() == 15
