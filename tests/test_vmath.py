"""Vector functions: ulp against mpmath, extended precision and NumPy; special values; equal bits."""

import mpmath
import numpy as np
import pytest
from scipy import special

from minidl import kernels
from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.kernels import vmath

LEVELS = kernels.available_isa()
FUSED = [level for level in LEVELS if level != "portable"]  # one rounding in a*b + c: one set of bits
DTYPES = [np.float32, np.float64]


def sigmoid(x):
    """The formula that neither overflows nor cancels; scipy.special.expit flushes its tail to 0."""
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


NUMPY = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
}
MPMATH = {name: getattr(mpmath, name, None) for name in NUMPY}
MPMATH["sigmoid"] = lambda x: 1 / (1 + mpmath.exp(-x))
NAMES = list(NUMPY)
# the table at the head of csrc/leaf/vmath.inc.c, with the larger value of its levels and dtypes
MAX_ULP = {"exp": 1.05, "expm1": 1.94, "log": 0.95, "log1p": 1.54, "tanh": 2.54, "sigmoid": 2.42}
MAX_ULP |= {"erf": 1.25, "sin": 2.49, "cos": 2.41}

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, -2.0, 5e-324, -5e-324, 1e-310, 3e-320, 1e-45]
SPECIAL += [2.0**-126, 2.0**-149, -(2.0**-149), 88.7, 88.8, 89.5, -87.4, -103.9, -104.5, 709.78, 709.79]
SPECIAL += [-745.1, -745.2, -800.0, 1e30, -1e30, 3.4e38, -3.4e38, 1.79e308, -1.79e308, 710.0, 1e4, -1e4]

# doubles that lie closest to a multiple of pi / 2, or far beyond the range of simple reductions
HARD_ANGLES = [6381956970095103.0 * 2.0**797, 5.0**50, 1e22, 1e300, 99999.99, 1e5, 100001.0, 1.7e308]
HARD_ANGLES += [np.pi * k for k in (1, 2, 3, 355, 1000, 30000)] + [np.pi / 2 * k for k in (1, 3, 63661)]
HARD_ANGLES += [np.float64(np.float32(np.pi * k)) for k in (1, 2, 3, 710, 9000)]


@pytest.fixture(params=LEVELS)
def level(request):
    with kernels.use_isa(request.param):
        yield request.param


def random_bits(dtype, n, seed=0):
    """Every exponent equally likely: zeros, subnormals, infinities and NaN are among them."""
    unsigned = np.uint32 if dtype == np.float32 else np.uint64
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(unsigned).max, n, dtype=unsigned, endpoint=True).view(dtype)


def moderate(dtype, n, seed=0):
    """Numbers where the functions change: sizes from 2^-20 to 2^10, both signs."""
    rng = np.random.default_rng(seed)
    sizes = 2.0 ** rng.uniform(-20.0, 10.0, n)
    return (rng.choice([-1.0, 1.0], n) * sizes).astype(dtype)


def errors_in_ulp(y, exact):
    """|y - exact| in units of the spacing at exact; y and exact agree on NaN, inf and zeros, or inf."""
    rounded = exact.astype(y.dtype)
    same_class = np.isnan(y) == np.isnan(rounded)
    same_class &= np.isinf(y) == np.isinf(rounded)
    same_class &= ~np.isinf(y) | (y == rounded)
    same_class &= (y != 0) | (rounded != 0) | (np.signbit(y) == np.signbit(rounded))
    finite = np.isfinite(y) & np.isfinite(rounded)
    ulp = np.zeros(y.shape)
    gap = np.abs(y[finite].astype(exact.dtype) - exact[finite])
    with np.errstate(under="ignore"):
        # the spacing of the binade of the exact value: at a power of two, the larger one
        ulp[finite] = gap / np.spacing(np.abs(rounded[finite])).astype(exact.dtype)
    return np.where(same_class, ulp, np.inf)


def assert_ulp(name, x, y, exact):
    ulp = errors_in_ulp(y, exact)
    worst = int(np.argmax(ulp))
    assert ulp[worst] <= MAX_ULP[name], f"{name}({x[worst]!r}) = {y[worst]!r}, exact {exact[worst]!r}"


@pytest.mark.parametrize("name", NAMES)
def test_float32_against_float64(name, level):
    x = np.concatenate([random_bits(np.float32, 1_000_000), moderate(np.float32, 200_000)])
    with np.errstate(all="ignore"):
        exact = NUMPY[name](x.astype(np.float64))
        assert_ulp(name, x, vmath(name, x), exact)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no extended precision here")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "erf"])
def test_float64_against_extended_precision(name, level):
    x = np.concatenate([random_bits(np.float64, 150_000), moderate(np.float64, 150_000)])
    if name in ("sin", "cos"):  # the reduction of the C library is only trusted so far
        x = x[np.abs(x) < 2.0**60]
    with np.errstate(all="ignore"):
        exact = NUMPY[name](x.astype(np.longdouble))
        assert_ulp(name, x, vmath(name, x), exact)


@pytest.mark.parametrize("name", NAMES)
def test_float64_against_mpmath(name, level):
    x = np.concatenate([random_bits(np.float64, 150, seed=1), moderate(np.float64, 250, seed=1)])
    if name in ("sin", "cos"):
        x = np.concatenate([x, HARD_ANGLES, -np.array(HARD_ANGLES)])
    x = x[np.isfinite(x) & ((x > -1) if name == "log1p" else (x > 0) if name == "log" else True)]
    if name in ("exp", "expm1", "sigmoid", "tanh"):  # the rest saturates; see the special values
        x = x[np.abs(x) < 1e4]
    y = vmath(name, x)
    with mpmath.workprec(1500):  # enough digits of pi for the largest double
        for argument, value in zip(x, y, strict=True):
            exact = MPMATH[name](mpmath.mpf(float(argument)))
            if abs(exact) > np.finfo(np.float64).max:
                assert abs(value) == np.inf
                continue
            gap = abs(mpmath.mpf(float(value)) - exact)
            assert gap <= MAX_ULP[name] * float(np.spacing(abs(float(exact)))), (argument, value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(name, dtype, level):
    with np.errstate(all="ignore"):
        x = np.array(SPECIAL).astype(dtype)
        expected = NUMPY[name](x.astype(np.float64)).astype(dtype)
    y = vmath(name, x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    exact = np.isinf(expected) | (expected == 0)
    np.testing.assert_array_equal(y[exact], expected[exact])
    np.testing.assert_array_equal(np.signbit(y[exact]), np.signbit(expected[exact]))
    rest = ~exact & ~np.isnan(expected)
    assert np.all(np.abs(y[rest] - expected[rest]) <= 5 * np.spacing(np.abs(expected[rest])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_payloads_stay_nan(name, dtype, level):
    """The low bits of a NaN reach the integer arithmetic on exponents; they must not make a number."""
    unsigned, quiet = (np.uint32, 0x7F800000) if dtype == np.float32 else (np.uint64, 0x7FF << 52)
    payloads = np.array([quiet + (1 << k) for k in range(22)] + [quiet + 12345], unsigned)
    assert np.isnan(vmath(name, payloads.view(dtype))).all()


@pytest.mark.skipif(len(FUSED) < 2, reason="one level with FMA: nothing to compare")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_every_level_with_fma(name, dtype):
    x = np.concatenate([random_bits(dtype, 200_000, seed=2), moderate(dtype, 100_000, seed=2)])
    results = []
    for isa in FUSED:
        with kernels.use_isa(isa):
            y = vmath(name, x)
        results.append(np.where(np.isnan(y), dtype(np.nan), y).tobytes())
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_length_and_offset(name, dtype, level):
    """A value depends on its argument alone, and nothing outside the output is written."""
    x = np.abs(moderate(dtype, 64, seed=3))
    whole = vmath(name, x)
    for n in range(41):
        for offset in (0, 1, 3):
            out = np.full(64, -7, dtype)
            returned = vmath(name, x[offset : offset + n], out=out[offset : offset + n])
            assert returned.base is out or n == 0
            np.testing.assert_array_equal(out[offset : offset + n], whole[offset : offset + n])
            assert np.all(out[:offset] == -7)
            assert np.all(out[offset + n :] == -7)


@pytest.mark.parametrize("name", NAMES)
def test_in_place_and_strided(name):
    x = np.abs(moderate(np.float64, 60, seed=4)).reshape(6, 10)
    expected = vmath(name, x)
    np.testing.assert_array_equal(vmath(name, x[:, ::3]), expected[:, ::3])
    assert vmath(name, x, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_sine_of_large_float32_on_both_sides_of_the_vector_range(level):
    """Lanes of one vector take different reductions; neighbours must not notice."""
    x = np.linspace(300, 2e5, 4001, dtype=np.float32)
    alone = np.array([vmath("sin", x[i : i + 1])[0] for i in range(0, x.size, 40)])
    np.testing.assert_array_equal(vmath("sin", x)[::40], alone)


def test_wrong_arguments():
    with pytest.raises(OptionError, match="tanh"):
        vmath("tanhh", np.zeros(3))
    with pytest.raises(DtypeError, match="float32 or float64"):
        vmath("exp", np.zeros(3, int))
    with pytest.raises(ShapeError, match="out"):
        vmath("exp", np.zeros(3), out=np.zeros(4))
