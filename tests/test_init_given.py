"""Weights that the user gives: arrays, functions, and pairs of rules for weight and bias."""

import math
import pickle

import numpy as np
import pytest
from init_helpers import filled, spec
from scipy import stats

from minidl import init
from minidl.errors import DtypeError, OptionError, ShapeError


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
