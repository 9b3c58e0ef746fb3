"""What initializers refuse: options, specs and arrays, with nothing changed after it."""

import math

import numpy as np
import pytest
from init_helpers import filled, spec

from minidl import init
from minidl.errors import DtypeError, OptionError, ShapeError


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
