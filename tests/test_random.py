"""Draws, quantiles and fills against NumPy's Philox, mpmath, SciPy and exact fractions."""

import ctypes
import itertools
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.kernels import random

KEY = (0x0123456789ABCDEF, 2**64 - 5)
SOURCE = Path(__file__).resolve().parents[1] / "csrc" / "random.c"

FILLS = {
    "uniform": lambda out, key: random.fill_uniform(out, key, -0.3, 0.7),
    "normal": lambda out, key: random.fill_normal(out, key, 0.5, 2.0),
    "truncated": lambda out, key: random.fill_truncated_normal(out, key, -1.0, 0.5, -2.0, 3.0),
}
SHAPES = [(0, 3), (3, 0), (1, 1), (1, 7), (7, 1), (64, 16), (65, 17), (130, 33), (3, 100)]


def philox(key, count):
    return np.random.Philox(key=np.array(key, np.uint64)).random_raw(count)


def probability(x):
    """The exact u of a draw."""
    return (Fraction(int(x) >> 11) + Fraction(1, 2)) / 2**53


def quantile(p, start):
    """The exact normal quantile of a fraction or mpf, by Newton's method from a near value."""
    with mpmath.workdps(60):
        p = mpmath.mpf(p.numerator) / p.denominator if isinstance(p, Fraction) else mpmath.mpf(p)
        x = mpmath.mpf(float(start))
        for _ in range(5):
            error = mpmath.erfc(-x / mpmath.sqrt(2)) / 2 - p
            x -= error / mpmath.npdf(x)
        return x


# --- draws ----------------------------------------------------------------------------------------


@given(
    st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    st.integers(0, 50),
    st.integers(0, 50),
)
@settings(max_examples=50, deadline=None)
def test_raw_is_the_sequence_of_numpy(key, start, count):
    np.testing.assert_array_equal(random.raw(key, start, count), philox(key, start + count)[start:])


def test_raw_far_into_the_sequence():
    generator = np.random.Philox(key=np.array(KEY, np.uint64))
    generator.advance(2**59)  # counts blocks of four draws
    np.testing.assert_array_equal(random.raw(KEY, 2**61 + 1, 9), generator.random_raw(10)[1:])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 255, 256, 257, 1000])
def test_permutation_is_fisher_yates(n):
    expected = list(range(n))
    draws = random.raw(KEY, 0, max(n - 1, 0)).tolist()
    for i, x in zip(range(n - 1, 0, -1), draws, strict=True):
        j = x * (i + 1) >> 64
        expected[i], expected[j] = expected[j], expected[i]
    result = random.permutation(KEY, n)
    assert result.dtype == np.int64
    assert result.tolist() == expected
    assert sorted(expected) == list(range(n))


def test_all_orders_are_equally_likely():
    n = 24_000
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for key in range(n):
        counts[tuple(random.permutation((key, 1), 4).tolist())] += 1
    expected = n / 24
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert abs(chi2 - 23) < 5 * (2 * 23) ** 0.5


# --- quantiles ------------------------------------------------------------------------------------


def test_ndtri_has_15_digits():
    generator = np.random.default_rng(0)
    p = np.concatenate(
        [
            generator.random(150),
            2.0 ** -generator.uniform(1, 54, 100),
            1 - 2.0 ** -generator.uniform(1, 53, 50),
            2.0 ** -generator.uniform(54, 1070, 50),  # subnormals too
            0.5 + np.array([-1, 1]) * 1e-12,
            np.array([2.0**-54, 1 - 2.0**-53, 0.075, 0.925, np.exp(-25.0)]),
        ]
    )
    for probability, z in zip(p, random.ndtri(p), strict=True):
        exact = quantile(probability, z)
        assert abs(float((z - exact) / exact)) < 1e-15, probability


def test_ndtri_agrees_with_scipy():
    p = np.random.default_rng(1).random(100_000)
    np.testing.assert_allclose(random.ndtri(p), special.ndtri(p), rtol=2e-15)


def test_ndtri_is_monotone_where_the_polynomials_meet():
    for joint in (0.075, 0.925, np.exp(-25.0)):
        p = joint * (1 + np.arange(-400, 401) * 2.0**-50)
        assert np.all(np.diff(random.ndtri(p)) > -1e-15 * abs(special.ndtri(joint)))


def test_ndtri_at_the_ends_and_beyond():
    values = random.ndtri([[0.0, 1.0], [-0.5, 1.5]])
    np.testing.assert_array_equal(values, [[-np.inf, np.inf], [np.nan, np.nan]])
    assert np.isnan(random.ndtri(np.nan))
    assert random.ndtri(0.5) == 0.0
    assert isinstance(random.ndtri(0.25), float)


# --- fills ----------------------------------------------------------------------------------------


def test_uniform_is_exact():
    out = np.empty(1000)
    random.fill_uniform(out, KEY, -1.0, 1.0)
    for value, x in zip(out.tolist(), philox(KEY, 1000), strict=True):
        assert Fraction(value) == 2 * probability(x) - 1


def test_normal_is_the_quantile_of_the_draw():
    out = np.empty(300)
    random.fill_normal(out, KEY, 0.0, 1.0)
    for value, x in zip(out.tolist(), philox(KEY, 300), strict=True):
        exact = quantile(probability(x), value)
        assert abs(float((value - exact) / exact)) < 1e-15


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-2, 2), (-1, 5), (0, np.inf), (5, np.inf), (-6, -5), (-30, -29), (0.3, 0.30001), (-8, 8)],
)
def test_truncated_normal_is_the_quantile_of_the_draw(lower, upper):
    out = np.empty(100)
    random.fill_truncated_normal(out, KEY, 0.0, 1.0, lower, upper)
    assert np.all((out >= lower) & (out <= upper))
    with mpmath.workdps(300):
        low, high = mpmath.ncdf(lower), mpmath.ncdf(upper)
        for value, x in zip(out.tolist(), philox(KEY, 100), strict=True):
            u = probability(x)
            p = low + mpmath.mpf(u.numerator) / u.denominator * (high - low)
            error = (mpmath.ncdf(value) - p) / mpmath.npdf(value)
            assert abs(float(error)) < 2e-15 * max(1.0, abs(value))


@pytest.mark.parametrize("law", FILLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_element_i_j_takes_draw_j_fan_in_plus_i(law, shape):
    matrix, vector = np.empty(shape), np.empty(shape[0] * shape[1])
    FILLS[law](matrix, KEY)
    FILLS[law](vector, KEY)
    np.testing.assert_array_equal(matrix, vector.reshape(shape[1], shape[0]).T)


@pytest.mark.parametrize("law", FILLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_is_float64_rounded(law, shape):
    single, double = np.empty(shape, np.float32), np.empty(shape)
    FILLS[law](single, KEY)
    FILLS[law](double, KEY)
    np.testing.assert_array_equal(single, double.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_strides_change_no_value_and_pads_stay(shape, dtype):
    rows, cols = shape
    expected = np.empty(shape, dtype)
    FILLS["normal"](expected, KEY)
    packed = np.full((rows, cols), 7, dtype=np.dtype([("flag", "i1"), ("w", dtype)]))
    memory = {
        "padded": np.full((rows, cols + 3), 7, dtype),
        "transposed": np.full((cols, rows), 7, dtype),
        "reversed": np.full((rows, cols), 7, dtype),
        "every second": np.full((2 * rows, 2 * cols), 7, dtype),
        "unaligned": packed["w"],
    }
    views = {
        "padded": memory["padded"][:, :cols],
        "transposed": memory["transposed"].T,
        "reversed": memory["reversed"][::-1, ::-1],
        "every second": memory["every second"][::2, ::2],
        "unaligned": packed["w"],
    }
    for view in views.values():
        FILLS["normal"](view, KEY)
        np.testing.assert_array_equal(view, expected)
    assert np.all(memory["padded"][:, cols:] == 7)
    assert np.all(memory["every second"][1::2] == 7)
    assert np.all(memory["every second"][:, 1::2] == 7)
    assert np.all(packed["flag"] == 7)


@pytest.mark.parametrize("law", FILLS)
def test_more_outputs_keep_the_ones_before(law):
    few, many = np.empty((37, 5)), np.empty((37, 21))
    FILLS[law](few, KEY)
    FILLS[law](many, KEY)
    np.testing.assert_array_equal(few, many[:, :5])


@pytest.mark.parametrize(
    ("law", "cdf", "variance", "kurtosis"),
    [
        ("uniform", stats.uniform(-0.3, 1.0).cdf, 1 / 12, 1.8),
        ("normal", stats.norm(0.5, 2.0).cdf, 4.0, 3.0),
        ("truncated", stats.truncnorm(-2.0, 3.0, -1.0, 0.5).cdf, None, None),
    ],
)
def test_law_of_the_numbers(law, cdf, variance, kurtosis):
    out = np.empty((500, 400))
    FILLS[law](out, KEY)
    assert stats.kstest(out.ravel(), cdf).pvalue > 1e-4
    assert len(np.unique(out)) == out.size  # no atoms
    if variance:
        assert abs(out.var() / variance - 1) < 5 * ((kurtosis - 1) / out.size) ** 0.5


def test_far_bounds_give_the_normal_law():
    plain, cut = np.empty(5000), np.empty(5000)
    random.fill_normal(plain, KEY, 0.0, 1.0)
    random.fill_truncated_normal(cut, KEY, 0.0, 1.0, -np.inf, np.inf)
    np.testing.assert_array_equal(plain, cut)


def test_golden_values():
    out = {law: np.empty(4) for law in FILLS}
    for law, values in out.items():
        FILLS[law](values, (1, 2))
    assert {law: [x.hex() for x in values.tolist()] for law, values in out.items()} == GOLDEN


GOLDEN = {
    "uniform": [
        "0x1.313b2374434f0p-7",
        "0x1.d295e2ca9a64cp-5",
        "-0x1.0d68e61574e96p-2",
        "0x1.52e4de4f92beep-1",
    ],
    "normal": [
        "-0x1.fb7afdd46c9fap-2",
        "-0x1.dd9ee5be24990p-3",
        "-0x1.89acf1ad7699ap+1",
        "0x1.02f8484084ea4p+2",
    ],
    "truncated": [
        "-0x1.3a38587e9c564p+0",
        "-0x1.2a1a6dd814a8cp+0",
        "-0x1.c8593dfa4f5ecp+0",
        "-0x1.db1c02ba48ce0p-4",
    ],
}


# --- the C file alone: parts, and arithmetic without 128-bit integers -----------------------------


class Law(ctypes.Structure):
    _fields_ = [("is_uniform", ctypes.c_int), ("fields", ctypes.c_double * 8)]


@pytest.fixture(scope="module", params=[[], ["-DMDL_NO_INT128"]], ids=["int128", "portable"])
def library(request, tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None or not SOURCE.exists():
        pytest.skip("needs a C compiler and the source tree")
    target = tmp_path_factory.mktemp("random") / "random.so"
    flags = ["-O1", "-std=c11", "-ffp-contract=off", "-shared", "-fPIC", *request.param]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(target), "-lm"], check=True)
    lib = ctypes.CDLL(str(target))
    lib.mdl_law_normal.restype = Law
    lib.mdl_law_normal.argtypes = [ctypes.c_double] * 2
    return lib


def test_portable_arithmetic_gives_the_same_draws(library):
    key, out = (ctypes.c_uint64 * 2)(*KEY), np.empty(1001, np.uint64)
    library.mdl_random_raw(
        key, ctypes.c_uint64(0), ctypes.c_ssize_t(out.size), out.ctypes.data_as(ctypes.c_void_p)
    )
    np.testing.assert_array_equal(out, philox(KEY, 1001))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_make_the_whole(library, dtype):
    rows, cols, key = 150, 40, (ctypes.c_uint64 * 2)(*KEY)
    whole, parts = np.empty((rows, cols), dtype), np.full((rows, cols), np.nan, dtype)
    random.fill_normal(whole, KEY, 0.5, 2.0)
    law = library.mdl_law_normal(0.5, 2.0)
    for row in range(0, rows, 61):
        for col in range(0, cols, 13):
            block = parts[row : row + 61, col : col + 13]
            sizes = [rows, row, block.shape[0], col, block.shape[1]]
            library.mdl_random_fill(
                ctypes.byref(law),
                key,
                *map(ctypes.c_ssize_t, sizes),
                ctypes.c_void_p(block.ctypes.data),
                int(dtype is np.float64),
                ctypes.c_ssize_t(cols),
                ctypes.c_ssize_t(1),
            )
    np.testing.assert_array_equal(parts, whole)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, 3, (1,), (1, 2, 3), (-1, 0), (2**64, 0), ("a", "b")])
def test_bad_key(key):
    out = np.full(3, 7.0)
    for call in (
        lambda: random.fill_normal(out, key, 0.0, 1.0),
        lambda: random.raw(key, 0, 3),
        lambda: random.permutation(key, 3),
    ):
        with pytest.raises(OptionError, match="key"):
            call()
    assert np.all(out == 7.0)


def test_bad_out():
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    for out, error in [
        ([1.0], DtypeError),
        (np.zeros(3, np.int64), DtypeError),
        (np.zeros(3, np.float16), DtypeError),
        (np.zeros(3, np.dtype(np.float64).newbyteorder()), DtypeError),
        (np.zeros(()), ShapeError),
        (np.zeros((2, 2, 2)), ShapeError),
        (read_only, OptionError),
    ]:
        for fill in FILLS.values():
            with pytest.raises(error, match="out"):
                fill(out, KEY)
    assert np.all(read_only == 0.0)


@pytest.mark.parametrize(
    ("fill", "arguments", "name"),
    [
        (random.fill_uniform, (1.0, 0.0), "low"),
        (random.fill_uniform, (np.nan, 0.0), "low"),
        (random.fill_uniform, (0.0, np.inf), "high"),
        (random.fill_uniform, (-1.7e308, 1.7e308), "width"),
        (random.fill_normal, (np.nan, 1.0), "mean"),
        (random.fill_normal, (0.0, -1.0), "std"),
        (random.fill_normal, (0.0, np.nan), "std"),
        (random.fill_truncated_normal, (0.0, -1.0, -2.0, 2.0), "std"),
        (random.fill_truncated_normal, (0.0, 1.0, 2.0, 2.0), "lower"),
        (random.fill_truncated_normal, (0.0, 1.0, np.nan, 2.0), "lower"),
        (random.fill_truncated_normal, (0.0, 1.0, 38.0, 39.0), "lower"),
    ],
)
def test_bad_parameters(fill, arguments, name):
    out = np.full(3, 7.0)
    with pytest.raises(OptionError, match=name):
        fill(out, KEY, *arguments)
    assert np.all(out == 7.0)


@pytest.mark.parametrize("count", [-1, 1.5, "3", None])
def test_bad_counts(count):
    with pytest.raises(OptionError):
        random.raw(KEY, 0, count)
    with pytest.raises(OptionError):
        random.raw(KEY, count, 1)
    with pytest.raises(OptionError):
        random.permutation(KEY, count)
