"""Maps, fixed points, depth scales and the edge of chaos: published numbers, closed forms, simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import erf, expit

from minidl import activations, theory
from minidl.errors import OptionError
from minidl.theory import MeanField

# Schoenholz et al. 2017, tanh with sigma_b^2 = 0.05: sigma_w^2, q*, chi_1, c*, xi_c
XI_TABLE = [
    (1.0, 0.1936, 0.7590, 1, 3.63),
    (1.2, 0.2699, 0.8452, 1, 5.94),
    (1.4, 0.3649, 0.9110, 1, 10.73),
    (1.5, 0.4180, 0.9386, 1, 15.79),
    (1.6, 0.4743, 0.9637, 1, 27.0),
    (1.7, 0.5331, 0.9867, 1, 74.9),
    (1.8, 0.5941, 1.0082, 0.9504, 126),
    (2.0, 0.7218, 1.0477, 0.7441, 25.2),
    (2.5, 1.0640, 1.1335, 0.4468, 11.80),
    (3.0, 1.4280, 1.2089, 0.2993, 9.05),
    (4.0, 2.1955, 1.3424, 0.1651, 6.98),
]


@pytest.mark.parametrize(("sigma_w2", "q", "chi", "c", "xi"), XI_TABLE)
def test_depth_scales_of_tanh(sigma_w2, q, chi, c, xi):
    field = MeanField("tanh", sigma_w2, 0.05)
    assert (field.q_star, field.chi_1, field.c_star) == pytest.approx((q, chi, c), abs=6e-5)
    assert field.xi_c == pytest.approx(xi, rel=0.01)
    assert field.phase == ("ordered" if chi < 1 else "chaotic")
    # the definition: after one layer the small distance to c* has shrunk by e^(-1 / xi)
    eps = 1e-4
    moved = field.correlation_map(field.c_star - eps) - field.correlation_map(field.c_star)
    assert -moved / eps == pytest.approx(math.exp(-1 / field.xi_c), rel=2e-3)


def test_relu_correlations_on_the_edge():
    """From orthogonal inputs; the map in closed form is the arc-cosine kernel."""
    field, c, found = MeanField("relu", 2.0), 0.0, {}
    for layer in range(1, 101):
        c = field.correlation_map(c, 1.0)
        found[layer] = 1 - c
    exact, c = {}, 0.0
    for layer in range(1, 101):
        c = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        exact[layer] = 1 - c
    assert found == pytest.approx(exact, rel=1e-8)
    assert [found[n] for n in (10, 20, 50, 100)] == pytest.approx([0.1285, 0.0516, 0.0121, 0.00358], rel=4e-3)


@pytest.mark.parametrize("c", [-1.0, -0.4, 0.0, 0.3, 0.99, 1.0])
def test_correlation_map_of_erf(c):
    field = MeanField(erf, 2.5, 0.3)
    q = 1.7

    def kernel(x):
        return 2.5 * 2 / math.pi * math.asin(2 * q * x / (1 + 2 * q)) + 0.3

    assert field.correlation_map(c, q) == pytest.approx(kernel(c) / kernel(1.0), abs=1e-12)
    slope = 2.5 * 4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2)
    assert field.correlation_slope(c, q) == pytest.approx(slope * q / kernel(1.0), rel=1e-9)


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu", "hard_swish", "relu6", "selu", "sine(2)"])
@pytest.mark.parametrize("q", [0.4, 3.0])
def test_slopes_are_the_derivatives_of_the_maps(name, q):
    field = MeanField(name, 1.3, 0.1)
    h = 1e-4 * q
    numeric = (field.variance_map(q + h) - field.variance_map(q - h)) / (2 * h)
    assert field.variance_slope(q) == pytest.approx(numeric, rel=1e-6, abs=1e-8)
    numeric = (field.correlation_map(0.3 + 1e-4, q) - field.correlation_map(0.3 - 1e-4, q)) / 2e-4
    assert field.correlation_slope(0.3, q) == pytest.approx(numeric, rel=1e-6)
    assert field.correlation_slope(1.0, q) == pytest.approx(
        field.chi(q) * q / field.variance_map(q), rel=1e-12
    )


# --- fixed points ---------------------------------------------------------------------------------

FIXED = [  # activation, sigma_w2, sigma_b2, q0, kind, q
    ("relu", 2.0, 0.0, 0.7, "marginal", 0.7),
    ("relu", 1.0, 0.0, 1.0, "zero", 0.0),
    ("relu", 3.0, 0.0, 1.0, "infinity", math.inf),
    ("relu", 1.0, 0.25, 1.0, "stable", 0.5),
    ("tanh", 1.0, 0.0, 1.0, "zero", 0.0),
    ("hard_tanh", 1.0, 0.0, 1.0, "zero", 0.0),
    ("tanh", 25 / 9, 0.0, 1.0, "stable", 1.17848049),
    ("selu", 1.0, 0.0, 5.0, "stable", 1.0),
    ("selu", 0.5625, 0.0, 1.0, "stable", 0.0230),
    ("elu", 2.0, 0.0, 1.0, "infinity", math.inf),
    ("gelu", 2.351712, 0.0, 0.9, "zero", 0.0),
    ("gelu", 2.351712, 0.0, 1.1, "infinity", math.inf),
    ("sigmoid", 1.0, 0.0, 1.0, "stable", 0.2646869),
    ("sigmoid", 16.0, 0.0, 1.0, "stable", 5.855),
    ("sine", 2.0, 0.0, 1.0, "stable", 0.7968121),
    ("relu_squared", 2 / 3, 0.0, 1.1, "infinity", math.inf),
    ("relu_squared", 2 / 3, 0.0, 0.9, "zero", 0.0),
    ("relu_squared", 2 / 3, 0.0, 1.0, "unstable", 1.0),
]


@pytest.mark.parametrize(("name", "sigma_w2", "sigma_b2", "q0", "kind", "q"), FIXED)
def test_fixed_points(name, sigma_w2, sigma_b2, q0, kind, q):
    field = MeanField(name, sigma_w2, sigma_b2, q0)
    assert field.fixed.kind == kind
    assert field.q_star == pytest.approx(q, rel=2e-3 if name == "selu" and q < 1 else 1e-4, abs=1e-9)
    assert field.fixed.stable == (kind == "stable")
    if kind == "stable":
        q = field.trajectory(400)[-1]
        assert q == pytest.approx(field.q_star, rel=1e-6)
        assert field.variance_map(field.q_star) == pytest.approx(field.q_star, rel=1e-12)
    if kind in ("unstable", "zero", "infinity"):
        assert field.notes


def test_repelling_gain_of_gelu():
    """The forward gain makes q = 1 a fixed point that repels, as iteration shows."""
    sigma_w2 = theory.gains("gelu").forward ** 2
    field = MeanField("gelu", sigma_w2)
    assert field.fixed.kind == "unstable"
    assert any("repels" in note for note in field.notes)
    assert field.trajectory(50, 0.9)[-1] == pytest.approx(2.9e-8, rel=0.03)
    assert field.trajectory(50, 1.1)[-1] == pytest.approx(268, rel=0.01)
    silu = MeanField("silu", theory.gains("silu").forward ** 2)
    assert silu.trajectory(50, 0.9)[-1] == pytest.approx(3.8e-6, rel=0.02)
    assert silu.trajectory(50, 1.1)[-1] == pytest.approx(1.7e5, rel=0.03)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "q10", "q50"),
    [
        ("relu", 1.0, 9.8e-4, 8.9e-16),
        ("relu", 1 / 3, 1.65e-8, None),
        ("tanh", 1.0, 0.0522, 0.01022),
        ("elu", 2.0, 5.33, 34.1),
        ("gelu", 2.0, 0.0293, None),
        ("silu", 2.0, 0.00357, None),
        ("sigmoid", 1.0, 0.2647, 0.2647),
    ],
)
def test_trajectories_of_popular_choices(name, sigma_w2, q10, q50):
    path = MeanField(name, sigma_w2).trajectory(50)
    assert path[10] == pytest.approx(q10, rel=0.01)
    if q50 is not None and q50 > 1e-12:
        assert path[50] == pytest.approx(q50, rel=0.01)


def test_odd_activations_without_bias_decorrelate():
    assert MeanField("tanh", 25 / 9).c_star == 0.0
    assert MeanField("tanh", 25 / 9).xi_c == pytest.approx(12.1, rel=0.01)


# --- the edge of chaos ----------------------------------------------------------------------------

# activation, sigma_b, q*, sigma_w^2, xi_q ("-" where the point repels)
EDGE = """
tanh      0.05  0.15369   1.260094  4.07
tanh      0.1   0.2733    1.424205  2.58
tanh      0.2   0.51208   1.700796  1.64
tanh      0.3   0.76347   1.947655  1.26
tanh      0.5   1.31794   2.401489  0.91
tanh      1.0   3.0364    3.443211  0.6
erf       0.05  0.14515   0.987412  3.92
erf       0.1   0.25321   1.11428   2.44
erf       0.2   0.46576   1.328937  1.52
erf       0.3   0.68877   1.521948  1.15
erf       0.5   1.18327   1.880547  0.82
erf       1.0   2.74489   2.718381  0.53
sine      0.05  0.19675   1.194248  4.63
sine      0.1   0.31477   1.304773  2.75
sine      0.2   0.50975   1.469752  1.58
sine      0.3   0.68432   1.594322  1.11
sine      0.5   1.01977   1.769775  0.68
sine      1.0   1.96118   1.96118   0.31
softsign  0.05  0.06863   1.85246   2.92
softsign  0.1   0.15396   2.28877   2.1
softsign  0.2   0.35833   2.991615  1.51
softsign  0.3   0.59964   3.600475  1.25
softsign  0.5   1.17693   4.69254   0.99
softsign  1.0   3.09832   7.115142  0.72
elu       0.05  0.18917   1.281129  8.77
elu       0.1   0.43783   1.383325  7.23
elu       0.2   1.10693   1.511058  6.62
elu       0.3   2.03454   1.595441  6.79
elu       0.5   4.88663   1.705928  7.91
elu       1.0   21.7775   1.844102  13.1
selu      0.05  0.14065   0.675705  5.52
selu      0.1   0.30894   0.760233  4.18
selu      0.2   0.71705   0.87886   3.37
selu      0.3   1.22197   0.967649  3.11
selu      0.5   2.55551   1.101739  3.05
selu      1.0   8.39909   1.317714  3.7
gelu      0.05  0.07517   3.429544  -
gelu      0.1   0.18348   2.982799  -
gelu      0.2   0.57564   2.393238  -
gelu      0.3   1.42487   2.103864  -
gelu      0.5   6.4341    1.959631  70.3
gelu      1.0   82.3128   1.97668   87.0
silu      0.05  0.11363   3.629077  -
silu      0.1   0.25971   3.312588  -
silu      0.2   0.68945   2.820826  -
silu      0.3   1.39959   2.482583  -
silu      0.5   4.42808   2.122696  -
silu      1.0   39.3946   1.967041  74.6
mish      0.05  0.11086   2.550943  -
mish      0.1   0.26316   2.374604  -
mish      0.2   0.74555   2.141654  -
mish      0.3   1.58776   2.019546  -
mish      0.5   5.31483   1.941647  38.8
mish      1.0   50.6841   1.962188  53.5
sigmoid   0.0   45.624    103.0076  0.36
sigmoid   0.05  45.63     103.0136  0.36
sigmoid   0.2   45.712    103.1043  0.36
sigmoid   0.5   46.174    103.6092  0.35
sigmoid   1.0   47.8      105.3701  0.35
"""
POINTS = [line.split() for line in EDGE.strip().splitlines()]


@pytest.mark.parametrize("row", POINTS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_edge_of_chaos(row):
    activation = erf if row[0] == "erf" else row[0]
    sigma_b, q, sigma_w2 = map(float, row[1:4])
    xi_q = None if row[4] == "-" else float(row[4])
    point = theory.edge_of_chaos(activation, sigma_b=sigma_b)
    assert point.q == pytest.approx(q, rel=1e-6, abs=6e-6 if q < 10 else 6e-4)  # as many digits as printed
    assert point.sigma_w2 == pytest.approx(sigma_w2, rel=1e-6)
    assert point.stable == (xi_q is not None)
    assert point.xi_q == (math.inf if xi_q is None else pytest.approx(xi_q, rel=0.02))
    assert bool(point.notes) == (xi_q is None or sigma_w2 > 100)
    # it is what it says: a fixed point at which chi_1 = 1
    field = MeanField(activation, point.sigma_w2, point.sigma_b2)
    assert field.variance_map(point.q) == pytest.approx(point.q, rel=1e-9)
    assert field.chi(point.q) == pytest.approx(1.0, rel=1e-9)
    again = theory.edge_of_chaos(activation, q=point.q)
    assert (again.sigma_w2, again.sigma_b) == pytest.approx((point.sigma_w2, sigma_b), rel=1e-6, abs=1e-6)


def test_edge_of_chaos_of_papers():
    assert theory.edge_of_chaos("tanh", sigma_b=math.sqrt(0.05)).sigma_w2 == pytest.approx(1.761, abs=0.001)
    assert theory.edge_of_chaos("tanh", sigma_b=0.2).sigma_w == pytest.approx(1.30415, abs=5e-6)
    assert theory.edge_of_chaos("elu", sigma_b=0.2).sigma_w == pytest.approx(1.2293, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "sigma_w2", "stable"),
    [("tanh", 1, True), ("sine", 1, True), ("softsign", 1, True), ("elu", 1, True), ("gelu", 4, False),
     ("silu", 4, False), ("mish", 25 / 9, False), (erf, math.pi / 4, True), ("hard_tanh", 1, True)],
)  # fmt: skip
def test_edge_without_bias_is_a_limit(name, sigma_w2, stable):
    point = theory.edge_of_chaos(name, sigma_b=0.0)
    assert (point.q, point.sigma_b2) == (0.0, 0.0)
    assert point.sigma_w2 == pytest.approx(sigma_w2, rel=1e-9)  # 1 / phi'(0)^2
    assert point.stable == stable


def test_selu_without_bias_averages_both_slopes():
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    expected = 2 / (scale**2 * (1 + alpha**2))
    assert theory.edge_of_chaos("selu", sigma_b=0.0).sigma_w2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "sigma_w2"), [("relu", 2), ("leaky_relu(0.2)", 2 / 1.04), ("identity", 1), (np.abs, 1)]
)
def test_homogeneous_activations_have_one_point(name, sigma_w2):
    point = theory.edge_of_chaos(name, sigma_b=0.0)
    assert point.sigma_w2 == pytest.approx(sigma_w2, rel=1e-9)
    assert point.sigma_b2 == 0.0
    assert point.stable
    assert point.xi_q == math.inf
    assert theory.edge_line(name) == (point,)
    assert theory.doubly_critical(name) == point
    assert theory.edge_of_chaos(name, q=17.0).sigma_w2 == point.sigma_w2
    with pytest.raises(OptionError, match="single point"):
        theory.edge_of_chaos(name, sigma_b=0.1)


@pytest.mark.parametrize("name", ["softplus", "log_sigmoid"])
def test_no_edge_of_chaos(name):
    with pytest.raises(OptionError, match="no edge of chaos"):
        theory.edge_of_chaos(name, sigma_b=0.2)
    with pytest.raises(OptionError, match="negative bias variance"):
        theory.edge_of_chaos(name, q=1.0)
    with pytest.raises(OptionError, match="no edge of chaos"):
        theory.edge_line(name)


DOUBLE = {
    "gelu": (3.56155281, 1.98305826, 0.17292239),
    "gelu_tanh": (3.55677284, 1.98288824, 0.17289520),
    "silu": (14.32017362, 1.98800468, 0.55514317),
    "mish": (1.67016913, 2.01352407, 0.09452179),
    "hard_swish": (4.80385595, 1.97328958, 0.50714585),
}


@pytest.mark.parametrize("name", DOUBLE)
def test_doubly_critical_points(name):
    point = theory.doubly_critical(name)
    assert (point.q, point.sigma_w2, point.sigma_b2) == pytest.approx(DOUBLE[name], rel=1e-8, abs=6e-9)
    field = MeanField(name, point.sigma_w2, point.sigma_b2)
    assert field.variance_map(point.q) == pytest.approx(point.q, rel=1e-9)
    assert field.chi(point.q) == pytest.approx(1.0, abs=1e-9)
    assert field.variance_slope(point.q) == pytest.approx(1.0, abs=1e-8)
    assert not point.stable


def test_doubly_critical_quick_gelu_and_limits():
    point = theory.doubly_critical(lambda x: x * expit(1.702 * x))
    assert (point.q, point.sigma_w2, point.sigma_b2) == pytest.approx(
        (4.94343891, 1.98800468, 0.19163988), rel=1e-7
    )
    for name in ("tanh", "sine", "elu", "softsign"):
        assert (theory.doubly_critical(name).q, theory.doubly_critical(name).sigma_w2) == (0.0, 1.0)
    for name in ("sigmoid", "softplus", "relu_squared", "hard_sigmoid"):
        with pytest.raises(OptionError, match="both susceptibilities"):
            theory.doubly_critical(name)


def test_edge_line():
    line = theory.edge_line("tanh", n=20)
    assert len(line) == 20
    assert all(a.sigma_w2 < b.sigma_w2 and a.sigma_b2 < b.sigma_b2 for a, b in itertools.pairwise(line))
    for bad in ({"n": 1}, {"q_range": (2.0, 1.0)}, {"q_range": (0.0, 1.0)}):
        with pytest.raises(OptionError):
            theory.edge_line("tanh", **bad)


@pytest.mark.parametrize("name", activations.names())
def test_every_activation_has_an_answer(name):
    """Everything that can be asked is answered with finite numbers or with a clear error."""
    field = MeanField(name, 1.5, 0.1)
    values = (field.chi_1, field.chi_q, field.c_star, field.xi_q, field.xi_c, field.xi_gradient)
    assert not any(math.isnan(x) for x in values)
    for solve in (theory.doubly_critical, lambda a: theory.edge_of_chaos(a, sigma_b=0.0), theory.edge_line):
        try:
            points = solve(name)
        except OptionError as error:
            assert name in str(error)  # noqa: PT017
            continue
        for point in points if isinstance(points, tuple) else (points,):
            assert point.sigma_w2 > 0
            assert 0 <= point.sigma_b2 < math.inf


def test_arguments():
    for arguments in (
        ("tanh", 0.0),
        ("tanh", -1.0),
        ("tanh", math.nan),
        ("tanh", 1.0, -0.1),
        ("tanh", 1.0, 0.1, 0.0),
    ):
        with pytest.raises(OptionError):
            MeanField(*arguments)
    for options in ({}, {"sigma_b": 0.1, "q": 1.0}, {"sigma_b": -0.1}, {"q": 0.0}, {"q": math.inf}):
        with pytest.raises(OptionError):
            theory.edge_of_chaos("tanh", **options)
    for c in (1.5, math.nan):
        with pytest.raises(OptionError):
            MeanField("tanh", 1.0).correlation_map(c)
    with pytest.raises(OptionError, match="q="):
        MeanField("relu_squared", 1.0).variance_map(1e80)
