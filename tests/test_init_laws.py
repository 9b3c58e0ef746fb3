"""The contract of every initializer, and the laws of the simple ones and of the variance-scaling family.

Expected variances and bounds are written out by hand here, from the papers; laws are tested against
SciPy with tolerances of five standard errors. All seeds are fixed, so no test is a matter of luck.
"""

import json
import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from init_helpers import FAN_IN, FAN_OUT, filled, ids, spec
from scipy import integrate, special, stats

import minidl.init
from minidl import init
from minidl.init.distributions import truncated_std

SQUARE3 = math.sqrt(3.0)

# initializer, variance and bound for (FAN_IN, FAN_OUT), kurtosis
LAWS = [
    (init.Uniform(-0.3, 0.1), 0.16 / 12, 0.3, 1.8),
    (init.Normal(0.3, mean=1.0), 0.09, math.inf, 3.0),
    (init.TruncatedNormal(0.5), 0.25, 0.5 * 2 / 0.87962566103423978, 2.3655367171),
    (init.TruncatedNormal(0.5, std_is="pre"), 0.25 * 0.7737413, 1.0, 2.3655367171),
    (init.Xavier(), 2 / 1000, math.sqrt(6 / 1000), 1.8),
    (init.Xavier("normal"), 2 / 1000, math.inf, 3.0),
    (init.Xavier(gain=5 / 3), 25 / 9 * 2 / 1000, 5 / 3 * math.sqrt(6 / 1000), 1.8),
    (init.He(), 2 / 800, math.inf, 3.0),
    (init.He("uniform"), 2 / 800, math.sqrt(6 / 800), 1.8),
    (init.He(mode="fan_out"), 2 / 200, math.inf, 3.0),
    (init.He("uniform", slope=0.5), 1.6 / 800, math.sqrt(4.8 / 800), 1.8),
    (
        init.He("truncated_normal"),
        2 / 800,
        2 * math.sqrt(2 / 800) / 0.87962566103423978,
        2.3655367171,
    ),
    (init.LeCun(), 1 / 800, math.inf, 3.0),
    (init.LeCun("uniform"), 1 / 800, math.sqrt(3 / 800), 1.8),
    (init.VarianceScaling(3.0, "fan_geo", "uniform"), 3 / 400, 3 / 20, 1.8),
    (init.VarianceScaling(0.5, "fan_avg", "normal"), 0.5 / 500, math.inf, 3.0),
]
CONSTANTS = [(init.Zeros(), 0.0), (init.Ones(), 1.0), (init.Constant(-0.25), -0.25)]
ALL = [
    *(case[0] for case in LAWS),
    *(case[0] for case in CONSTANTS),
    init.TruncatedNormal(0.1, mean=2.0, cut=1.5),
    init.Fixed([[1.5, -2.0], [0.1, 4.0]]),
    init.Pair(init.He(), init.Normal(0.2)),
    init.Auto(),
]


GOLDEN = {
    "he_normal": [
        "-0x1.4c43b060c0324p-4",
        "0x1.33b3be5bbcf0ap-2",
        "-0x1.821f728b8c148p-1",
        "0x1.d8eaa871e4722p-2",
        "-0x1.fd7df8fae9ea2p-3",
        "0x1.edfcf31e03bcap-2",
    ],
    "xavier_uniform": [
        "-0x1.6318a7bce381fp-4",
        "0x1.4219b7f5bf922p-2",
        "-0x1.696183caca89cp-1",
        "0x1.e07fa4cafaca2p-2",
        "-0x1.0c89b7ab8aa86p-2",
        "0x1.f3950bd2dfb8dp-2",
    ],
    "lecun_truncated_normal": [
        "-0x1.fdd0c973b3375p-5",
        "0x1.d73a3276a945bp-3",
        "-0x1.23f1788fb84f3p-1",
        "0x1.690cf7f36c1b1p-2",
        "-0x1.86628373e0139p-3",
        "0x1.78f46682bf756p-2",
    ],
    "uniform": [
        "-0x1.03535fa892f6dp-8",
        "0x1.d67534ea92afdp-7",
        "-0x1.07ea518ea72d1p-5",
        "0x1.5ee814e4ce322p-6",
        "-0x1.88398c12bffc4p-7",
        "0x1.6cd7e0083ec12p-6",
    ],
    "normal(1.0)": [
        "-0x1.96f06af74aebdp-4",
        "0x1.78db49f9e1901p-2",
        "-0x1.d8e6e78080434p-1",
        "0x1.2199e25d21affp-1",
        "-0x1.37ffb851a3aaep-2",
        "0x1.2e81332462a64p-1",
    ],
    "truncated_normal(1.0)": [
        "-0x1.b983639509c34p-4",
        "0x1.9818477e7c50dp-2",
        "-0x1.f9a918ce99993p-1",
        "0x1.38add5b68f481p-1",
        "-0x1.52154a9f7cb3fp-2",
        "0x1.4673cc5a1c0cep-1",
    ],
}


# --- the contract of every initializer ------------------------------------------------------------


@pytest.mark.parametrize("x", ALL, ids=ids(ALL))
def test_is_a_value(x):
    assert eval(repr(x), vars(minidl.init)) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert init.from_dict(json.loads(json.dumps(x.to_dict()))) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)
    assert init.get(x) is x
    assert [other for other in ALL if other == x] == [x]
    assert repr(x) in x.describe()
    assert x.formula
    for field in x.to_dict():
        with pytest.raises((FrozenInstanceError, AttributeError)):
            setattr(x, field, 3)


def test_repr_shows_what_is_not_default():
    assert repr(init.He()) == "He()"
    assert repr(init.He(slope=0.2)) == "He(slope=0.2)"
    assert repr(init.Constant(0)) == "Constant(value=0.0)"


def test_equality_includes_the_type():
    assert init.He() != init.VarianceScaling(2.0)
    assert init.Constant(0.0) != init.Zeros()


SHAPES = [(1, 1), (1, 9), (9, 1), (70, 33), (3, 100)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", [*LAWS, *CONSTANTS], ids=ids([*LAWS, *CONSTANTS]))
def test_contract(case, shape, dtype):
    x = case[0]
    here = spec("3", shape)
    weight, bias = filled(x, here, seed=5, dtype=dtype)
    assert np.all(bias == 0.0)
    assert np.all(np.isfinite(weight))
    assert np.all(np.abs(weight) <= dtype(x.bound(*shape)))
    # init() of the same stream, other dtype, other memory: the same values
    alone = x.init(shape, init.Stream(5, "3", "weight"), dtype)
    assert alone.dtype == dtype
    assert alone.flags.c_contiguous
    np.testing.assert_array_equal(weight, alone)
    double = x.init(shape, init.Stream(5, "3", "weight"), "float64")
    np.testing.assert_array_equal(weight, double.astype(dtype))
    padded = np.full((shape[0], shape[1] + 5), 7.0, dtype)
    x.init_layer(here, 5, padded[:, : shape[1]])
    np.testing.assert_array_equal(padded[:, : shape[1]], weight)
    assert np.all(padded[:, shape[1] :] == 7.0)
    turned = np.full(shape[::-1], 7.0, dtype)
    assert x.init(shape, init.Stream(5, "3", "weight"), out=turned.T) is not turned
    np.testing.assert_array_equal(turned.T, weight)
    # a weight stored (fan_out, fan_in) gets the same number for the same connection
    stored = np.full(shape[::-1], 7.0, dtype)
    x.init_layer(spec("3", shape[::-1], layout="out_in"), 5, stored)
    np.testing.assert_array_equal(stored.T, weight)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
@pytest.mark.parametrize("case", [*LAWS, *CONSTANTS], ids=ids([*LAWS, *CONSTANTS]))
def test_no_inputs_or_outputs(case, shape):
    weight, bias = filled(case[0], spec("0", shape))
    assert weight.shape == shape
    assert np.all(bias == 0.0)
    assert case[0].init(shape, 0).shape == shape


@pytest.mark.parametrize(("x", "variance", "bound", "kurtosis"), LAWS, ids=ids(LAWS))
def test_law(x, variance, bound, kurtosis):
    assert x.variance(FAN_IN, FAN_OUT) == pytest.approx(variance, rel=1e-7)
    assert x.std(FAN_IN, FAN_OUT) == pytest.approx(math.sqrt(variance), rel=1e-7)
    assert x.bound(FAN_IN, FAN_OUT) == pytest.approx(bound, rel=1e-12)
    weight = x.init((FAN_IN, FAN_OUT), init.Stream(11, "law"), np.float64)
    n = weight.size
    mean = x.mean if isinstance(x, init.Normal) else -0.1 if isinstance(x, init.Uniform) else 0.0
    assert abs(weight.mean() - mean) < 5 * math.sqrt(variance / n)
    assert abs(weight.var() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    assert stats.kstest(weight.ravel(), x.cdf(FAN_IN, FAN_OUT)).pvalue > 1e-4
    assert np.abs(weight).max() <= bound
    if bound < math.inf:  # the bound is the smallest one: some elements come close to it
        assert np.abs(weight).max() > 0.99 * bound


@pytest.mark.parametrize(("x", "variance", "bound", "kurtosis"), LAWS, ids=ids(LAWS))
def test_cdf_has_that_variance(x, variance, bound, kurtosis):
    law, spread = x.law(FAN_IN, FAN_OUT), 12 * math.sqrt(variance)
    center = getattr(law, "mean", 0.0)
    grid = center + np.linspace(-spread, spread, 400_001)
    cdf = x.cdf(FAN_IN, FAN_OUT)(grid)
    assert cdf[0] == pytest.approx(0.0, abs=1e-15)
    assert cdf[-1] == pytest.approx(1.0)
    mean = grid[-1] - integrate.trapezoid(cdf, grid)
    second = (grid[-1] - center) ** 2 - integrate.trapezoid(2 * (grid - center) * cdf, grid)
    assert second - (mean - center) ** 2 == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize(("x", "value"), CONSTANTS, ids=ids(CONSTANTS))
def test_constants(x, value):
    np.testing.assert_array_equal(x.init((2, 3), 0), np.full((2, 3), value, np.float32))
    assert (x.variance(), x.std(), x.bound()) == (0.0, 0.0, abs(value))
    np.testing.assert_array_equal(x.cdf()([value - 0.1, value, value + 0.1]), [0, 1, 1])


@pytest.mark.parametrize("cut", [0.001, 0.01, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 8.0, 20.0])
def test_truncation_constant(cut):
    tails = 2 * cut * stats.norm.pdf(cut) / special.erf(cut / math.sqrt(2))
    expected = math.sqrt(1 - tails) if cut > 0.1 else cut / SQUARE3
    assert truncated_std(cut) == pytest.approx(expected, rel=1e-12 if cut > 0.1 else 1e-4)
    if cut == 2.0:
        assert truncated_std(cut) == pytest.approx(0.87962566103423978, rel=1e-15)


def test_normal_and_truncated_normal_without_spread():
    for x in (init.Normal(0.0, mean=0.5), init.TruncatedNormal(0.0, mean=0.5)):
        assert np.all(x.init((3, 3), 0) == 0.5)
        assert x.bound() == 0.5
        np.testing.assert_array_equal(x.cdf()([0.4, 0.5]), [0.0, 1.0])


def test_same_law_as_pytorch():
    torch = pytest.importorskip("torch")
    weight = torch.empty(FAN_OUT, FAN_IN, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    fill = torch.nn.init
    for ours, theirs in [
        (init.He(), lambda: fill.kaiming_normal_(weight, generator=generator)),
        (
            init.He("uniform", slope=0.2),
            lambda: fill.kaiming_uniform_(weight, a=0.2, generator=generator),
        ),
        (
            init.He(mode="fan_out"),
            lambda: fill.kaiming_normal_(weight, mode="fan_out", generator=generator),
        ),
        (init.Xavier(), lambda: fill.xavier_uniform_(weight, generator=generator)),
        (
            init.Xavier("normal", gain=2.0),
            lambda: fill.xavier_normal_(weight, gain=2.0, generator=generator),
        ),
    ]:
        theirs()
        assert stats.kstest(weight.numpy().ravel(), ours.cdf(FAN_IN, FAN_OUT)).pvalue > 1e-4


def test_golden_values():
    for name, values in GOLDEN.items():
        weight = init.get(name).init((3, 2), init.Stream(0, "0", "weight"), np.float64)
        assert [x.hex() for x in weight.ravel().tolist()] == values, name


def test_import_does_not_load_scipy(tmp_path):
    code = "import sys, minidl.init; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
