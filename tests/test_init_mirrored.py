"""Mirrored weights: pairs of opposite units make a relu network linear."""

import numpy as np
import pytest
from init_helpers import draw, weights_of

import minidl
from minidl import activations, init
from minidl.errors import MinidlError, OptionError, ShapeError
from minidl.init.mirrored import odd_slope

WIDTHS = [5, 12, 8, 8, 20, 3]


def specs_of_widths(widths, activation, first="identity"):
    depth = len(widths) - 1
    roles = ["input", *["hidden"] * (depth - 2), "output"] if depth > 1 else ["output"]
    return [
        init.LayerSpec(
            str(i),
            (widths[i], widths[i + 1]),
            activation=activation if i < depth - 1 else "identity",
            input_activation=activation if i else first,
            role=roles[i],
            index=i,
            depth=depth,
        )
        for i in range(depth)
    ]


@pytest.mark.parametrize(
    ("activation", "slope"),
    [("relu", 0.0), ("leaky_relu(0.25)", 0.25), ("gelu", 0.0), ("silu", 0.0), ("hard_swish", 0.0),
     ("softplus", 0.0), ("identity", 1.0)],
)  # fmt: skip
def test_a_mirrored_network_is_linear(activation, slope):
    x = init.Mirrored(slope=slope)
    specs = specs_of_widths(WIDTHS, activation)
    x.check_network(specs)
    weights = weights_of(x, specs)
    inputs = np.random.default_rng(0).normal(size=(50, WIDTHS[0]))
    z = inputs
    for i, w in enumerate(weights):
        z = (activations.forward(activation, z) if i else z) @ w
    # the product of the matrices M, read off the blocks
    product = np.eye(WIDTHS[0])
    for spec, w in zip(specs, weights, strict=True):
        m = w if spec.role == "input" else (1 + slope) * w[: len(w) // 2]
        product = product @ (m if spec.role == "output" else m[:, : m.shape[1] // 2])
    np.testing.assert_allclose(z, inputs @ product, atol=1e-12)


def test_a_deep_mirrored_relu_network_is_an_isometry():
    specs = specs_of_widths([16, *[32] * 99, 16], "relu")
    z = inputs = np.random.default_rng(1).normal(size=(20, 16))
    for i, w in enumerate(weights_of(init.Mirrored(), specs)):
        z = (np.maximum(z, 0.0) if i else z) @ w
    np.testing.assert_allclose(z @ z.T, inputs @ inputs.T, atol=1e-11)


def test_mirrored_network_through_the_engine():
    net = minidl.MLP([6, 10, 8, 4], "relu", init=init.Mirrored(), seed=3, dtype="float64")
    x = np.random.default_rng(0).normal(size=(7, 6))
    np.testing.assert_allclose(net.predict(x) + net.predict(-x), 0.0, atol=1e-14)
    a, b = x[:3], x[3:6]
    np.testing.assert_allclose(net.predict(a + 2 * b), net.predict(a) + 2 * net.predict(b), atol=1e-13)
    variances = [layer.variance for layer in net.init_plan().layers]
    for layer, variance in zip(net.init_plan().layers, variances, strict=True):
        w = net.params[f"{layer.spec.path}.weight"]
        assert np.mean(w**2) == pytest.approx(variance, rel=1e-12)  # orthogonal M: exact for each draw


def test_mirrored_blocks_are_those_of_the_base():
    base = init.He(mode="fan_out")
    m = draw(base, (3, 4))
    np.testing.assert_array_equal(draw(init.Mirrored(base), (6, 8)), np.block([[m, -m], [-m, m]]))
    first = draw(init.Mirrored(base, inputs=False), (3, 8))
    np.testing.assert_array_equal(first, np.hstack([m, -m]))
    last = draw(init.Mirrored(base, outputs=False, slope=1.0), (6, 4))
    np.testing.assert_array_equal(last, np.vstack([m, -m]) / 2)
    assert init.Mirrored(base).variance(6, 8) == base.variance(3, 4)
    assert init.Mirrored(base, outputs=False, slope=1.0).variance(6, 4) == base.variance(3, 4) / 4
    kernel = init.Mirrored().init((8, 6, 3, 3), 0, "float64", layout="oihw")
    half = init.Orthogonal().init((4, 3, 3, 3), 0, "float64", layout="oihw")
    np.testing.assert_array_equal(kernel[4:, 3:], half)
    np.testing.assert_array_equal(kernel[:4, 3:], -half)


def test_an_only_layer_is_not_mirrored():
    (spec,) = specs_of_widths([5, 3], "relu")
    np.testing.assert_array_equal(
        weights_of(init.Mirrored(), [spec])[0],
        init.Orthogonal().init((5, 3), init.Stream(0, "0", "weight"), "float64"),
    )


def test_mirrored_refuses_what_it_cannot_do():
    x = init.Mirrored()
    odd = specs_of_widths([4, 7, 2], "relu")
    for spec in odd:
        weight = np.full(spec.shape, 7.0)
        with pytest.raises(ShapeError, match=f"layer '{spec.path}'.*even number.*got 7"):
            x.init_layer(spec, 0, weight)
        assert np.all(weight == 7.0)
    with pytest.raises(ShapeError, match="layer '0'"):
        x.check_network(odd)
    with pytest.raises(OptionError, match=r"layer '1'.*tanh"):
        x.check_network(specs_of_widths([4, 6, 2], "tanh"))
    with pytest.raises(OptionError, match=r"layer '1'.*slope=0\.2"):
        x.init_layer(specs_of_widths([4, 6, 2], "leaky_relu(0.2)")[1], 0, np.zeros((6, 2)))
    with pytest.raises(OptionError, match=r"layer '1'.*another scheme"):
        x.check_network(specs_of_widths([4, 6, 2], "relu")[1:])
    with pytest.raises(OptionError, match="groups"):
        x.init((4, 4, 3), 0, layout="oiw", groups=2)
    with pytest.raises(ShapeError, match="even"):
        init.Pair(x, x).init_layer(init.LayerSpec("0", (4, 4)), 0, np.zeros((4, 4)), np.zeros(4))
    with pytest.raises(OptionError, match="inputs"):
        init.Mirrored(inputs="yes")
    with pytest.raises(MinidlError):
        minidl.MLP([4, 7, 2], "relu", init=x).build()


def test_which_activations_look_linear():
    linear = {
        "gelu",
        "gelu_tanh",
        "hard_swish",
        "identity",
        "leaky_relu",
        "log_sigmoid",
        "relu",
        "silu",
        "softplus",
    }
    assert {name for name in activations.names() if odd_slope(name) is not None} == linear
    verdict = init.Mirrored(slope=0.01).suits("leaky_relu")
    assert verdict.ok
    assert "1.01" in verdict.reason
    assert not init.Mirrored().suits("tanh")
