"""What `auto` chooses, checked by what the choice must do: keep the signal, whatever depth and activation."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

import minidl
from minidl import activations, init, theory
from minidl.errors import OptionError

NAMES = [name for name in activations.names() if name != "relu_squared"]  # nothing keeps its signal
LINEAR_AT_FIRST = ["relu", "leaky_relu", "gelu", "gelu_tanh", "silu", "hard_swish", "softplus", "log_sigmoid"]
SHALLOW, DEEP = 3, 30


def spec(activation, role="hidden", depth=SHALLOW, shape=(800, 200), **more):
    index = {"input": 0, "hidden": 1, "output": depth - 1}[role]
    more = {"input_activation": "identity" if role == "input" else activation, **more}
    return init.LayerSpec("0", shape, activation=activation, role=role, index=index, depth=depth, **more)


def stack(activation, depth, width=128, seed=0, **options):
    return minidl.MLP([width, *[width] * depth, 10], activation, seed=seed, dtype="float64", **options)


# --- shallow networks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["relu", "leaky_relu(0.2)", "gelu", "silu", "mish", "elu(0.5)", "softplus", "selu"]
)
def test_keeps_the_second_moment(name):
    """E[act(z)^2] fan_in Var(W) = 1 for standard normal z, by SciPy's quadrature."""
    x, reason = init.auto(spec(name))
    moment = sum(
        integrate.quad(
            lambda z: float(activations.forward(name, z)) ** 2 * stats.norm.pdf(z), a, b, epsabs=1e-13
        )[0]
        for a, b in [(-12, -3), (-3, 0), (0, 3), (3, 12)]
    )
    assert moment * 800 * x.variance(800, 200) == pytest.approx(1.0, abs=1e-8)
    assert name.split("(")[0] in reason
    assert math.isinf(x.bound(800, 200))  # a normal law


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("identity", 1),
        ("tanh", 1),
        ("softsign", 1),
        ("arctan", 1),
        ("hard_tanh", 1),
        ("sine(0.5)", 0.5),
        ("lecun_tanh", 1.7159 * 2 / 3),
    ],
)
def test_near_linear(name, slope):
    x, reason = init.auto(spec(name))
    assert x.bound(800, 200) == pytest.approx(math.sqrt(6 / 1000) / slope)
    assert name in reason


def test_other_rules():
    siren, _ = init.auto(spec("sine(30.0)"))
    assert siren.bound(800, 200) == pytest.approx(math.sqrt(6 / 800) / 30)
    assert init.auto(spec("relu", "output"))[0] == init.LeCun()
    for unknown in ("sine(0)", "my_activation", "tanh(3)", "softmax"):
        x, reason = init.auto(spec(unknown))
        assert x == init.LeCun()
        assert "no rule" in reason


def test_sigmoid_is_centered_if_there_is_a_bias():
    """sigmoid(z) - 1/2 = tanh(z/2)/2, so 16 times the weights of tanh keep its signal."""
    x, _ = init.auto(spec("sigmoid"))
    assert x.centered
    tanh = theory.edge_of_chaos("tanh", q=x.point.q / 4)
    assert x.sigma_w2 == pytest.approx(16 * tanh.sigma_w2, rel=1e-8)
    x, _ = init.auto(spec("sigmoid", use_bias=False))
    assert x == init.Xavier(gain=4.0)


# --- deep networks --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINEAR_AT_FIRST)
def test_mirrored_networks_are_linear_at_first(name):
    net = stack(name, DEEP)
    assert all(isinstance(layer.initializer, init.Mirrored) for layer in net.init_plan().layers)
    x = init.Normal(1.0).init((5, 128), 0, np.float64)
    a, b, both, none = (net.predict(rows) for rows in (x, x[::-1], x + x[::-1], 0 * x))
    np.testing.assert_allclose(a + b - none, both, atol=1e-8)
    z = net.preactivations(x)
    np.testing.assert_allclose(np.linalg.norm(z["28"], axis=1), np.linalg.norm(z["0"], axis=1))


@pytest.mark.parametrize("depth", [10, 50])
@pytest.mark.parametrize("name", NAMES)
def test_signal_and_gradient_survive(name, depth):
    """Of standardized data, in networks 128 wide: the signal within 10, squared gradients within 1000."""
    q, gradient = [], []
    for seed in range(3):
        net = stack(name, depth, seed=seed)
        X = init.Normal(1.0).init((64, 128), seed, np.float64)
        z = net.preactivations(X)
        q.append([np.var(z[str(layer)]) for layer in (0, depth - 1)])
        net.gradients(X, np.arange(64) % 10, loss="cross_entropy")
        # of the biases: the gradients of the pre-activations, summed over the rows
        gradient.append([np.sum(net.grads[f"{layer}.bias"] ** 2) for layer in (0, depth - 1)])
    q, gradient = np.median(q, axis=0), np.median(gradient, axis=0)
    assert 0.1 < q[1] / q[0] < 10.0
    assert 1e-3 < gradient[0] / gradient[1] < 1e3


def test_negative_control():
    """The same measure refuses what people use for relu: it must be able to fail."""
    with pytest.warns(minidl.errors.InitWarning):
        net = stack("relu", 50, init=init.Xavier())
    z = net.preactivations(init.Normal(1.0).init((64, 128), 0, np.float64))
    assert np.var(z["49"]) / np.var(z["0"]) < 1e-9


def test_a_deep_network_warns_only_where_nothing_fits(recwarn):
    for name in NAMES:
        stack(name, DEEP, width=16)
    assert not recwarn.list
    with pytest.warns(minidl.errors.InitWarning, match="relu_squared"):
        stack("relu_squared", DEEP, width=16)


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "mish"])
def test_odd_widths_and_missing_biases(name):
    for options in ({"use_bias": False}, {}):
        net = minidl.MLP([20, *[17] * DEEP, 3], name, seed=0, dtype="float64", **options)
        z = net.preactivations(init.Normal(1.0).init((64, 20), 0, np.float64))
        assert np.isfinite(z[str(DEEP)]).all()
        assert np.var(z[str(DEEP)]) > 1e-5  # without biases that of gelu falls slowly, whatever the scale


def test_a_width_that_changes_between_even_and_odd():
    """relu pairs end at the odd layer and begin again behind it; the signal keeps its size."""
    net = minidl.MLP([64, 64, 64, 63, 64, 64, 64, 10], "relu", seed=0, dtype="float64")
    pairs = [
        (x.initializer.inputs, x.initializer.outputs) for x in net.init_plan().layers if x.spec.index != 3
    ]
    assert pairs == [(False, True), (True, True), (True, False), (True, True), (True, True), (True, False)]
    x = init.Normal(1.0).init((200, 64), 0, np.float64)
    z = net.preactivations(x)
    for path in "0123456":
        assert 0.5 < np.mean(z[path] ** 2) < 2.0


def test_two_activations_in_one_network():
    layers = [minidl.Dense(32, "relu") for _ in range(6)] + [minidl.Dense(32, "tanh") for _ in range(6)]
    net = minidl.Sequential([*layers, minidl.Dense(3)], n_inputs=32, seed=0, dtype="float64")
    z = net.preactivations(init.Normal(1.0).init((200, 32), 0, np.float64))
    assert all(0.2 < np.mean(value**2) < 3.0 for value in z.values())


# --- residual branches and normalization ----------------------------------------------------------


def test_residual_branches():
    where = {"residual_branches": 16, "branch_layers": 2, "depth": 33}
    assert init.auto(spec("relu", branch_pos=0, **where))[0] == init.Scaled(0.25, init.He())
    assert init.auto(spec("relu", branch_pos=1, **where))[0] == init.Zeros()
    normalized = init.auto(spec("relu", branch_pos=1, norm="layer_norm", **where))[0]
    assert normalized == init.Scaled(0.25, init.He())  # 1 / sqrt(16)
    outside = spec("relu", residual_branches=16, depth=33)
    assert init.auto(outside)[0] == init.He()


def test_normalized_layers_take_the_classic_scheme():
    assert init.auto(spec("relu", norm="batch_norm", depth=50))[0] == init.He()
    assert init.auto(spec("sigmoid", norm="batch_norm", depth=50))[0] == init.Xavier(gain=4.0)


# --- the object -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [SHALLOW, DEEP])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu", "sine", "sigmoid"])
def test_fills_as_the_choice_does(activation, depth):
    here = spec(activation, depth=depth, shape=(8, 6))
    chosen, _ = init.Auto().resolve(here)
    arrays = np.empty((2, 8, 6)), np.empty((2, 6))
    for i, x in enumerate((init.Auto(), chosen)):
        x.init_layer(here, 0, arrays[0][i], arrays[1][i])
    for values in arrays:
        np.testing.assert_array_equal(values[0], values[1])


def test_needs_a_layer():
    with pytest.raises(OptionError, match="Auto"):
        init.Auto().init((3, 3), 0)
    with pytest.raises(OptionError, match="Auto"):
        init.Auto().variance(3, 3)


# --- the plan says what will happen ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "elu", "sigmoid", "mish", "softplus", "selu"])
def test_the_plan_predicts_the_variance(name):
    """Of wide deep networks, within the scatter of 400 units and 12 layers."""
    net = stack(name, 12, width=400)
    predicted = net.init_plan().predicted()
    z = net.preactivations(init.Normal(1.0).init((32, 400), 0, np.float64))
    measured = [np.mean(value**2) for value in z.values()]
    np.testing.assert_allclose(measured[:-1], predicted[:-1], rtol=0.25)  # the last has ten units


def test_the_plan_knows_what_it_does_not_know():
    plan = init.Plan("he", overrides={"1": init.Fixed(np.zeros((8, 8)))})
    net = minidl.MLP([8, 8, 8, 2], "relu", init=plan, seed=0)
    assert net.init_plan().predicted() == [2.0, None, None]
