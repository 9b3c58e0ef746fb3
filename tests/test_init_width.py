"""MuP: its table, the base net, and the coordinate check of the paper."""

import json
import math
import pickle

import numpy as np
import pytest

from minidl import MLP, SGD, init
from minidl.errors import OptionError

DEPTH3 = {"input": 0, "hidden": 1, "output": 2}


def spec(role, fan_in, fan_out, **more):
    more = {"index": DEPTH3[role], "depth": 3, "activation": "relu"} | more
    return init.LayerSpec(str(more["index"]), (fan_in, fan_out), role=role, **more)


def variance(initializer, layer):
    return initializer.resolve(layer)[0].variance(layer.fan_in, layer.fan_out)


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base", [init.He(), init.Xavier(), init.LeCun("uniform"), init.Normal(0.02)], ids=repr
)
@pytest.mark.parametrize("m", [0.5, 1, 2, 8])
def test_variances_and_rates_of_the_paper(base, m):
    """Third table of Yang, Hu et al. 2022, written out: variance and learning rate of SGD against width."""
    b, n = 64, int(64 * m)
    mup = init.MuP(b, base=base)
    for role, fans, base_fans, v, weight_rate, bias_rate in [
        ("input", (20, n), (20, b), 1, m, m),
        ("hidden", (n, n), (b, b), 1 / m, 1, m),
        ("output", (n, 10), (b, 10), 1 / m**2, 1 / m, 1),
    ]:
        layer = spec(role, *fans)
        assert variance(mup, layer) == pytest.approx(v * base.variance(*base_fans), rel=1e-8), role
        assert mup.lr_multipliers(layer) == {"weight": weight_rate, "bias": bias_rate}, role


def test_hidden_widths_that_differ():
    """With m_in and m_out on the two sides: lr m_out / m_in, the spectral condition of arXiv:2310.17813."""
    mup = init.MuP([32, 128], base=init.LeCun())
    first, middle, last = spec("input", 7, 64), spec("hidden", 64, 512), spec("output", 512, 3)
    assert mup.lr_multipliers(first) == {"weight": 2.0, "bias": 2.0}
    assert mup.lr_multipliers(middle) == {"weight": 2.0, "bias": 4.0}
    assert mup.lr_multipliers(last) == {"weight": 0.25, "bias": 1.0}
    assert variance(mup, first) == 1 / 7
    assert variance(mup, middle) == 1 / 64
    assert variance(mup, last) == pytest.approx(1 / 512 / 4, rel=1e-8)


def test_a_convolution_counts_channels():
    mup = init.MuP(16, base=init.He())
    layer = init.LayerSpec("1", (64, 32, 3, 3), layout="oihw", activation="relu", index=1, depth=3)
    assert mup.lr_multipliers(layer) == {"weight": 2.0, "bias": 4.0}
    assert variance(mup, layer) == pytest.approx(2 / (32 * 9), rel=1e-8)
    depthwise = init.LayerSpec("1", (64, 1, 3, 3), layout="oihw", groups=64, index=1, depth=3)
    assert mup.lr_multipliers(depthwise) == {"weight": 1.0, "bias": 4.0}


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu"])
def test_at_the_base_width_it_is_the_base(activation):
    for base in ("auto", "xavier_normal"):
        ours = MLP([7, 32, 32, 3], activation, init=init.MuP(32, base=base), seed=5)
        assert (
            ours.params.flat.tobytes()
            == MLP([7, 32, 32, 3], activation, init=base, seed=5).params.flat.tobytes()
        )
        assert set(ours.lr_multipliers().values()) == {1.0}


def test_zero_readout():
    net = MLP([7, 64, 64, 3], "tanh", init="mup(16, zero_readout=True)", seed=0)
    assert not net.params["2.weight"].any()
    assert net.params["1.weight"].any()
    assert net.lr_multipliers()["2.weight"] == 0.25  # its learning rate is still that of a readout


def test_an_only_layer_has_no_width():
    net = MLP([7, 3], init=init.MuP(16, base="lecun_normal"), seed=0)
    assert net.lr_multipliers() == {"0.weight": 1.0, "0.bias": 1.0}
    assert net.params.flat.tobytes() == MLP([7, 3], init="lecun_normal", seed=0).params.flat.tobytes()


# --- the coordinate check -------------------------------------------------------------------------


def activations(net, X):
    h, layers = X, []
    for path in range(3):
        z = h @ net.params[f"{path}.weight"] + net.params[f"{path}.bias"]
        layers.append(z)
        h = np.maximum(z, 0.0)
    return layers


def slopes(make, widths=(64, 128, 256, 512, 1024), seeds=3, steps=3, lr=0.1):
    """Slope of log2(mean |change of the pre-activations|) against log2(width), for each layer."""
    X = np.random.default_rng(0).normal(size=(16, 32))
    y = np.random.default_rng(1).integers(0, 10, 16)
    change = np.zeros((len(widths), seeds, 3))
    for i, width in enumerate(widths):
        for seed in range(seeds):
            net = MLP([32, width, width, 10], "relu", init=make, seed=seed, dtype="float64")
            before = activations(net, X)
            for _ in range(steps):
                net.train_step(X, y, optimizer=SGD(lr=lr))
            after = activations(net, X)
            change[i, seed] = [np.abs(b - a).mean() for a, b in zip(before, after, strict=True)]
    logs = np.log2(change.mean(axis=1))
    return np.polyfit(np.log2(widths), logs, 1)[0]


@pytest.mark.parametrize("zero_readout", [False, True])
def test_coordinate_check(zero_readout):
    """Under MuP all layers change by an amount that does not depend on the width (A5 of the paper)."""
    found = slopes(init.MuP(64, base="he_normal", zero_readout=zero_readout))
    assert (np.abs(found) <= 0.15).all(), found


def test_coordinate_check_fails_without_mup():
    """The control: the standard parametrization, and MuP without its learning rates."""
    standard = slopes("he_normal")
    assert standard.max() >= 0.3, standard

    class Forgets(init.MuP):
        def lr_multipliers(self, spec):
            return {}

    forgotten = slopes(Forgets(64, base="he_normal"))
    assert forgotten.min() <= -0.3, forgotten


# --- as a value -----------------------------------------------------------------------------------


def test_it_is_a_value():
    for mup in (init.MuP(64), init.MuP(base_width=[32, 64], base=init.He(), zero_readout=True)):
        assert eval(repr(mup), vars(init)) == mup
        assert init.from_dict(json.loads(json.dumps(mup.to_dict()))) == mup
        assert pickle.loads(pickle.dumps(mup)) == mup
        assert hash(init.from_dict(mup.to_dict())) == hash(mup)
    assert init.get("mup(64, base='he_normal')") == init.MuP(64, base=init.He())
    assert repr(init.MuP(64)) == "MuP(base_width=64)"
    plan = str(MLP([7, 64, 64, 3], "relu", init=init.MuP(16, base=init.He()), seed=0).init_plan())
    assert "last layer, 4 times as wide as the base" in plan


@pytest.mark.parametrize("width", [0, -1, 1.5, "64", True, [64, 0], None], ids=repr)
def test_bad_widths(width):
    with pytest.raises(OptionError, match="base_width"):
        init.MuP(width)


def test_bad_arguments_and_layers():
    with pytest.raises(OptionError, match="zero_readout=1"):
        init.MuP(64, zero_readout=1)
    with pytest.raises(OptionError, match=r"2 hidden layers, layer '0' is one of 2 weights"):
        MLP([4, 8, 2], init=init.MuP([8, 8]), seed=0)
    with pytest.raises(OptionError, match=r"layer '0': Zeros\(\) has variance 0"):
        MLP([4, 8, 2], init=init.MuP(4, base="zeros"), seed=0)
    with pytest.raises(OptionError, match="chooses by the description of a layer"):
        init.MuP(4).init((3, 4), rng=0)


def test_float32_is_float64_rounded():
    layer = spec("output", 100, 10)
    arrays = {}
    for dtype in ("float32", "float64"):
        arrays[dtype] = np.empty((100, 10), dtype)
        init.MuP(30, base=init.He()).init_layer(layer, 3, arrays[dtype])
    assert (arrays["float32"] == arrays["float64"].astype("float32")).all()
    assert math.isclose(arrays["float64"].std(), math.sqrt(2 / 100 * 30 / 100), rel_tol=0.1)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "sigmoid", "selu"])
def test_the_default_base_serves_deep_networks_too(activation):
    """`auto` chooses orthogonal and mirrored weights there, whose laws are those of whole fans."""
    wide = MLP([7, 64, 64, 64, 64, 3], activation, init=init.MuP(16), seed=0)
    base = MLP([7, 16, 16, 16, 16, 3], activation, init=init.MuP(16), seed=0)
    auto = MLP([7, 16, 16, 16, 16, 3], activation, seed=0)
    for name, weight in base.params.items():
        np.testing.assert_array_equal(weight, auto.params[name], err_msg=name)  # at its own width it is auto
    for i, ratio in enumerate([1, 4, 4, 4, 16]):  # of mean squares: 1, 1/m, 1/m^2
        small, large = (np.mean(net.params[f"{i}.weight"] ** 2) for net in (base, wide))
        assert small / large == pytest.approx(ratio, rel=0.5), i
