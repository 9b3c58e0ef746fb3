"""Streams, the initializer protocol and the variance-scaling family.

Expected variances and bounds are written out by hand here, from the papers; laws are tested against
SciPy with tolerances of five standard errors. All seeds are fixed, so no test is a matter of luck.
"""

import json
import math
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

import minidl.init
from minidl import init
from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.init import registry
from minidl.init.distributions import truncated_std

FAN_IN, FAN_OUT = 800, 200  # far apart: confusing the two is a factor of 4
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


def ids(cases):
    return [repr(case[0] if isinstance(case, tuple) else case) for case in cases]


def spec(path="0", shape=(FAN_IN, FAN_OUT), **more):
    return init.LayerSpec(path, shape, **more)


def filled(initializer, spec, seed=0, dtype=np.float64):
    weight = np.full(spec.shape, 7.0, dtype)
    bias = np.full(spec.n_outputs, 7.0, dtype)
    initializer.init_layer(spec, seed, weight, bias)
    return weight, bias


# --- streams --------------------------------------------------------------------------------------


def test_stream_is_a_value():
    stream = init.Stream(7, "0", "weight")
    assert stream == init.Stream(7).child("0", "weight") == init.Stream(np.int64(7), "0", "weight")
    assert hash(stream) == hash(init.Stream(7, "0", "weight"))
    assert pickle.loads(pickle.dumps(stream)) == stream
    assert eval(repr(stream), vars(init)) == stream
    with pytest.raises(AttributeError):
        stream.seed = 3
    with pytest.raises(AttributeError):
        del stream.key
    assert stream != "stream"


def test_streams_of_different_names_differ():
    streams = [
        init.Stream(0),
        init.Stream(1),
        init.Stream(-1),
        init.Stream(2**200),
        init.Stream(2**200 + 1),
        init.Stream(0, "0"),
        init.Stream(0, 0),
        init.Stream(0, ""),
        init.Stream(0, "", ""),
        init.Stream(0, "ab", "c"),
        init.Stream(0, "a", "bc"),
        init.Stream(0, "abc"),
        init.Stream(0, "a", "sb"),  # the tag of a part must not pass for text
        init.Stream(0, "assb"),
        init.Stream(0, "0", "weight"),
        init.Stream(0, "0", "bias"),
        init.Stream(0, "\udc80"),
    ]
    assert len({stream.key for stream in streams}) == len(streams)
    assert len(set(streams)) == len(streams)


def test_stream_key_is_golden():
    assert init.Stream(0).key == GOLDEN_KEYS[0]
    assert init.Stream(7, "0", "weight").key == GOLDEN_KEYS[1]


def test_stream_draws_are_those_of_numpy():
    stream = init.Stream(3, "shuffle", 0)
    generator = np.random.Philox(key=np.array(stream.key, np.uint64))
    np.testing.assert_array_equal(stream.raw(101), generator.random_raw(101))
    assert sorted(stream.permutation(50).tolist()) == list(range(50))
    assert stream.permutation(50).tolist() != stream.child(1).permutation(50).tolist()


def test_neighbouring_streams_are_uncorrelated():
    n = 20_000
    streams = [init.Stream(seed, path, role) for seed in (0, 1) for path in "01" for role in "wb"]
    draws = np.array([init.Normal(1.0).init((n, 1), stream, np.float64)[:, 0] for stream in streams])
    off_diagonal = np.corrcoef(draws)[np.triu_indices(len(streams), 1)]
    assert np.all(np.abs(off_diagonal) < 5 / math.sqrt(n))


@pytest.mark.parametrize("seed", [None, 1.0, "1", True, np.random.default_rng(0)])
def test_bad_seed(seed):
    with pytest.raises(OptionError, match="seed"):
        init.Stream(seed)
    with pytest.raises(OptionError, match="rng"):
        init.He().init((2, 2), seed)


@pytest.mark.parametrize("part", [None, 1.0, b"0", ("0",), True])
def test_bad_path(part):
    with pytest.raises(OptionError, match="path"):
        init.Stream(0, part)


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


# --- streams belong to paths ----------------------------------------------------------------------


def test_a_layer_does_not_depend_on_the_others():
    small = [("0", (8, 6)), ("1", (6, 3))]
    large = [("0", (8, 6)), ("new", (6, 6)), ("1", (6, 3))]
    x = init.Pair(init.He(), init.Normal(0.1))
    first = {path: filled(x, spec(path, shape)) for path, shape in small}
    second = {path: filled(x, spec(path, shape)) for path, shape in reversed(large)}
    for path, (weight, bias) in first.items():
        np.testing.assert_array_equal(weight, second[path][0])
        np.testing.assert_array_equal(bias, second[path][1])
    assert not np.any(first["0"][0][:6, :6] == second["new"][0])


def test_roles_paths_and_seeds_have_their_own_numbers():
    x = init.Pair(init.Normal(1.0), init.Normal(1.0))
    draws = [filled(x, spec(path, (40, 1)), seed)[0] for path in "01" for seed in (0, 1)]
    draws.append(np.resize(filled(x, spec("0", (1, 40)))[1], (40, 1)))
    assert len(np.unique(draws)) == 5 * 40


def test_more_outputs_keep_the_ones_before():
    x = init.Normal(1.0)
    few, many = filled(x, spec("0", (10, 3)))[0], filled(x, spec("0", (10, 5)))[0]
    np.testing.assert_array_equal(few, many[:, :3])


def test_seed_may_be_a_stream():
    weight = np.empty((4, 4))
    init.He().init_layer(spec("0", (4, 4)), init.Stream(3, "ensemble", 1), weight)
    alone = init.He().init((4, 4), init.Stream(3, "ensemble", 1, "0", "weight"), np.float64)
    np.testing.assert_array_equal(weight, alone)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(-(2**70), 2**70),
    st.text("01/é", max_size=5),
)
@settings(max_examples=30, deadline=None)
def test_any_shape_seed_and_path(fan_in, fan_out, seed, path):
    weight, _ = filled(init.He("uniform"), spec(path, (fan_in, fan_out)), seed)
    assert np.abs(weight).max() <= math.sqrt(6 / fan_in)
    again, _ = filled(init.He("uniform"), spec(path, (fan_in, fan_out)), seed)
    np.testing.assert_array_equal(weight, again)


# --- arrays, functions, pairs ---------------------------------------------------------------------


def test_fixed():
    array = np.arange(6.0).reshape(2, 3)
    x = init.Fixed(array)
    array[:] = 9.0  # the copy stays
    weight, bias = filled(x, spec("0", (2, 3)), dtype=np.float32)
    np.testing.assert_array_equal(weight, np.arange(6.0).reshape(2, 3))
    assert np.all(bias == 0.0)
    with pytest.raises(ValueError, match="read-only"):
        x.value[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(x)).value[0, 0] = 1.0
    assert init.Fixed([0.0]) == init.Fixed([-0.0])
    assert hash(init.Fixed([0.0])) == hash(init.Fixed([-0.0]))
    assert init.Fixed([[1.0]]) != init.Fixed([1.0])
    assert init.Fixed([1.0]) != 1.0
    assert len(repr(init.Fixed(np.zeros((500, 500))))) < 80
    with pytest.raises(OptionError, match="no distribution"):
        x.variance(2, 3)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([[math.nan]], OptionError),
        ([[math.inf]], OptionError),
        ([["a"]], DtypeError),
        ([[1j]], DtypeError),
        ([[True]], DtypeError),
        (None, DtypeError),
        ([[1.0], [1.0, 2.0]], ShapeError),
    ],
)
def test_fixed_refuses(value, error):
    with pytest.raises(error, match="value"):
        init.Fixed(value)


def half_identity(shape, stream, dtype):
    return 0.5 * np.eye(*shape, dtype=dtype)


def test_function():
    x = init.get(half_identity)
    assert x == init.FromFunction(half_identity) == pickle.loads(pickle.dumps(x))
    np.testing.assert_array_equal(filled(x, spec("0", (3, 2)))[0], 0.5 * np.eye(3, 2))
    with pytest.raises(OptionError, match="register"):
        x.to_dict()
    seen = []

    def record(*arguments):
        seen.append(arguments)
        return np.zeros(arguments[0])

    filled(init.get(record), spec("4", (3, 2)), seed=1, dtype=np.float32)
    assert seen == [((3, 2), init.Stream(1, "4", "weight"), np.dtype(np.float32))]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda shape, stream, dtype: np.zeros(shape[::-1]), ShapeError),
        (lambda shape, stream, dtype: np.full(shape, np.nan), OptionError),
        (lambda shape, stream, dtype: np.full(shape, 1e300), OptionError),
        (lambda shape, stream, dtype: None, DtypeError),
    ],
)
def test_function_returns_something_else(function, error):
    weight, bias = np.full((3, 2), 7.0, np.float32), np.full(2, 7.0, np.float32)
    with pytest.raises(error, match="lambda"):
        init.get(function).init_layer(spec("0", (3, 2)), 0, weight, bias)
    assert np.all(weight == 7.0)
    assert np.all(bias == 7.0)


def test_pair_fills_both():
    uniform = init.VarianceScaling(1 / 3, "fan_in", "uniform")
    x = init.Pair(uniform, uniform)  # the default of torch.nn.Linear: U(+-1/sqrt(fan_in)) for both
    weight, bias = filled(x, spec("0", (4, 5000)))
    assert weight.shape == (4, 5000)
    for values in (weight, bias):
        assert stats.kstest(values.ravel(), stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-4
    alone = np.empty(5000)
    uniform.fill(alone, init.Stream(0, "0", "bias"), 4, 5000)
    np.testing.assert_array_equal(bias, alone)
    x.init_layer(spec("0", (4, 5000)), 0, weight)  # a layer without bias
    assert x.variance(4, 5000) == pytest.approx(1 / 12)


def test_pair_changes_nothing_when_one_fails():
    good, bad = init.Ones(), init.Fixed(np.zeros((9, 9)))
    for x in (init.Pair(good, bad), init.Pair(bad, good)):
        weight, bias = np.full((3, 2), 7.0), np.full(2, 7.0)
        with pytest.raises(ShapeError, match=r"\(9, 9\)"):
            x.init_layer(spec("0", (3, 2)), 0, weight, bias)
        assert np.all(weight == 7.0)
        assert np.all(bias == 7.0)


def test_pair_resolves_its_weight():
    chosen, reason = init.Pair("auto", "ones").resolve(spec(activation="relu"))
    assert chosen == init.Pair(init.He(), init.Ones())
    assert "relu" in reason
    weight, bias = filled(init.Pair("auto", "ones"), spec("0", (5, 4), activation="relu"))
    np.testing.assert_array_equal(weight, filled(init.He(), spec("0", (5, 4)))[0])
    assert np.all(bias == 1.0)


# --- registry -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zeros", init.Zeros()),
        ("ones", init.Ones()),
        ("constant(0.5)", init.Constant(0.5)),
        ("uniform", init.Uniform()),
        ("normal", init.Normal()),
        (" normal( 0.2 ,mean=-1 )", init.Normal(0.2, -1.0)),
        ("truncated_normal(std=0.2)", init.TruncatedNormal(0.2)),
        ("he", init.He()),
        ("he_normal", init.He()),
        ("kaiming_normal", init.He()),
        ("he_uniform", init.He("uniform")),
        ("kaiming_uniform", init.He("uniform")),
        ("he_truncated_normal", init.He("truncated_normal")),
        ("xavier", init.Xavier()),
        ("xavier_uniform", init.Xavier()),
        ("glorot_uniform", init.Xavier()),
        ("glorot_normal(gain=2)", init.Xavier("normal", 2.0)),
        ("lecun", init.LeCun()),
        ("lecun_uniform", init.LeCun("uniform")),
        ("he_normal(mode='fan_out')", init.He(mode="fan_out")),
        ("variance_scaling(2, 'fan_avg')", init.VarianceScaling(2.0, "fan_avg")),
        ("fixed([[1, 2]])", init.Fixed([[1.0, 2.0]])),
        ("pair(weight='he', bias='normal(0.1)')", init.Pair(init.He(), init.Normal(0.1))),
        ("auto", init.Auto()),
    ],
)
def test_get_by_name(text, expected):
    assert init.get(text) == expected


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ("he_norml", "Did you mean 'he_normal'"),
        ("he-normal", "Did you mean 'he_normal'"),
        ("", "unknown"),
        ("he(", "expected a name"),
        ("he(slope=__import__('os'))", "expected a name"),
        ("he(**{'slope': 1})", "expected a name"),
        ("he(slope=0.1, slope=0.2)", "expected a name"),
        ("init.he()", "expected a name"),
        ("he(slop=0.1)", "slop"),
        ("he(slope='a')", "slope"),
        ("constant", "value"),
        ("he_normal('uniform')", "mode"),
        (None, "expected a name"),
        (3, "expected a name"),
    ],
)
def test_get_refuses(x, match):
    with pytest.raises(OptionError, match=match):
        init.get(x)


def test_get_takes_arrays_and_classes():
    assert init.get(np.eye(2)) == init.Fixed(np.eye(2))
    assert init.get(init.He) == init.He()
    with pytest.raises(OptionError, match="value"):
        init.get(init.Constant)


@dataclass(frozen=True, repr=False)
class HalfHe(init.Initializer):
    factor: float = 0.5

    def law(self, fan_in, fan_out):
        return init.Normal(math.sqrt(self.factor * 2.0 / fan_in))


def test_register_own_class(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    assert init.register("half_he")(HalfHe) is HalfHe
    x = init.get("half_he(factor=0.25)")
    assert x == HalfHe(0.25)
    assert init.from_dict(x.to_dict()) == x
    assert x.variance(8, 3) == pytest.approx(1 / 16)
    assert repr(x) == "HalfHe(factor=0.25)"
    weight, bias = filled(x, spec("0", (500, 100)))
    assert abs(weight.var() * 1000 - 1) < 5 * math.sqrt(2 / weight.size)
    assert np.all(bias == 0.0)
    with pytest.raises(OptionError, match="in use"):
        init.register("half_he", HalfHe)
    init.register("half_he", HalfHe, replace=True)
    init.register("tiny", lambda: init.Normal(1e-3))
    assert init.get("tiny") == init.Normal(1e-3)
    init.register("broken", lambda: 3)
    with pytest.raises(OptionError, match="broken"):
        init.get("broken")
    for name, factory in [("two words", HalfHe), (3, HalfHe), ("three", 3)]:
        with pytest.raises(OptionError):
            init.register(name, factory)


@pytest.mark.parametrize(
    "record", [{}, {"name": 3}, {"name": "Hee"}, {"name": "He", "a": 1}, {"name": "Pair"}, None]
)
def test_from_dict_refuses(record):
    with pytest.raises(OptionError):
        init.from_dict(record)


# --- the plan -------------------------------------------------------------------------------------


def test_plan():
    plan = init.InitPlan.of(
        [
            (spec("0", (8, 4), activation="relu"), init.Auto()),
            (spec("1", (4, 2)), init.Fixed(np.zeros((4, 2)))),
        ]
    )
    first, second = plan.layers
    assert (first.initializer, first.variance) == (init.He(), 0.25)
    assert (second.variance, second.reason) == (None, "given")
    lines = str(plan).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("layer")
    assert "He()" in lines[1]
    assert "0.25" in lines[1]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: init.Constant(math.nan), "value"),
        (lambda: init.Constant("1"), "value"),
        (lambda: init.Uniform(1.0, 1.0), "low"),
        (lambda: init.Uniform(2.0, 1.0), "low"),
        (lambda: init.Uniform(-math.inf, 1.0), "low"),
        (lambda: init.Uniform(-1.7e308, 1.7e308), "high - low"),
        (lambda: init.Normal(-1.0), "std"),
        (lambda: init.Normal(math.nan), "std"),
        (lambda: init.Normal(1.0, math.inf), "mean"),
        (lambda: init.TruncatedNormal(-1.0), "std"),
        (lambda: init.TruncatedNormal(1.0, cut=0.0), "cut"),
        (lambda: init.TruncatedNormal(1.0, cut=math.nan), "cut"),
        (lambda: init.TruncatedNormal(1.0, std_is="before"), "std_is"),
        (lambda: init.VarianceScaling(0.0), "scale"),
        (lambda: init.VarianceScaling(-1.0), "scale"),
        (lambda: init.VarianceScaling(math.nan), "scale"),
        (lambda: init.VarianceScaling(1.0, "fan"), "mode"),
        (lambda: init.VarianceScaling(1.0, "fan_in", "cauchy"), "distribution"),
        (lambda: init.Xavier("normall"), "Did you mean 'normal'"),
        (lambda: init.Xavier(gain=0.0), "gain"),
        (lambda: init.Xavier(gain=1e-200), "gain"),
        (lambda: init.He(slope=math.inf), "slope"),
        (lambda: init.He(slope=1e200), "slope"),
        (lambda: init.He(mode="in"), "mode"),
        (lambda: init.LeCun(distribution=None), "distribution"),
        (lambda: init.Pair("he", "nothing"), "nothing"),
        (lambda: init.FromFunction(3), "function"),
        (lambda: init.He().variance(0, 3), "fan_in"),
        (lambda: init.He().std(3, 0), "fan_out"),
        (lambda: init.Initializer().variance(3, 3), "no distribution"),
    ],
)
def test_bad_options(make, match):
    with pytest.raises(OptionError, match=match):
        make()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"path": 3}, OptionError),
        ({"shape": (3,)}, ShapeError),
        ({"shape": 3}, ShapeError),
        ({"shape": (3, -1)}, ShapeError),
        ({"shape": (3.0, 1)}, ShapeError),
        ({"shape": (3, 1, 1)}, ShapeError),
        ({"layout": "ox"}, OptionError),
        ({"activation": None}, OptionError),
        ({"role": "last"}, OptionError),
        ({"depth": 0}, OptionError),
        ({"index": 2, "depth": 2}, OptionError),
        ({"index": -1}, OptionError),
        ({"residual_branches": -1}, OptionError),
        ({"branch_pos": -1}, OptionError),
        ({"groups": 0}, OptionError),
        ({"groups": 3, "shape": (3, 4)}, OptionError),
    ],
)
def test_bad_spec(options, error):
    with pytest.raises(error, match=next(iter(options))):
        init.LayerSpec(**{"path": "0", "shape": (3, 4), **options})


def test_fans_of_a_spec():
    dense = spec("0", (784, 256))
    assert (dense.fan_in, dense.fan_out, dense.n_outputs) == (784, 256, 256)
    turned = spec("0", (256, 784), layout="out_in")
    assert (turned.fan_in, turned.fan_out, turned.n_outputs) == (784, 256, 256)
    grouped = spec("0", (98, 256), groups=8)
    assert (grouped.fan_in, grouped.fan_out, grouped.n_outputs) == (98, 32, 256)
    weight, bias = filled(init.He(mode="fan_out"), grouped)
    assert abs(weight.var() / (2 / 32) - 1) < 5 * math.sqrt(2 / weight.size)
    assert bias.shape == (256,)
    assert hash(dense) == hash(spec("0", [784, 256]))


def test_bad_arrays_change_nothing():
    read_only = np.zeros((3, 2))
    read_only.flags.writeable = False
    good_weight, good_bias = np.full((3, 2), 7.0), np.full(2, 7.0)
    for weight, bias, error, match in [
        (np.zeros((2, 3)), good_bias, ShapeError, "weight"),
        (np.zeros((3, 2), int), good_bias, DtypeError, "weight"),
        ([[0.0] * 2] * 3, good_bias, DtypeError, "weight"),
        (read_only, good_bias, OptionError, "weight"),
        (good_weight, np.zeros(3), ShapeError, "bias"),
        (good_weight, np.zeros((1, 2)), ShapeError, "bias"),
        (good_weight, np.zeros(2, np.float16), DtypeError, "bias"),
    ]:
        for x in (init.He(), init.Ones(), init.Auto(), init.Pair("he", "ones")):
            with pytest.raises(error, match=match):
                x.init_layer(spec("0", (3, 2)), 0, weight, bias)
    assert np.all(good_weight == 7.0)
    assert np.all(good_bias == 7.0)
    for options, error in [
        ({"dtype": np.float16}, DtypeError),
        ({"dtype": "real"}, DtypeError),
        ({"dtype": None}, DtypeError),
        ({"out": np.zeros((2, 3))}, ShapeError),
    ]:
        with pytest.raises(error):
            init.He().init((3, 2), 0, **options)


@pytest.mark.parametrize(
    "x",
    [
        init.Constant(1e39),
        init.Normal(1e38),
        init.Normal(1.0, mean=1e39),
        init.Uniform(-1e39, 0.0),
        init.TruncatedNormal(3e38),
        init.Fixed([[1e39]]),
    ],
    ids=repr,
)
def test_values_too_large_for_float32(x):
    weight = np.full((1, 1), 7.0, np.float32)
    with pytest.raises(OptionError, match="float32"):
        x.init_layer(spec("0", (1, 1)), 0, weight)
    assert weight == 7.0
    assert np.isfinite(x.init((1, 1), 0, np.float64)).all()


# --- the room -------------------------------------------------------------------------------------


def test_import_does_not_load_scipy(tmp_path):
    code = "import sys, minidl.init; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


GOLDEN_KEYS = [(16785096737696941759, 9533401529701472631), (12014865990016998476, 11347128957378944137)]
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
