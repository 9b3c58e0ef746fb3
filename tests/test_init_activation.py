"""Schemes by activation and depth, the defaults of other libraries, and biases from labels."""

import json
import math
import pickle
import warnings

import numpy as np
import pytest
from scipy import stats

import minidl
from minidl import activations, init, theory
from minidl.errors import DataError, DtypeError, InitWarning, OptionError, ShapeError
from minidl.init import LayerSpec

NEW = [
    init.Centered,
    init.Critical,
    init.EdgeOfChaos,
    init.Gain,
    init.NguyenWidrow,
    init.NTK,
    init.PriorBias,
    init.RAI,
    init.RandomWalk,
    init.Selu,
    init.Siren,
    init.SklearnDefault,
    init.SmallInit,
    init.Spectral,
    init.TanhInit,
    init.TorchDefault,
]
EXAMPLES = [example for kind in NEW for example in kind.examples]

GOLDEN = {
    "edge_of_chaos": [
        "0x1.d41c62dc63e94p+0",
        "0x1.cafa16cad9d56p-3",
        "-0x1.2613c3ac710f6p+0",
        "-0x1.e9e02c75bf418p-1",
        "-0x1.f3082d5e257dcp+1",
    ],
    "rai": [
        "0x1.96d7e541d108fp-1",
        "0x1.a35c089f476bbp-1",
        "-0x1.280c62bf98199p-3",
        "-0x1.2f7a78723d83bp-2",
        "0x1.c6454863fef58p-6",
    ],
}


def layer(x, shape, seed=0, dtype=np.float64, bias=True, **facts):
    """Return the weight and the bias that an initializer gives a layer."""
    spec = LayerSpec(facts.pop("path", "1"), shape, **facts)
    weight = np.full(shape, 7.0, dtype)
    made = np.full(spec.n_outputs, 7.0, dtype) if bias else None
    x.init_layer(spec, seed, weight, made)
    return weight, made


def network(x, activation, width, depth, seed=0):
    """Return weights and biases of a stack of equal layers."""
    layers = []
    for index in range(depth):
        first = index == 0
        facts = {
            "path": str(index),
            "role": "input" if first else "hidden",
            "activation": activation,
            "input_activation": "identity" if first else activation,
            "index": index,
            "depth": depth + 1,
        }
        layers.append(layer(x, (width, width), seed, **facts))
    return layers


def propagate(layers, activation, x, rng):
    """Return the mean square of each layer's pre-activations, and that of their gradients over the last."""
    zs, signal = [], x
    for weight, bias in layers:
        zs.append(signal @ weight + bias)
        signal = activations.forward(activation, zs[-1])
    grad = rng.normal(size=zs[-1].shape)
    squares = [np.mean(grad**2)]
    for (weight, _), z in zip(layers[:0:-1], zs[-2::-1], strict=True):
        grad = (grad @ weight.T) * activations.derivative(activation, z)
        squares.append(np.mean(grad**2))
    return np.array([np.mean(z**2) for z in zs]), np.array(squares[::-1]) / squares[0]


def fits(x, variance, kurtosis, cdf):
    """Check a sample against a law: mean, variance and distribution, 5 sigma."""
    x = np.asarray(x).ravel()
    assert abs(x.mean()) < 5 * math.sqrt(variance / x.size)
    assert abs(x.var() / variance - 1.0) < 5 * math.sqrt((kurtosis - 1.0) / x.size)
    assert stats.kstest(x, cdf).pvalue > 1e-4


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_are_values(text):
    x = eval(text, vars(minidl.init))
    assert eval(repr(x), vars(minidl.init)) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)
    assert init.from_dict(json.loads(json.dumps(x.to_dict()))) == x
    for fact in ("formula", "assumes", "fails", "paper", "mode", "distribution"):
        assert isinstance(getattr(x, fact), str)
        assert getattr(x, fact)
    assert repr(x) in x.describe(30, 20)


@pytest.mark.parametrize("text", EXAMPLES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (2, 5), (70, 2)])
def test_float32_is_float64_rounded_in_any_layout(text, shape):
    x = eval(text, vars(minidl.init))
    act = "sine(30)" if isinstance(x, init.Siren) else "relu" if isinstance(x, init.RandomWalk) else "sigmoid"
    act = "gelu" if isinstance(x, init.Critical) else act
    facts = {"activation": act, "input_activation": act}
    if isinstance(x, init.PriorBias):
        shape, facts["role"] = (shape[0], len(x.values)), "output"
    double = layer(x, shape, **facts)
    single = layer(x, shape, dtype=np.float32, **facts)
    turned = layer(x, shape[::-1], layout="out_in", **facts)
    for a, b, c in zip(double, single, (turned[0].T, turned[1]), strict=True):
        assert np.all(np.isfinite(a))
        np.testing.assert_array_equal(a.astype(np.float32), b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize(
    "x",
    [
        init.EdgeOfChaos("sigmoid", centered=True),
        init.EdgeOfChaos("tanh"),
        init.Centered(),
        init.RAI(),
        init.TorchDefault(),
        init.NTK("relu"),
        init.TanhInit(),
    ],
    ids=repr,
)
def test_more_outputs_keep_the_rows_that_were_there(x):
    facts = {"activation": "sigmoid", "input_activation": "sigmoid"}
    few, many = layer(x, (6, 4), **facts), layer(x, (6, 9), **facts)
    np.testing.assert_array_equal(many[0][:, :4], few[0])
    np.testing.assert_array_equal(many[1][:4], few[1])


def test_golden_values():
    weight, bias = layer(init.EdgeOfChaos("sigmoid", centered=True), (3, 2), 7, input_activation="sigmoid")
    assert [x.hex() for x in [*weight.ravel()[:3], *bias]] == GOLDEN["edge_of_chaos"]
    weight, bias = layer(init.RAI(), (3, 2), 7)
    assert [x.hex() for x in [*weight.ravel()[:3], *bias]] == GOLDEN["rai"]


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


def specs_of(activation, depth):
    """Return the descriptions of a network of `depth` weights."""
    return [
        LayerSpec(
            str(i),
            (8, 8),
            activation="identity" if i == depth - 1 else activation,
            input_activation=activation if i else "identity",
            role="output" if i == depth - 1 else "hidden" if i else "input",
            index=i,
            depth=depth,
        )
        for i in range(depth)
    ]


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


# --- the defaults of other libraries ---------------------------------------------------------------


def test_torch_default():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Linear(400, 500)
    weight, bias = layer(init.TorchDefault(), (400, 500))
    bound = 1 / 20
    for ours, other in ((weight, theirs.weight), (bias, theirs.bias)):
        other = other.detach().numpy().ravel()
        assert stats.ks_2samp(ours.ravel(), other).pvalue > 1e-4
        assert bound * (1 - 20 / other.size) < np.abs(other).max() <= bound
    fits(weight, bound**2 / 3, 1.8, init.TorchDefault().cdf(400, 500))
    fits(layer(init.TorchDefault(), (4, 50_000))[1], 1 / 12, 1.8, stats.uniform(-0.5, 1).cdf)
    assert init.TorchDefault().bias_variance(400, 500) == pytest.approx(bound**2 / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty weight
        empty = torch.nn.Linear(0, 3)
    np.testing.assert_array_equal(empty.bias.detach().numpy(), layer(init.TorchDefault(), (0, 3))[1])


@pytest.mark.parametrize(("theirs", "ours"), [("logistic", "sigmoid"), ("tanh", "tanh"), ("relu", "relu")])
def test_sklearn_default(theirs, ours):
    network = pytest.importorskip("sklearn.neural_network")
    net = network.MLPClassifier(
        (300,), activation=theirs, random_state=0, max_iter=1, learning_rate_init=1e-12
    )
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        net.fit(rng.normal(size=(20, 100)), np.arange(20) % 10)
    specs = [
        LayerSpec("0", (100, 300), activation=ours, role="input", depth=2),
        LayerSpec("1", (300, 10), input_activation=ours, role="output", index=1, depth=2),
    ]
    for spec, weight, bias in zip(specs, net.coefs_, net.intercepts_, strict=True):
        x = init.SklearnDefault().resolve(spec)[0]
        assert x == init.SklearnDefault(ours)
        bound = math.sqrt((2 if ours == "sigmoid" else 6) / sum(spec.shape))
        assert x.bound(*spec.shape) == pytest.approx(bound, rel=1e-12)
        assert bound * (1 - 20 / weight.size) < np.abs(weight).max() <= bound * (1 + 1e-6)
        assert np.abs(bias).max() <= bound * (1 + 1e-6)
        fits(weight, bound**2 / 3, 1.8, x.cdf(*spec.shape))
        assert stats.kstest(bias, x.cdf(*spec.shape)).pvalue > 1e-4
        made, made_bias = layer(init.SklearnDefault(), spec.shape, activation=spec.activation, role=spec.role,
                                input_activation=spec.input_activation)  # fmt: skip
        fits(made, bound**2 / 3, 1.8, stats.uniform(-bound, 2 * bound).cdf)
        assert np.all(np.abs(made_bias) <= bound)


# --- biases from labels ---------------------------------------------------------------------------


def test_prior_bias_is_the_best_constant():
    y = np.array([0] * 70 + [1] * 20 + [2] * 10)
    x = init.PriorBias.from_labels(y, smoothing=0.0)
    np.testing.assert_allclose(x.values, np.log([0.7, 0.2, 0.1]), rtol=1e-9)
    weight, bias = layer(x, (5, 3), role="output")
    np.testing.assert_array_equal(bias, x.values)
    np.testing.assert_array_equal(weight, layer(init.LeCun(), (5, 3))[0])
    # one-hot rows count the same
    assert init.PriorBias.from_labels(np.eye(3)[y], n_classes=3, smoothing=0.0) == x
    # floats that are said to be class numbers
    assert init.PriorBias.from_labels(y.astype(float), n_classes=3, smoothing=0.0) == x


def test_prior_bias_smooths():
    x = init.PriorBias.from_labels([0, 0, 2], n_classes=4)
    np.testing.assert_allclose(x.values, np.log(np.array([3, 1, 2, 1]) / 7), rtol=1e-9)
    with pytest.raises(DataError, match="class 1 has no example"):
        init.PriorBias.from_labels([0, 0, 2], smoothing=0.0)


def test_prior_bias_of_one_logit():
    y = np.array([True] * 3 + [False] * 7)
    x = init.PriorBias.from_labels(y, one_logit=True, smoothing=0.0)
    np.testing.assert_allclose(x.values, [-math.log((1 - 0.3) / 0.3)], rtol=1e-9)
    two = init.PriorBias.from_labels(y, smoothing=0.0).values
    assert two[1] - two[0] == pytest.approx(x.values[0], rel=1e-8)
    # without any positive example it is finite
    assert init.PriorBias.from_labels([0] * 9, one_logit=True).values == (pytest.approx(-math.log(10)),)


def test_prior_bias_of_a_regression():
    y = np.array([[1.0, -1.0], [2.0, 5.0], [6.0, 2.0]])
    assert init.PriorBias.from_labels(y).values == (3.0, 2.0)
    assert init.PriorBias.from_labels(y[:, 0]).values == (3.0,)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: init.PriorBias.from_labels([]), DataError, "empty"),
        (lambda: init.PriorBias.from_labels(["a"]), DtypeError, "expected numbers"),
        (lambda: init.PriorBias.from_labels([0, -1]), DataError, "class numbers"),
        (lambda: init.PriorBias.from_labels([0.5, 1.0], n_classes=2), DataError, "class numbers"),
        (lambda: init.PriorBias.from_labels([0, 5], n_classes=3), DataError, "class 5 does not exist"),
        (lambda: init.PriorBias.from_labels([0, 2], one_logit=True), DataError, "class 2 does not exist"),
        (lambda: init.PriorBias.from_labels([0, 1], 3, one_logit=True), OptionError, "two classes"),
        (lambda: init.PriorBias.from_labels([1.0, math.nan]), DataError, "finite"),
        (lambda: init.PriorBias.from_labels([[0, 1], [1, 0]]), ShapeError, "n_classes=2"),
        (lambda: init.PriorBias.from_labels([[0.5, 0.6]], 2), DataError, "sum 1"),
        (lambda: init.PriorBias.from_labels([0, 1], smoothing=-1), OptionError, "smoothing=-1"),
        (lambda: init.PriorBias(3.0), OptionError, "sequence"),
        (lambda: init.PriorBias((math.inf,)), OptionError, "values=inf"),
        (lambda: layer(init.PriorBias((0.0, 1.0)), (3, 2)), OptionError, "'1': PriorBias is for the last"),
        (lambda: layer(init.PriorBias((0.0, 1.0)), (3, 1), role="output"), ShapeError, "one_logit=True"),
        (
            lambda: layer(init.PriorBias((0.0,)), (3, 1), bias=False, role="output"),
            OptionError,
            "needs a bias",
        ),
        (
            lambda: layer(init.PriorBias((1e300,)), (3, 1), dtype=np.float32, role="output"),
            OptionError,
            "too large",
        ),
        (lambda: init.PriorBias((0.0,)).check_network(specs_of("relu", 2)), OptionError, "layer '0'"),
    ],
)
def test_bad_priors(call, error, match):
    with pytest.raises(error, match=match):
        call()


# --- variance scaling -----------------------------------------------------------------------------


def test_gain_of_relu_is_he():
    assert init.Gain("relu").law(50, 20).sigma == pytest.approx(init.He().std(50, 20), rel=1e-10)
    uniform = init.Gain("leaky_relu(0.2)", mode="fan_avg", distribution="uniform")
    assert uniform.bound(50, 20) == pytest.approx(init.He("uniform", "fan_avg", 0.2).bound(50, 20), rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "kind", "gain"),
    [
        ("tanh", "forward", 1.592537419722831),
        ("gelu", "forward", 1.5335304412),
        ("relu", "backward", math.sqrt(2)),
        ("relu", "std", 1 / math.sqrt(0.5 - 0.5 / math.pi)),
        ("sine", "forward", 1 / math.sqrt((1 - math.exp(-2)) / 2)),
        ("sine", "backward", 1 / math.sqrt((1 + math.exp(-2)) / 2)),
    ],
)
def test_gains(activation, kind, gain):
    x = init.Gain(activation, kind)
    assert x.variance(100, 30) == pytest.approx(gain**2 / 100, rel=1e-8)
    fits(layer(x, (300, 300))[0], gain**2 / 300, 3.0, stats.norm(0, gain / math.sqrt(300)).cdf)


def test_gain_by_layer():
    assert init.Gain("auto") == init.Gain()
    _, hidden, last = specs_of("gelu", 3)
    assert init.Gain(kind="std").resolve(hidden)[0] == init.Gain("gelu", "std")
    assert init.Gain().resolve(last)[0] == init.LeCun()
    assert init.Gain().suits("tanh")
    with pytest.raises(OptionError, match="kind='fwd'"):
        init.Gain("relu", kind="fwd")
    with pytest.raises(OptionError, match="mode"):
        init.Gain("relu", mode="fan")


@pytest.mark.parametrize("n", [24, 32, 100])
def test_random_walk_is_unbiased(n):
    # E log chi^2_n / n = psi(n / 2) - log(n / 2), by SciPy; the paper's exp(1 / n) is its leading term
    linear = init.RandomWalk("identity").gain(n)
    exact = np.exp(-(float(stats.chi2(n).expect(np.log, epsabs=1e-10)) - math.log(n)) / 2)
    assert linear == pytest.approx(exact, rel=1 / (4 * n * n))
    # relu: the mean of log(g^2 / n * sum of relu(z)^2) over 40,000 layers; the paper's fit is good to 0.5 %
    rng = np.random.default_rng(n)
    logs = np.log(np.mean(np.maximum(rng.normal(size=(40_000, n)), 0.0) ** 2, axis=1))
    drift = 2 * math.log(init.RandomWalk("relu").gain(n)) + logs.mean()
    assert abs(drift) < 0.1 / n + 5 * logs.std() / math.sqrt(len(logs))
    he = math.log(2) + logs.mean()
    assert he < -1.5 / n  # what it corrects


def test_random_walk_errors():
    with pytest.raises(OptionError, match="'identity' and 'relu' only"):
        init.RandomWalk("tanh")
    with pytest.raises(OptionError, match="layer '0': activation='gelu'"):
        init.RandomWalk().check_network(specs_of("gelu", 2))
    assert init.RandomWalk().resolve(specs_of("relu", 2)[1])[0] == init.RandomWalk("identity")
    fits(layer(init.RandomWalk("relu"), (100, 400))[0], 2 * math.exp(2.4 / 397.6) / 100, 3.0,
         init.RandomWalk("relu").cdf(100, 400))  # fmt: skip


def test_ntk_trains_as_its_parametrization():
    # two layers of tanh in float64, 20 steps of SGD with momentum on a least-squares loss
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 6)), rng.normal(size=(10, 2))
    ntk, sizes = init.NTK("tanh", sigma_b=0.3), [(6, 12), (12, 2)]
    usual, scaled, factors, multipliers = [], [], [], []
    for i, shape in enumerate(sizes):
        weight, bias = layer(ntk, shape, path=str(i), activation="tanh")
        by_role = ntk.lr_multipliers(LayerSpec(str(i), shape, activation="tanh"))
        sigma = theory.gains("tanh").forward / math.sqrt(shape[0])
        usual += [weight, bias]
        scaled += [weight / sigma, bias / 0.3]
        factors += [sigma, 0.3]
        multipliers += [by_role["weight"], by_role["bias"]]

    def gradients(w1, b1, w2, b2):
        hidden = np.tanh(x @ w1 + b1)
        error = (hidden @ w2 + b2 - y) / len(x)
        back = (error @ w2.T) * (1 - hidden**2)
        return [x.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]

    velocity, scaled_velocity = [0.0] * 4, [0.0] * 4
    for _ in range(20):
        for i, grad in enumerate(gradients(*usual)):
            velocity[i] = 0.9 * velocity[i] + grad
            usual[i] = usual[i] - 0.5 * multipliers[i] * velocity[i]
        now = [f * p for f, p in zip(factors, scaled, strict=True)]
        for i, grad in enumerate(gradients(*now)):
            scaled_velocity[i] = 0.9 * scaled_velocity[i] + factors[i] * grad  # the chain rule
            scaled[i] = scaled[i] - 0.5 * scaled_velocity[i]
    for p, f, s in zip(usual, factors, scaled, strict=True):
        np.testing.assert_allclose(p, f * s, rtol=1e-11, atol=1e-13)
    assert np.abs(usual[0] - layer(ntk, (6, 12), path="0", activation="tanh")[0]).max() > 0.01  # it moved


def test_ntk_draws_and_errors():
    x = init.NTK(sigma_w=1.5, sigma_b=0.2)
    weight, bias = layer(x, (4, 40_000))
    fits(weight, 2.25 / 4, 3.0, stats.norm(0, 0.75).cdf)
    fits(bias, 0.04, 3.0, stats.norm(0, 0.2).cdf)
    assert init.NTK().resolve(specs_of("relu", 2)[1])[0] == init.NTK(sigma_w=1.0)
    with pytest.raises(OptionError, match="give one of them"):
        init.NTK("relu", sigma_w=1.0)
    with pytest.raises(OptionError, match="sigma_w=0"):
        init.NTK(sigma_w=0)


def test_small_init():
    for shape in ((64, 64), (64, 256), (256, 64)):
        assert init.SmallInit().variance(*shape) == pytest.approx(2 / (64 + 4 * 64))
    assert init.SmallInit(dim=100).variance(64, 64) == pytest.approx(0.004)
    fits(layer(init.SmallInit(), (200, 200))[0], 0.002, 3.0, init.SmallInit().cdf(200, 200))
    with pytest.raises(OptionError, match="dim=0"):
        init.SmallInit(0)


@pytest.mark.parametrize("shape", [(1000, 1000), (2000, 200), (200, 2000)])
def test_spectral_norm(shape):
    # the norm of a Gaussian matrix: std (sqrt(m) + sqrt(n)), up to order n^(-2/3)
    weight, bias = layer(init.Spectral(scale=3.0), shape)
    target = 3.0 * math.sqrt(shape[1] / shape[0])
    assert np.linalg.norm(weight, 2) == pytest.approx(target, rel=4 * min(shape) ** (-2 / 3))
    fits(weight, init.Spectral(3.0).variance(*shape), 3.0, init.Spectral(3.0).cdf(*shape))
    assert np.all(bias == 0.0)
    # the paper's form of it, up to a constant from 1/2 to 1
    theta = min(1.0, math.sqrt(shape[1] / shape[0])) / math.sqrt(shape[0])
    assert 0.5 <= init.Spectral().std(*shape) / theta <= 1.0
    expected = {"weight": shape[1] / shape[0], "bias": shape[1]}
    assert init.Spectral().lr_multipliers(LayerSpec("0", shape)) == expected


# --- for one kind of network ----------------------------------------------------------------------


def test_selu_keeps_mean_and_variance():
    m = theory.gains("selu")
    assert m.mean == pytest.approx(0.0, abs=1e-12)
    assert m.second_moment * init.Selu().scale == pytest.approx(1.0, rel=1e-12)
    with pytest.warns(InitWarning, match=r"layers 0 to 1, Selu.*: mean 0 .* relu: q falls") as found:
        init.Selu().check_network(specs_of("relu", 3))
    assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        init.Selu().check_network(specs_of("selu", 3))
    assert init.Selu("uniform").bound(300, 10) == pytest.approx(0.1)


def test_siren():
    first, hidden, last = (
        LayerSpec("0", (2, 64), activation="sine(30)", role="input", depth=3),
        LayerSpec("1", (64, 9), activation="sine(20)", input_activation="sine(30)", index=1, depth=3),
        LayerSpec("2", (24, 3), input_activation="sine(10)", role="output", index=2, depth=3),
    )
    bounds = [init.Siren().resolve(spec)[0].bound(*spec.shape) for spec in (first, hidden, last)]
    np.testing.assert_allclose(bounds, [1 / 2, math.sqrt(6 / 64) / 20, math.sqrt(6 / 24) / 10], rtol=1e-12)
    assert init.Siren(w0_first=90.0).resolve(first)[0].bound(2, 64) == pytest.approx(1.5)
    _, bias = layer(init.Siren(), (4, 20_000), activation="sine(30)")
    fits(bias, 1 / 12, 1.8, stats.uniform(-0.5, 1.0).cdf)  # 1 / sqrt(fan_in), as torch.nn.Linear has it


def test_siren_keeps_the_arcsine_law():
    rng = np.random.default_rng(0)
    signal, q = np.sin(rng.uniform(-np.pi, np.pi, size=(2000, 500))), 1.0
    for i in range(4):
        weight, _ = layer(init.Siren(), (500, 500), path=str(i), activation="sine(30)")
        z = 30.0 * (signal @ weight)
        assert np.mean(z**2) == pytest.approx(q, rel=0.06)
        signal = np.sin(z)
        # a sine of N(0, q) is not quite arcsine: 2 E sin^2 = 1 - e^(-2 q)
        q = 1.0 - math.exp(-2.0 * q)


def test_siren_refuses_other_activations():
    with pytest.raises(OptionError, match=r"layer '1': Siren is for sine activations.*it has 'tanh'"):
        layer(init.Siren(), (3, 3), activation="tanh")
    with pytest.raises(OptionError, match="its input went through 'relu'"):
        layer(init.Siren(), (3, 3), role="output", input_activation="relu")
    with pytest.raises(OptionError, match="layer '0'"):
        init.Siren().check_network(specs_of("relu", 2))
    with pytest.raises(OptionError, match="w0_first=0"):
        init.Siren(0)


def test_rai_law():
    n, outputs = 4, 100_000
    weight, bias = layer(init.RAI(), (n, outputs))
    rows = np.vstack((weight, bias)).T  # (outputs, n + 1)

    # each of the n + 1 entries is asymmetric equally often; normal ones: 0.6007 / 2, so 3.3 sigma is 1
    def mixture(x):
        beta = np.clip(x, 0, 1) ** 2
        return (n * stats.norm(0, 0.6007 / math.sqrt(n)).cdf(x) + beta) / (n + 1)

    for entry in rows.T:
        assert stats.kstest(entry, mixture).pvalue > 1e-4
    # exactly one in every row: the rows' sum has the mean 2/3
    total = rows.sum(axis=1)
    variance = n * 0.6007**2 / n + (1 / 2 - 4 / 9)
    assert abs(total.mean() - 2 / 3) < 5 * math.sqrt(variance / outputs)
    assert abs(total.var() / variance - 1) < 5 * math.sqrt(2 / outputs)
    assert weight.var() == pytest.approx(init.RAI().variance(n, outputs), rel=0.02)
    assert bias.var() == pytest.approx(init.RAI().bias_variance(n, outputs), rel=0.04)


def test_rai_keeps_narrow_nets_alive():
    def dead(x):
        born_dead = 0
        for seed in range(100):
            signal = np.random.default_rng(seed).uniform(-1, 1, size=(50, 3))
            for i in range(20):
                weight, bias = layer(x, (3, 3), seed, path=str(i))
                signal = np.maximum(signal @ weight + bias, 0.0)
            born_dead += np.ptp(signal, axis=0).max() == 0.0
        return born_dead / 100

    assert dead(init.He()) > 0.7
    assert dead(init.RAI()) < 0.5


@pytest.mark.parametrize(("fan_in", "units"), [(1, 5), (2, 100), (5, 7), (40, 3)])
def test_nguyen_widrow(fan_in, units):
    beta = 0.7 * units ** (1 / fan_in)
    weight, bias = layer(init.NguyenWidrow(), (fan_in, units))
    np.testing.assert_allclose(np.linalg.norm(weight, axis=0), beta, rtol=1e-8)
    assert np.all(np.abs(bias) <= beta)
    even_weight, even = layer(init.NguyenWidrow("even"), (fan_in, units))
    np.testing.assert_array_equal(even_weight, weight)
    np.testing.assert_allclose(even * np.sign(weight[0]), beta * np.linspace(-1, 1, units), rtol=1e-8)


def test_nguyen_widrow_laws():
    weight, bias = layer(init.NguyenWidrow(), (2, 20_000))
    beta = 0.7 * math.sqrt(20_000)
    angle = np.arctan2(weight[0], weight[1])
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-4
    assert stats.kstest(bias, stats.uniform(-beta, 2 * beta).cdf).pvalue > 1e-4
    for x in (init.NguyenWidrow(), init.NguyenWidrow("even", 2.0, (0.0, 1.0))):
        weight, bias = layer(x, (3, 30_000))
        assert np.mean(weight**2) == pytest.approx(x.variance(3, 30_000), rel=0.03)
        assert np.mean(bias**2) == pytest.approx(x.bias_variance(3, 30_000), rel=0.05)


def test_nguyen_widrow_converts_ranges():
    # on inputs moved to [2, 6], and a sigmoid active on +-4, it is the same function of the inputs in [-1, 1]
    x = np.random.default_rng(0).uniform(-1, 1, size=(20, 3))
    weight, bias = layer(init.NguyenWidrow(), (3, 8))
    moved_weight, moved_bias = layer(init.NguyenWidrow(active=4.0, input_range=(2.0, 6.0)), (3, 8))
    np.testing.assert_allclose((2 * x + 4) @ moved_weight + moved_bias, 4 * (x @ weight + bias), atol=1e-12)


def test_nguyen_widrow_errors():
    assert np.all(layer(init.NguyenWidrow("even"), (3, 1))[1] == 0.0)  # an only unit
    with pytest.raises(OptionError, match="biases='evenly'"):
        init.NguyenWidrow("evenly")
    for bad in ((1.0, 1.0), (1.0,), 3, (0.0, math.inf)):
        with pytest.raises(OptionError, match="input_range"):
            init.NguyenWidrow(input_range=bad)
    with pytest.raises(OptionError, match="active=0"):
        init.NguyenWidrow(active=0)


@pytest.mark.parametrize("shape", [(6, 6), (6, 4), (4, 10)])
def test_tanh_init(shape):
    weight, bias = layer(init.TanhInit(noise=0.0), shape)
    expected = [[float(i == j % shape[0]) for j in range(shape[1])] for i in range(shape[0])]
    np.testing.assert_array_equal(weight, expected)
    assert np.all(bias == 0.0)


def test_tanh_init_noise():
    weight, _ = layer(init.TanhInit(), (200, 300))
    noise = weight - layer(init.TanhInit(0.0), (200, 300))[0]
    fits(noise, 0.085**2 / 200, 3.0, stats.norm(0, 0.085 / math.sqrt(200)).cdf)
    with pytest.raises(OptionError, match="noise=-1"):
        init.TanhInit(-1)


def test_tanh_init_neither_saturates_nor_dies():
    # 1000 layers of width 32; Xavier's signal falls like 1 / sqrt(2 depth) and its correlations to 1
    signal = np.random.default_rng(0).uniform(-1, 1, size=(50, 32))
    for i in range(1000):
        signal = np.tanh(signal @ layer(init.TanhInit(), (32, 32), path=str(i))[0])
    assert 0.01 < np.sqrt(np.mean(signal**2)) < 0.9


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("torch_default", "torch_linear"), init.TorchDefault),
        (("sklearn_default", "sklearn"), init.SklearnDefault),
        (("edge_of_chaos", "eoc"), init.EdgeOfChaos),
        (("critical", "doubly_critical"), init.Critical),
        (("selu", "self_normalizing"), init.Selu),
        (("rai", "randomized_asymmetric"), init.RAI),
        (("nguyen_widrow", "initnw"), init.NguyenWidrow),
    ],
)
def test_names(names, kind):
    for name in names:
        assert init.get(name) == kind()
    assert init.get("eoc('tanh', sigma_b=0.1)") == init.EdgeOfChaos("tanh", sigma_b=0.1)
    assert init.get("centered('he_normal')") == init.Centered(init.He())
