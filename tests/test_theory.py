"""Gaussian moments, gains and verdicts, against closed forms, SciPy and mpmath."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf, expit

from minidl import activations, theory
from minidl.activations import Activation
from minidl.errors import OptionError
from minidl.options import significant

# --- quadrature -----------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 4.0, 1e6])
@pytest.mark.parametrize("power", range(0, 9))
def test_moments_of_the_normal_law(q, power):
    expected = 0.0 if power % 2 else math.prod(range(1, power, 2)) * q ** (power / 2)
    scale = math.prod(range(1, power + power % 2, 2)) * q ** (power / 2)
    assert theory.gaussian_mean(lambda x: x**power, q) == pytest.approx(expected, abs=1e-12 * scale)


@pytest.mark.parametrize("kinks", [(), (1.3,)])
@pytest.mark.parametrize("q", [0.1, 1.0, 30.0])
def test_a_kink_costs_nothing_given_or_not(kinks, q):
    s = math.sqrt(q)
    t = 1.3 / s  # E max(x - a, 0) = s density(t) - a tail(t)
    expected = s * math.exp(-t * t / 2) / math.sqrt(2 * math.pi) - 1.3 * math.erfc(t / math.sqrt(2)) / 2
    found = theory.gaussian_mean(lambda x: np.maximum(x - 1.3, 0.0), q, kinks)
    assert found == pytest.approx(expected, rel=1e-12)


def test_steep_and_oscillating_functions():
    # E tanh(1000 x)^2 against mpmath; E cos(w x) = e^(-w^2 / 2) would be 0 in absolute terms
    with mpmath.workdps(25):
        integrand = lambda z: mpmath.sech(1000 * z) ** 2 * mpmath.npdf(z)  # noqa: E731
        expected = 1 - 2 * mpmath.quad(integrand, [0, 1e-3, 3e-3, 1e-2, 3e-2, 1])
    assert theory.gaussian_mean(np.tanh, 1e6) == pytest.approx(0.0, abs=1e-14)
    assert theory.gaussian_mean(lambda x: np.tanh(x) ** 2, 1e6) == pytest.approx(float(expected), abs=1e-13)
    for w in (0.5, 3.0, 30.0, 100.0):
        assert theory.gaussian_mean(lambda x, w=w: np.cos(w * x)) == pytest.approx(
            math.exp(-(w**2) / 2), abs=1e-13
        )


def test_several_means_at_once_and_zero_variance():
    means = theory.gaussian_mean(lambda x: np.stack((x**2, np.exp(x))), 1.0)
    assert means == pytest.approx([1.0, math.exp(0.5)], rel=1e-13)
    assert theory.gaussian_mean(lambda x: x + 2.0, 0.0) == 2.0


def arc_cosine(c):
    """E relu relu (Cho and Saul 2009)."""
    return (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / (2 * math.pi)


CORRELATIONS = [-1.0, -0.999999, -0.9, -0.3, 0.0, 1e-3, 0.5, 0.9, 0.99, 0.9999, 1 - 1e-8, 1 - 1e-12, 1.0]


@pytest.mark.parametrize("c", CORRELATIONS)
def test_pair_means_against_closed_forms(c):
    def relu(x):
        return np.maximum(x, 0.0)

    def step(x):
        return np.where(x > 0, 1.0, 0.0)

    assert theory.gaussian_pair_mean(relu, c) == pytest.approx(arc_cosine(c), abs=2e-14)
    assert theory.gaussian_pair_mean(step, c) == pytest.approx(
        (math.pi - math.acos(c)) / (2 * math.pi), abs=1e-13
    )
    for q in (0.2, 1.0, 9.0):
        expected = 2 / math.pi * math.asin(2 * q * c / (1 + 2 * q))
        assert theory.gaussian_pair_mean(erf, c, q) == pytest.approx(expected, abs=1e-13)
        expected = (math.exp(-q * (1 - c)) - math.exp(-q * (1 + c))) / 2
        assert theory.gaussian_pair_mean(np.sin, c, q) == pytest.approx(expected, abs=1e-13)
    # identity beyond a kink away from 0: E (x+y)^2 structure, |x - 1| with a given kink
    shifted = theory.gaussian_pair_mean(lambda x: np.maximum(x - 1.0, 0.0), c, kinks=(1.0,))
    undeclared = theory.gaussian_pair_mean(lambda x: np.maximum(x - 1.0, 0.0), c)
    assert shifted == pytest.approx(undeclared, abs=1e-12)


def test_pair_mean_with_fast_oscillation():
    expected = (math.exp(-900 * 0.001) - math.exp(-900 * 1.999)) / 2
    found = theory.gaussian_pair_mean(lambda x: np.sin(30.0 * x), 0.999)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: 1.0 / x, "not finite|does not converge"),
        (lambda x: np.exp(x**2), "not finite|does not converge"),
        (lambda x: np.where(x > 1, np.nan, x), "not finite"),
    ],
)
def test_means_that_do_not_exist(f, words):
    with pytest.raises(OptionError, match=words):
        theory.gaussian_mean(f, 1000.0)


def test_quadrature_refuses_bad_numbers():
    for q in (-1.0, math.nan, math.inf, "1"):
        with pytest.raises(OptionError, match="q="):
            theory.gaussian_mean(np.tanh, q)
    for c in (1.1, -1.0000001, math.nan):
        with pytest.raises(OptionError, match="c="):
            theory.gaussian_pair_mean(np.tanh, c)


def test_significant_digits():
    assert significant(1.234567890123) == 1.234567890
    assert significant(1.9999999999999998) == 2.0
    assert significant(-0.00012345678901234) == -0.0001234567890


# --- gains ----------------------------------------------------------------------------------------


def hard_sigmoid_keras2(x):
    return np.clip(0.2 * x + 0.5, 0.0, 1.0)


def quick_gelu(x):
    return x * expit(1.702 * x)


# activation: E phi, E phi^2, forward, E phi'^2, backward, chi_1, chi_q, 1 / Std phi
# (ten digits, from an independent computation)
TABLE = """
identity 0 1 1 1 1 1 1 1
relu 0.3989422804 0.5 1.4142135624 0.5 1.4142135624 1 1 1.7128586
leaky_relu(0.01) 0.3949528576 0.50005 1.4141428570 0.50005 1.4141428570 1 1 1.7048316
leaky_relu(0.2) 0.3191538243 0.52 1.3867504906 0.52 1.3867504906 1 1 1.5464601
leaky_relu(0.25) 0.2992067103 0.53125 1.3719886811 0.53125 1.3719886811 1 1 1.5046096
elu 0.1605205723 0.6449454175 1.2451983007 0.6681020012 1.2234285576 1.035905 0.890968 1.2708434
celu 0.1605205723 0.6449454175 1.2451983007 0.6681020012 1.2234285576 1.035905 0.890968 1.2708434
celu(2) 0.0981799498 0.7493624897 1.1551916071 0.7615782919 1.1458894522 1.016302 0.898814 1.1626939
selu 0 1 1 1.0715749925 0.9660257770 1.071575 0.782648 1
gelu 0.2820947918 0.4252214826 1.5335304412 0.4558508656 1.4811144127 1.072032 1.144063 1.7009262
gelu_tanh 0.2820385881 0.4251937110 1.5335805217 0.4558178460 1.4811680581 1.072024 1.144298 1.7009166
quick_gelu 0.2823305528 0.4219528069 1.5394587623 0.4495492005 1.4914592268 1.065402 1.136461 1.7093586
silu 0.2066209641 0.3557755198 1.6765324703 0.3794823516 1.6233202580 1.066634 1.172594 1.7871872
mish 0.2404038884 0.4523421924 1.4868475813 0.4790837584 1.4447552325 1.059118 1.076339 1.5920254
softplus 0.8060591833 0.9212459089 1.0418668355 0.2933790359 1.8462285453 0.318459 0.492053 1.9191260
softsign 0 0.1830140213 2.3375333631 0.2276713404 2.0957806089 1.244010 0.476712 2.3375334
sigmoid 0.5 0.2933790359 1.8462285453 0.0448362414 4.7226460859 0.152827 0.106341 4.8013134
tanh 0 0.3942944904 1.5925374197 0.4644029024 1.4674135916 1.177807 0.461071 1.5925374
lecun_tanh 0 0.7504302763 1.1543694540 0.8039891133 1.1152568925 1.071371 0.615446 1.1543695
erf 0 0.4645590544 1.4671669505 0.5694100347 1.3252183529 1.225700 0.408567 1.4671670
arctan 0 0.4497009164 1.4912076181 0.5 1.4142135624 1.111850 0.560819 1.4912076
hard_tanh 0 0.5160585510 1.3920361404 0.6826894921 1.2102870624 1.322892 0.385127 1.3920361
hard_sigmoid 0.5 0.2776390911 1.8978404247 0.0277027834 6.0081158252 0.099780 0.097119 6.0150345
hard_sigmoid_keras2 0.5 0.2891023993 1.8598338678 0.0395032268 5.0313405522 0.136641 0.124515 5.0570622
hard_swish 0.1662167007 0.3315673751 1.7366572128 0.3585315172 1.6700763674 1.081323 1.223920 1.8138715
relu6 0.3989422802 0.4999999981 1.4142135651 0.4999999990 1.4142135638 1 1 1.7128586
relu_squared 0.5 1.5 0.8164965809 2 0.7071067812 1.333333 2 0.8944272
sine 0 0.4323323584 1.5208666232 0.5676676416 1.3272506003 1.313035 0.313035 1.5208666
sine(30) 0 0.5 1.4142135624 450 0.0471404521 900 0 1.4142136
np.abs 0.7978845608 1 1 1 1 1 1 1.6588967
"""
CALLABLES = {
    "quick_gelu": quick_gelu,
    "erf": erf,
    "np.abs": np.abs,
    "hard_sigmoid_keras2": hard_sigmoid_keras2,
}
ROWS = [line.split() for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table_of_gains(row):
    g = theory.gains(CALLABLES.get(row[0], row[0]))
    row = [row[0], *map(float, row[1:])]
    found = (g.mean, g.second_moment, g.forward, g.slope_moment, g.backward)
    assert found == pytest.approx(row[1:6], rel=1e-9, abs=1e-10)
    assert (g.chi_1, g.chi_q) == pytest.approx(row[6:8], abs=1e-6)
    assert g.std == pytest.approx(row[8], abs=1e-7)


def mp_moments(f, borders):
    """E f, E f^2, E f'^2 by mpmath, 25 digits."""
    with mpmath.workdps(25):
        points = sorted({-13, -6, -3, -1, 0, 1, 3, 6, 13, *borders})

        def mean(g):
            return float(mpmath.quad(lambda z: g(z) * mpmath.npdf(z), points))

        return mean(f), mean(lambda z: f(z) ** 2), mean(lambda z: mpmath.diff(f, z) ** 2)


MP = {
    "tanh": mpmath.tanh,
    "gelu": lambda z: z * mpmath.ncdf(z),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "mish": lambda z: z * mpmath.tanh(mpmath.log(1 + mpmath.exp(z))),
    "softsign": lambda z: z / (1 + abs(z)),
    "elu(0.5)": lambda z: z if z > 0 else (mpmath.exp(z) - 1) / 2,
}


@pytest.mark.parametrize("name", MP)
def test_moments_against_mpmath(name):
    g = theory.gains(name)
    assert (g.mean, g.second_moment, g.slope_moment) == pytest.approx(
        mp_moments(MP[name], ()), rel=1e-12, abs=1e-13
    )


@pytest.mark.parametrize("name", activations.names())
@pytest.mark.parametrize("q", [0.05, 1.0, 12.0])
def test_moments_against_scipy(name, q):
    spec = activations.get(name)
    borders = sorted({-40.0, 0.0, 40.0, *spec.kinks})

    def mean(g):
        def integrand(x):
            return float(g(x)) * math.exp(-x * x / (2 * q)) / math.sqrt(2 * math.pi * q)

        pieces = itertools.pairwise(borders)
        return sum(quad(integrand, a, b, epsabs=1e-13, epsrel=1e-13, limit=400)[0] for a, b in pieces)

    m = theory.Function.of(spec).moments(q)
    y, slope = (lambda x: activations.forward(spec, x)), (lambda x: activations.derivative(spec, x))
    assert m.mean == pytest.approx(mean(y), abs=1e-10)
    assert m.second == pytest.approx(mean(lambda x: y(x) ** 2), rel=1e-9)
    assert m.slope == pytest.approx(mean(lambda x: slope(x) ** 2), rel=1e-9)
    assert m.growth == pytest.approx(mean(lambda x: y(x) * slope(x) * x) / q, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("a", [0.0, 0.01, 0.2, 0.25, 0.7, 1.0, 3.0])
def test_leaky_relu_in_closed_form(a):
    g = theory.gains(f"leaky_relu({a})")
    assert g.second_moment == g.slope_moment == pytest.approx((1 + a * a) / 2, rel=1e-12)
    assert g.mean == pytest.approx((1 - a) / math.sqrt(2 * math.pi), abs=1e-13)
    assert (g.chi_1, g.chi_q) == pytest.approx((1.0, 1.0), rel=1e-12)


@pytest.mark.parametrize("q", [0.01, 1.0, 7.0, 400.0])
def test_erf_sine_and_relu_squared_in_closed_form(q):
    m = theory.Function(erf).moments(q)
    assert m.second == pytest.approx(2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-11)
    assert m.slope == pytest.approx(4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-9)
    m = theory.Function.of(Activation("sine", (3.0,))).moments(q)
    assert m.second == pytest.approx(-math.expm1(-18 * q) / 2, rel=1e-11)
    assert m.slope == pytest.approx(9 * (1 + math.exp(-18 * q)) / 2, rel=1e-11)
    m = theory.Function.of(Activation("relu_squared")).moments(q)
    assert (m.second, m.slope, m.growth) == pytest.approx((1.5 * q * q, 2 * q, 3 * q), rel=1e-11)


def test_identities_between_activations():
    softplus, sigmoid = theory.gains("softplus"), theory.gains("sigmoid")
    assert softplus.slope_moment == pytest.approx(sigmoid.second_moment, rel=1e-12)
    assert theory.gains("arctan").slope_moment != theory.gains("arctan").second_moment
    assert theory.gains("log_sigmoid").mean == pytest.approx(-softplus.mean, rel=1e-12)


def test_selu_constants():
    g = theory.gains("selu")
    assert g.mean == pytest.approx(0.0, abs=1e-9)
    assert g.second_moment == pytest.approx(1.0, abs=1e-9)
    assert g.chi_1 == pytest.approx(1.0715749925, abs=1e-9)


def test_gains_have_ten_digits():
    """Two libms that differ in the last bits must give the same weights."""
    for name in activations.names():
        g = theory.gains(name)
        for gain in (g.forward, g.backward, g.std):
            assert gain == math.sqrt(float(f"{gain**2:.9e}"))
    assert theory.gains("relu").forward == math.sqrt(2.0)


# --- callables ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in activations.names() if n != "sine"])
def test_a_callable_gives_what_the_library_knows(name):
    spec = activations.get(name)
    known = theory.Function.of(spec)
    found = theory.Function(lambda x: activations.forward(spec, x))
    assert found.kinks == pytest.approx(known.kinks, abs=1e-9)
    for q in (0.3, 1.0, 5.0):
        assert found.moments(q) == pytest.approx(known.moments(q), rel=1e-9, abs=1e-10)
    assert found.slope_pair(0.6, 1.0) == pytest.approx(known.slope_pair(0.6, 1.0), rel=1e-9)


def test_derivative_and_kinks_of_a_callable_are_used():
    double = theory.gains(np.tanh, derivative=lambda x: 2.0 / np.cosh(x) ** 2, kinks=())
    assert double.slope_moment == pytest.approx(4 * theory.gains("tanh").slope_moment, rel=1e-11)
    assert theory.Function(np.abs, kinks=(0.0, 2.0)).kinks == (0.0, 2.0)
    with pytest.raises(OptionError, match="belong to a callable"):
        theory.gains("relu", kinks=(0.0,))


@pytest.mark.parametrize(
    ("f", "kinks"),
    [
        (lambda x: np.maximum(x - 0.7, 0.0) + 1.0, (0.7,)),
        (lambda x: np.abs(np.abs(x) - math.pi), (-math.pi, 0.0, math.pi)),
        (lambda x: np.clip(x, -1 / 3, 2.5), (-1 / 3, 2.5)),
        (lambda x: 0.01 * np.abs(x - 20.1) + np.tanh(x), (20.1,)),
        (np.tanh, ()),
    ],
)
def test_kinks_are_found(f, kinks):
    assert theory.Function(f).kinks == pytest.approx(kinks, abs=1e-10)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: 1.0, "same shape"),
        (lambda x: x[:3], "same shape"),
        (lambda x: x + 1j, "real numbers"),
        (math.tanh, "NumPy"),
        (np.sqrt, "not finite at x = -13"),
        (np.floor, "jumps"),
        (lambda x: np.where(x > 0.3, 1.0 + x, x), "jumps.*near x = 0.3"),
        (lambda x: np.zeros_like(x), "constant"),
        (lambda x: np.ones_like(x), "constant"),
        (lambda x: np.sqrt(np.abs(x)), "no finite slope"),
        (3.0, "activation=3.0"),
        ("no_such", "unknown"),
        ("softmax", "whole rows"),
    ],
)
def test_bad_activations(f, words):
    with pytest.raises(OptionError, match=words):
        theory.gains(f)


# --- verdict --------------------------------------------------------------------------------------


def test_verdicts():
    assert theory.verdict("relu", 2.0, depth=1000)
    ok, reason = theory.verdict("relu", 1.0)
    assert not ok
    assert reason == "relu: q falls from 1 to 0.000977 in 10 layers."
    assert theory.verdict("relu", 1.0, depth=9)  # 2^-9 > 1e-3
    assert not theory.verdict("sigmoid", 1.0)
    assert "squared gradients shrink" in theory.verdict("sigmoid", 1.0).reason
    assert not theory.verdict("relu_squared", 1.0)
    assert "grow" in theory.verdict("tanh", 25 / 9, depth=50).reason
    assert theory.verdict("relu", 1e9).reason.startswith("relu: q grows from 1 to 5e+08 in 1 layer.")
    with pytest.raises(OptionError, match="depth=0"):
        theory.verdict("relu", 2.0, depth=0)
    with pytest.raises(OptionError, match="sigma_w2=-1"):
        theory.verdict("relu", -1.0)
