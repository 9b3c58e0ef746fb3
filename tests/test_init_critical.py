"""The edge of chaos and centered schemes: points against the papers, signals of deep networks."""

import math
import warnings

import numpy as np
import pytest
from init_helpers import fits, layer, network, propagate, specs_of
from scipy import stats

import minidl
from minidl import activations, init
from minidl.errors import InitWarning, OptionError
from minidl.init import LayerSpec

# --- the edge of chaos ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "sigma_b", "q", "sigma_w2"),
    [  # research table of critical points, six digits
        ("tanh", 0.05, 0.15369, 1.260094),
        ("tanh", 0.2, 0.51208, 1.700796),
        ("tanh", 1.0, 3.03640, 3.443211),
        ("sine", 0.2, 0.50975, 1.469752),
        ("softsign", 0.3, 0.59964, 3.600475),
        ("elu", 0.2, 1.10693, 1.511058),
        ("selu", 0.1, 0.30894, 0.760233),
        ("gelu", 0.5, 6.43410, 1.959631),
    ],
)
def test_points_of_the_edge(activation, sigma_b, q, sigma_w2):
    x = init.EdgeOfChaos(activation, sigma_b=sigma_b)
    assert x.point.q == pytest.approx(q, rel=2e-5)
    assert x.sigma_w2 == pytest.approx(sigma_w2, rel=1e-6)
    assert x.variance(50, 10) == pytest.approx(sigma_w2 / 50, rel=1e-6)
    assert x.bias_variance(50, 10) == pytest.approx(sigma_b**2, rel=1e-12)
    assert init.EdgeOfChaos(activation, q=x.point.q).sigma_b2 == pytest.approx(sigma_b**2, rel=1e-6)


def test_schoenholz_table():
    assert init.EdgeOfChaos("tanh", sigma_b=math.sqrt(0.05)).sigma_w2 == pytest.approx(1.761, abs=1e-3)


@pytest.mark.parametrize(
    ("activation", "q", "sigma_w2", "sigma_b2"),
    [
        ("gelu", 3.56155281, 1.98305826, 0.17292239),
        ("gelu_tanh", 3.55677284, 1.98288824, 0.17289520),
        ("silu", 14.32017362, 1.98800468, 0.55514317),
        ("mish", 1.67016913, 2.01352407, 0.09452179),
        ("hard_swish", 4.80385595, 1.97328958, 0.50714585),
        ("tanh", 0.0, 1.0, 0.0),
    ],
)
def test_doubly_critical_points(activation, q, sigma_w2, sigma_b2):
    x = init.Critical(activation)
    assert x.point.q == pytest.approx(q, rel=1e-6)
    assert (x.sigma_w2, x.sigma_b2) == pytest.approx((sigma_w2, sigma_b2), rel=1e-7)
    # scipy's quadrature confirms that both susceptibilities are one
    if q:
        grid = np.linspace(-12.0, 12.0, 200_001)
        density = stats.norm.pdf(grid) * (grid[1] - grid[0])
        z = math.sqrt(q) * grid
        slope = activations.derivative(activation, z)
        assert sigma_w2 * np.sum(density * slope**2) == pytest.approx(1.0, abs=2e-5)
        growth = activations.forward(activation, z) * slope * grid / math.sqrt(q)
        assert sigma_w2 * np.sum(density * growth) == pytest.approx(1.0, abs=2e-5)


def test_relu_has_a_single_point():
    x = init.EdgeOfChaos("relu")
    assert (x.sigma_w2, x.sigma_b2) == (2.0, 0.0)
    assert init.EdgeOfChaos("leaky_relu(0.2)").sigma_w2 == pytest.approx(2 / 1.04, rel=1e-9)
    assert np.all(layer(x, (4, 3))[1] == 0.0)
    with pytest.raises(OptionError, match="single point"):
        init.EdgeOfChaos("relu", sigma_b=0.2)


@pytest.mark.parametrize("base", ["normal", "uniform", "truncated_normal", "orthogonal"])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300)])
def test_laws_of_the_edge(base, shape):
    x = init.EdgeOfChaos("tanh", sigma_b=0.3, base=base)
    weight, _ = layer(x, shape)
    sigma_w2 = 1.947655  # of the table
    kurtosis = {"uniform": 1.8, "truncated_normal": 2.3655}.get(base, 3.0)
    if base == "orthogonal":
        gram = weight.T @ weight if shape[0] > shape[1] else weight @ weight.T
        expected = sigma_w2 * max(shape) / shape[0]
        np.testing.assert_allclose(gram, expected * np.eye(len(gram)), atol=1e-5)
    else:
        fits(weight, sigma_w2 / shape[0], kurtosis, x.cdf(*shape))
    _, bias = layer(x, (2, 40_000))
    fits(bias, 0.09, 3.0, stats.norm(0, 0.3).cdf)


def test_the_edge_keeps_signal_and_gradient():
    # 5 tanh nets of width 400 and depth 30, whose standard error is about 4 % of q, 25 % of the gradient
    rng = np.random.default_rng(0)
    x = init.EdgeOfChaos("tanh", q0=1.0)
    qs, grads = zip(
        *(
            propagate(network(x, "tanh", 400, 30, seed), "tanh", rng.normal(size=(4, 400)), rng)
            for seed in range(5)
        ),
        strict=True,
    )
    np.testing.assert_allclose(np.mean(qs, axis=0), x.point.q, rtol=0.2)
    assert 1 / 3 < np.exp(np.mean(np.log(np.array(grads)[:, 0]))) < 3


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_points_that_repel_warn_once(activation):
    x = init.EdgeOfChaos(activation, sigma_b=0.2)
    assert x.point.chi_q > 1.0
    specs = specs_of(activation, 4)
    with pytest.warns(InitWarning, match="repels.*Critical") as found:
        x.check_network(specs)
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        init.Critical(activation).check_network(specs)
        init.EdgeOfChaos(activation, centered=True).check_network(specs)


def test_a_network_warns_once():
    # a few layers: of the point; many: of what is lost by then
    for depth, sigma_b, match in ((3, 0.2, "repels"), (60, 0.01, "hardly train")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            minidl.MLP([8] * depth, "gelu", init=init.EdgeOfChaos(sigma_b=sigma_b), seed=0)
        assert len(caught) == 1
        assert match in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        init.EdgeOfChaos("tanh").check_network(specs_of("tanh", 3))
        init.EdgeOfChaos().check_network(specs_of("elu", 3))


def test_the_rule_takes_the_activation_of_each_layer():
    first, hidden, last = specs_of("tanh", 3)
    x = init.EdgeOfChaos(sigma_b=0.1, base="uniform", q0=1.0)
    assert x.resolve(hidden)[0] == init.EdgeOfChaos("tanh", sigma_b=0.1, base="uniform", q0=1.0)
    assert x.resolve(last)[0] == init.LeCun()
    chosen, reason = x.resolve(first)
    assert chosen.weight.variance(8, 8) * 8 == pytest.approx(0.27330 - 0.01, rel=2e-5)
    assert "first layer" in reason
    assert init.EdgeOfChaos(sigma_b=0.1).resolve(first)[0] == init.EdgeOfChaos("tanh", sigma_b=0.1)
    for what in (x.law, x.variance, x.bias_variance):
        with pytest.raises(OptionError, match="a shape alone is not enough"):
            what(3, 3)
    with pytest.raises(OptionError, match="a shape alone is not enough"):
        x.init((3, 3), 0)


def test_the_first_layer_takes_the_data_to_q():
    x = init.EdgeOfChaos("tanh", q0=4.0)
    weight, bias = layer(x, (500, 400), role="input", activation="tanh")
    data = 2.0 * np.random.default_rng(0).normal(size=(50, 500))
    # 400 outputs share 50 inputs: the relative standard error is about sqrt(2 / 400) = 7 %
    assert np.mean((data @ weight + bias) ** 2) == pytest.approx(x.point.q, rel=0.2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: init.EdgeOfChaos("softplus"), "no edge of chaos"),
        (lambda: init.EdgeOfChaos("tanh", sigma_b=0.2, q=1.0), "give one of them"),
        (lambda: init.EdgeOfChaos("tanh", sigma_b=-0.1), "sigma_b=-0.1"),
        (lambda: init.EdgeOfChaos("tanh", q=0.0), "q=0.0"),
        (lambda: init.EdgeOfChaos("tanh", q0=math.nan), "q0=nan"),
        (lambda: init.EdgeOfChaos("tanh", base="haar"), "base='haar' is unknown"),
        (lambda: init.EdgeOfChaos("tanh", centered=1), "centered=1"),
        (lambda: init.EdgeOfChaos("tnah"), "Did you mean 'tanh'"),
        (lambda: init.EdgeOfChaos("softmax"), "whole rows"),
        (lambda: init.EdgeOfChaos("identity", sigma_b=0.1, centered=True), "linear"),
        (lambda: init.Critical("softplus"), "no point"),
    ],
)
def test_bad_points(make, match):
    with pytest.raises(OptionError, match=match):
        make()


def test_errors_name_the_layer_and_change_nothing():
    weight, bias = np.full((3, 3), 7.0), np.full(3, 7.0)
    spec = LayerSpec("hidden/3", (3, 3), activation="softplus")
    with pytest.raises(OptionError, match="layer 'hidden/3': softplus"):
        init.EdgeOfChaos().init_layer(spec, 0, weight, bias)
    with pytest.raises(OptionError, match="layer 'hidden/3'"):
        init.EdgeOfChaos().check_network([spec])
    assert np.all(weight == 7.0)
    assert np.all(bias == 7.0)


# --- centered -------------------------------------------------------------------------------------


def test_centered_sigmoid_is_tanh():
    # sigmoid(z) - 1/2 = tanh(z / 2) / 2
    sigmoid = init.EdgeOfChaos("sigmoid", sigma_b=0.4, centered=True)
    tanh = init.EdgeOfChaos("tanh", sigma_b=0.2)
    assert sigmoid.sigma_w2 == pytest.approx(16 * tanh.sigma_w2, rel=1e-9)
    assert sigmoid.point.q == pytest.approx(4 * tanh.point.q, rel=1e-9)
    assert sigmoid.point.chi_q == pytest.approx(tanh.point.chi_q, rel=1e-9)


def test_centered_relu_in_closed_form():
    # Var relu = q (1/2 - 1/(2 pi)), E relu'^2 = 1/2, hence sigma_b^2 = q / pi; chi_q = 1 - 1/pi
    point = init.EdgeOfChaos("relu", q=2.0, centered=True).point
    assert point.sigma_w2 == 2.0
    assert point.sigma_b2 == pytest.approx(2 / math.pi, rel=1e-9)
    assert point.chi_q == pytest.approx(1 - 1 / math.pi, rel=1e-9)


@pytest.mark.parametrize("activation", activations.names())
def test_every_activation_has_a_centered_edge(activation):
    x = init.EdgeOfChaos(activation, centered=True)
    q, m = x.point.q, init.centered.mean(activation, x.point.q)
    grid = np.linspace(-12.0, 12.0, 400_001)
    density = stats.norm.pdf(grid) * (grid[1] - grid[0])
    z = math.sqrt(q) * grid
    value, slope = activations.forward(activation, z), activations.derivative(activation, z)
    assert np.sum(density * value) == pytest.approx(m, abs=2e-6)
    assert x.sigma_w2 * np.sum(density * (value - m) ** 2) + x.sigma_b2 == pytest.approx(q, rel=1e-4)
    assert x.sigma_w2 * np.sum(density * slope**2) == pytest.approx(1.0, rel=1e-4)
    if activation in ("identity", "relu_squared"):
        return  # every q will do; q repels, and the scheme says so
    assert x.point.chi_q <= 0.81
    assert not x.point.warning
    assert x.suits(activation)


def test_centered_bias_takes_the_mean_off():
    facts = {"activation": "relu", "input_activation": "relu"}
    x = init.Centered(init.TorchDefault(), q=4.0)
    weight, bias = layer(x, (50, 30), **facts)
    plain_weight, plain_bias = layer(init.TorchDefault(), (50, 30), **facts)
    np.testing.assert_array_equal(weight, plain_weight)
    expected = plain_bias - 2.0 / math.sqrt(2 * math.pi) * plain_weight.sum(axis=0)
    np.testing.assert_allclose(bias, expected, rtol=0, atol=1e-9)
    # nothing is taken off the data, and off inputs of mean 0
    for before in ("identity", "tanh"):
        np.testing.assert_array_equal(layer(x, (50, 30), input_activation=before)[1], plain_bias)


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((6, 4, 3, 2), {"layout": "oihw"}),
        ((3, 2, 4, 6), {"layout": "hwio"}),
        ((6, 2, 3), {"layout": "oiw", "groups": 2}),
        ((4, 3, 3), {"layout": "iow", "groups": 2, "transposed": True}),
        ((2, 6), {"groups": 3}),
    ],
)
def test_centered_kernels(shape, facts):
    facts = {**facts, "input_activation": "sigmoid"}
    weight, bias = layer(init.Centered(), shape, **facts)
    np.testing.assert_array_equal(weight, layer(init.LeCun(), shape, **facts)[0])
    spec = LayerSpec("1", shape, **facts)
    order = spec.axes.axes
    if spec.transposed:  # (i, o / groups) -> the outputs of a group see the inputs of that group
        total = weight.reshape(2, 2, 3, 3).sum(axis=(1, 3)).ravel()
    else:
        total = weight.sum(axis=tuple(i for i, letter in enumerate(order) if letter != "o"))
    np.testing.assert_allclose(bias, -0.5 * total, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("activation", "width"),
    [("sigmoid", 1000), ("softplus", 1000), ("hard_sigmoid", 500), ("log_sigmoid", 500)],
)
def test_deep_centered_nets_carry_the_signal(activation, width):
    # 30 layers. A layer of n units moves q by a relative sqrt(5 / n) or so (the kurtosis of these activations
    # is below 6), which is forgotten by chi_q^2 = 0.65 per layer: a standard deviation of 0.17 at n = 500, of
    # which 3 are allowed. The log of the squared gradient is a walk of variance 30 * 5 / n = 0.3 at most.
    rng = np.random.default_rng(1)
    x = init.EdgeOfChaos(activation, centered=True, q0=1.0)
    layers = network(x, activation, width, 30)
    qs, grads = propagate(layers, activation, rng.normal(size=(4, width)), rng)
    np.testing.assert_allclose(qs, x.point.q, rtol=0.51)
    assert np.exp(np.mean(np.log(qs))) == pytest.approx(x.point.q, rel=0.2)
    assert np.all(np.abs(np.log(grads)) < 3 * math.sqrt(0.3))
    # without the bias rule the same weights lose the signal or blow it up
    uncentered = [(weight, np.zeros_like(bias)) for weight, bias in layers]
    qs, grads = propagate(uncentered, activation, rng.normal(size=(4, width)), rng)
    assert qs[-1] > 2 * x.point.q
    assert not 1e-2 < grads[0] < 1e2 or qs[-1] > 1e3


def test_centered_output_layer_sees_no_mean():
    first, hidden, last = specs_of("sigmoid", 3)
    x = init.EdgeOfChaos(centered=True)
    assert x.resolve(hidden)[0] == init.EdgeOfChaos("sigmoid", centered=True)
    chosen = x.resolve(last)[0]
    assert chosen == init.Centered(init.LeCun(), x.resolve(hidden)[0].point.q)
    assert chosen.input_offset(last) == 0.5
    assert x.resolve(hidden)[0].input_offset(hidden) == 0.5
    assert x.resolve(hidden)[0].input_offset(first) == 0.0


def test_centered_needs_a_bias():
    for x in (init.Centered(), init.EdgeOfChaos("sigmoid", centered=True)):
        with pytest.raises(OptionError, match=r"layer '1': a centered initializer .* has none"):
            layer(x, (3, 3), bias=False, activation="sigmoid", input_activation="sigmoid")
    with pytest.raises(OptionError, match="too large for float32"):
        layer(init.Centered(init.Constant(1e38)), (9, 2), dtype=np.float32, input_activation="sigmoid")
    with pytest.raises(OptionError, match="q=-1"):
        init.Centered(q=-1)


def test_suits():
    assert not init.EdgeOfChaos("tanh").suits("sigmoid")
    assert init.EdgeOfChaos().suits("tanh")
    assert init.EdgeOfChaos(centered=True).suits("sigmoid")
    assert not init.Xavier(gain=4.0).suits("softplus")
    assert init.Centered(init.Xavier(gain=4.0)).suits("sigmoid")
    assert init.TanhInit().suits("tanh")
    assert not init.TanhInit().suits("sigmoid")
    assert init.RAI().suits("relu")
    assert not init.RAI().suits("tanh")
    assert init.Siren().suits("sine(30)")
    assert not init.Siren().suits("tanh")
