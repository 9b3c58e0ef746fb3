"""Predictions against simulation in NumPy float64; finite width; pictures; the command."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import activations, cli, theory
from minidl.errors import OptionError, ShapeError
from minidl.theory import Layer, predict

# --- against simulation ---------------------------------------------------------------------------


def simulate(layers, q0, c0, n_nets, seed=0):
    """Return q, c and relative squared gradients, shape (n_nets, n_layers), of random networks."""
    rng = np.random.default_rng(seed)
    q, c, g = np.zeros((3, n_nets, len(layers)))
    for net in range(n_nets):
        n = layers[0].fan_in
        base = np.linalg.qr(rng.normal(size=(n, 2)))[0].T * math.sqrt(n * q0)
        x = np.stack((base[0], c0 * base[0] + math.sqrt(1 - c0**2) * base[1]))
        weights, slopes = [], []
        for k, layer in enumerate(layers):
            function = theory.function.as_function(layer.activation)
            weights.append(rng.normal(size=(layer.fan_in, layer.fan_out)) * math.sqrt(layer.weight_variance))
            z = x @ weights[-1] + rng.normal(size=layer.fan_out) * math.sqrt(layer.bias_variance)
            q[net, k] = np.mean(z**2)
            c[net, k] = z[0] @ z[1] / math.sqrt(z[0] @ z[0] * (z[1] @ z[1]))
            slopes.append(function.slope(z[0]))
            x = function.value(z)
        gradient = rng.normal(size=layers[-1].fan_out)
        g[net, -1] = 1.0
        first = gradient @ gradient
        for k in range(len(layers) - 1, 0, -1):
            gradient = weights[k] @ gradient * slopes[k - 1]
            g[net, k - 1] = gradient @ gradient / first
    return q, c, g


STACKS = {
    "relu-he": ("relu", 2.0, 0.0),
    "relu-xavier": ("relu", 1.0, 0.0),  # decays, as predicted
    "tanh-edge": ("tanh", 1.7007964, 0.04),
    "tanh-chaotic": ("tanh", 3.0, 0.05),
    "gelu-double": ("gelu", 1.983058257, 0.1729223908),
    "selu": ("selu", 1.0, 0.0),
    "softplus": ("softplus", 1.0854871, 0.01),
    "sine": ("sine", 2.0, 0.0),
}


@pytest.mark.parametrize("name", STACKS)
def test_prediction_against_simulation(name):
    """15 layers of width 800, 4 networks.

    Per layer the squared norms fluctuate by sqrt(5 / n) relative for relu and less for the others, so the
    mean over 4 networks of a product over 15 layers by at most sqrt(15 * 5 / 800 / 4) = 15 %. Allowed are
    2.5 of these standard deviations at any layer, and 1.5 in the mean.
    """
    activation, sigma_w2, sigma_b2 = STACKS[name]
    n, n_layers, n_nets = 800, 15, 4
    stack = [Layer(n, n, sigma_w2 / n, sigma_b2, activation)] * n_layers
    q, c, g = simulate(stack, 1.5, 0.3, n_nets)
    expected = predict(stack, q0=1.5, c0=0.3)
    for measured, predicted in ((q, expected.q), (g, expected.gradient)):
        spread = math.sqrt(n_layers * 5 / n / n_nets)
        error = np.log(measured.mean(axis=0)) - np.log(predicted)
        assert np.abs(error).max() < 2.5 * spread
        assert np.abs(error).mean() < 1.5 * spread
    # a correlation fluctuates by (1 - c^2) / sqrt(n) per layer
    tolerance = 4 * math.sqrt(n_layers / n / n_nets) * (1 - np.array(expected.c) ** 2) + 0.002
    assert (np.abs(c.mean(axis=0) - expected.c) < tolerance).all()


def test_layers_of_unequal_width_against_simulation():
    widths = [50, 900, 300, 700, 500]
    acts = ["tanh", "relu", "gelu", "identity"]
    layers = [
        Layer(a, b, v / a, 0.1, act)
        for a, b, v, act in zip(widths, widths[1:], (1.5, 0.5, 3.0, 2.0), acts, strict=False)
    ]
    q, c, g = simulate(layers, 0.8, -0.4, 40)
    expected = predict(layers, 0.8, -0.4)
    spread = 4 * q.std(axis=0) / math.sqrt(40) / q.mean(axis=0) + 0.01
    assert (np.abs(q.mean(axis=0) / expected.q - 1) < spread).all()
    assert (np.abs(c.mean(axis=0) - expected.c) < 0.03).all()
    spread = 4 * g.std(axis=0) / math.sqrt(40) / g.mean(axis=0) + 0.01
    assert (np.abs(g.mean(axis=0) / expected.gradient - 1) < spread).all()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "gelu", "relu", "selu"])
@pytest.mark.parametrize("init", ["auto", "he_normal", "centered"])
def test_networks_are_what_is_predicted(activation, init):
    """The weights and biases of real networks, mean over 6 seeds; width 400, depth 4."""
    sizes = [400] * 5
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 400))
    x /= np.sqrt(np.mean(x**2, axis=1, keepdims=True))
    c0 = float(x[0] @ x[1]) / 400
    q, c = np.zeros((2, 6, 4))
    for seed in range(6):
        net = minidl.MLP(sizes, activation, init=init, seed=seed, dtype="float64")
        y = x
        for k in range(4):
            path = net.init_plan().layers[k].spec.path
            z = y @ net.params[f"{path}.weight"] + net.params[f"{path}.bias"]
            q[seed, k] = np.mean(z**2)
            c[seed, k] = z[0] @ z[1] / math.sqrt(z[0] @ z[0] * (z[1] @ z[1]))
            y = activations.forward(activation, z)
    expected = predict(net, q0=1.0, c0=c0)
    # per layer sqrt(5 / n) at most; three standard deviations of the mean over 6 nets of 4 layers, and 1 / n
    assert q.mean(axis=0) == pytest.approx(expected.q, rel=3 * math.sqrt(4 * 5 / 400 / 6) + 0.01)
    assert c.mean(axis=0) == pytest.approx(
        expected.c, abs=4 * math.sqrt(4 / 400 / 6) * (1 - min(expected.c) ** 2) + 0.01
    )


# --- exact cases ----------------------------------------------------------------------------------


def test_equal_layers_follow_the_maps():
    field = theory.MeanField("elu", 1.4, 0.1)
    stack = [Layer(10, 10, 0.14, 0.1, "elu")] * 6
    found = predict(stack, q0=1.0, c0=0.2)
    q, c = 1.4 + 0.1, (1.4 * 0.2 + 0.1) / 1.5
    product = 1.0
    for k in range(6):
        assert found.q[k] == pytest.approx(q, rel=1e-12)
        assert found.c[k] == pytest.approx(c, rel=1e-10)
        c, q = field.correlation_map(c, q), field.variance_map(q)
    for k in range(5, -1, -1):
        assert found.gradient[k] == pytest.approx(product, rel=1e-12)
        product *= field.chi(found.q[k - 1]) if k else 1.0


def test_a_linear_network_in_closed_form():
    layers = [Layer(4, 8, 0.5), Layer(8, 2, 0.25, 1.0), Layer(2, 3, 0.1)]
    found = predict(layers, q0=3.0)
    assert found.q == pytest.approx((6.0, 13.0, 2.6))
    assert found.gradient == pytest.approx((0.4, 0.2, 1.0))
    assert found.c == (None, None, None)


def test_an_offset_turns_a_sigmoid_into_a_tanh():
    """sigmoid(z) - 1/2 = tanh(z / 2) / 2."""
    half = theory.Function(lambda x: 0.5 * np.tanh(0.5 * x), kinks=())
    centered = [Layer(6, 6, 1.5, 0.1, "sigmoid"), *[Layer(6, 6, 1.5, 0.1, "sigmoid", input_offset=0.5)] * 4]
    odd = [Layer(6, 6, 1.5, 0.1, half)] * 5
    found, expected = predict(centered, 1.0, 0.4), predict(odd, 1.0, 0.4)
    assert found.q == pytest.approx(expected.q, rel=1e-10)
    assert found.c == pytest.approx(expected.c, rel=1e-9)
    assert found.gradient == pytest.approx(expected.gradient, rel=1e-9)


def test_extremes_are_never_nan():
    zero = [Layer(5, 5, 0.0, activation="relu"), Layer(5, 5, 1.0, activation="relu"), Layer(5, 5, 1.0)]
    found = predict(zero, c0=0.5)
    assert found.q == (0.0, 0.0, 0.0)
    assert found.c == (None, None, None)
    explosive = [Layer(9, 9, 10.0, activation="relu_squared")] * 12
    found = predict(explosive, c0=0.5)
    assert found.q[-1] == math.inf
    assert not any(math.isnan(x) for x in (*found.q, *found.gradient))
    assert found.c[-1] is None
    dead = [*explosive[:11], Layer(9, 9, 0.0)]
    assert predict(dead).gradient[:-1] == (0.0,) * 11
    assert predict(dead).q[-1] == 0.0


# --- networks -------------------------------------------------------------------------------------


def test_a_network_is_predicted_from_its_plan():
    net = minidl.MLP([784, 300, 100, 10], "relu", init="he_normal", seed=0)
    before = net.params.flat.copy()
    found = predict(net, q0=0.5)
    assert (net.params.flat == before).all()
    assert [layer.path for layer in found.layers] == [layer.spec.path for layer in net.init_plan().layers]
    assert found.q == pytest.approx((1.0, 1.0, 1.0))
    # layer l to l + 1: fan_in 2 / fan_in / 2 = 1
    assert found.gradient == pytest.approx((1.0, 1.0, 1.0))
    assert str(found).splitlines()[0].split() == ["layer", "q", "c", "gradient^2"]


def test_what_a_plan_can_hold():
    def plan(variance=0.01, activation="relu", initializer=None, **facts):
        spec = SimpleNamespace(
            path="0", shape=(100, 100), fan_in=100, fan_out=100, activation=activation,
            residual_branches=0, norm=None, **facts,
        )  # fmt: skip
        entry = SimpleNamespace(spec=spec, initializer=initializer, variance=variance)
        return SimpleNamespace(init_plan=lambda: SimpleNamespace(layers=(entry, entry)))

    assert predict(plan()).q == pytest.approx((1.0, 0.5))
    biased = SimpleNamespace(bias_variance=lambda fan_in, fan_out: fan_out / 400)
    assert predict(plan(initializer=biased)).q == pytest.approx((1.25, 0.875))
    with pytest.raises(OptionError, match="layer '0': the variance of None has no closed form"):
        predict(plan(variance=None))
    with pytest.raises(OptionError, match=r"softmax.*whole rows"):
        predict(plan(activation="softmax"))
    odd = plan()
    odd.init_plan().layers[0].spec.norm = "batch"
    with pytest.raises(OptionError, match="without skips and norms"):
        predict(odd)


def test_softmax_after_the_last_layer_does_not_matter():
    layers = [Layer(5, 5, 0.2, activation="relu"), Layer(5, 3, 0.2, activation="softmax")]
    assert predict(layers).q == pytest.approx((1.0, 0.5))


def test_bad_arguments_of_predict():
    stack = [Layer(5, 4, 0.2), Layer(4, 3, 0.2)]
    for options in ({"q0": 0.0}, {"q0": math.nan}, {"c0": 1.1}, {"c0": math.nan}):
        with pytest.raises(OptionError):
            predict(stack, **options)
    with pytest.raises(ShapeError, match=r"fan_in=5.*fan_out=4"):
        predict([stack[0], Layer(5, 3, 0.2)])
    with pytest.raises(OptionError, match=r"input_offset=0.5, but the data"):
        predict([Layer(5, 4, 0.2, input_offset=0.5)])
    for net in ([], 3, ["relu"]):
        with pytest.raises(OptionError, match="net"):
            predict(net)
    for arguments in ((0, 1, 0.1), (1, 0, 0.1), (1, 1, -0.1), (1, 1, 0.1, -1.0), (1, 1, math.inf)):
        with pytest.raises(OptionError):
            Layer(*arguments)


# --- finite width ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "scale"), [("identity", 1.0), ("relu", 2.0)])
def test_finite_width_against_simulation(activation, scale):
    """Three narrow layers, 20,000 networks: means within five standard errors."""
    widths, n_nets = (12, 20, 16), 20_000
    rng = np.random.default_rng(1)
    found = theory.finite_width(widths, activation)
    y = rng.normal(size=(n_nets, 10))
    y /= np.sqrt(np.mean(y**2, axis=1, keepdims=True))
    for n in widths:
        w = rng.normal(size=(n_nets, y.shape[1], n)) * math.sqrt(1.0 / y.shape[1])
        z = np.einsum("bi,bij->bj", y, w)
        y = z if activation == "identity" else np.maximum(z, 0.0) * math.sqrt(scale)
    square = np.mean(y**2, axis=1)
    alive = square > 0
    log = np.log(square[alive])
    assert np.mean(log) == pytest.approx(found.mean_log, abs=5 * log.std() / math.sqrt(n_nets))
    fourth = np.mean((log - log.mean()) ** 4)
    assert np.var(log) == pytest.approx(found.var_log, abs=5 * math.sqrt(fourth / n_nets))
    assert np.mean(square) == pytest.approx(1.0, abs=5 * square.std() / math.sqrt(n_nets))
    spread = (square - 1) ** 2
    assert np.mean(spread) == pytest.approx(found.relative_variance, abs=5 * spread.std() / math.sqrt(n_nets))
    assert np.mean(~alive) == pytest.approx(found.death, abs=5 * math.sqrt(found.death / n_nets) + 1e-12)


def test_finite_width_limits_and_papers():
    # the random-walk rule of Sussillo and Abbott for linear nets, e^(1 / 2n), is the first order of ours
    for n in (32, 128, 1024):
        (gain,) = theory.finite_width([n], "linear").gains
        assert math.log(gain) == pytest.approx(1 / (2 * n), rel=1 / n)
        (gain,) = theory.finite_width([n], "relu").gains
        assert gain == pytest.approx(math.exp(1.2 / (n - 2.4)), rel=1.2e-3)  # their fit
        wide = theory.finite_width([n] * 10)
        assert wide.var_log == pytest.approx(50 / n, rel=8 / n)
    assert theory.finite_width([4], "relu").death == 2**-4
    assert theory.finite_width([1], "relu").death == 0.5


def test_finite_width_refuses():
    for widths, activation, words in (
        ([], "relu", "at least one"),
        ([0], "relu", "widths=0"),
        ([3.5], "relu", "widths=3.5"),
        ([3], "tanh", "'identity' and 'relu' only"),
    ):
        with pytest.raises(OptionError, match=words):
            theory.finite_width(widths, activation)


# --- pictures and the command ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("tanh", None), ("relu", ("variance", "phases")), ("softplus", ("correlation", "phases")),
     ("gelu", ("variance", "phases", "correlation"))],
)  # fmt: skip
def test_pictures_are_drawn(name, kinds, tmp_path):
    pytest.importorskip("matplotlib")
    image = pytest.importorskip("matplotlib.image")
    theory.plot(str(tmp_path / "a.png"), name, sigma_b=0.0, kinds=kinds)
    pixels = image.imread(tmp_path / "a.png")
    assert pixels.shape[1] > 600
    assert np.mean(pixels[..., :3].min(axis=2) < 0.9) > 0.01  # not empty


def test_layers_picture_and_its_errors(tmp_path):
    pytest.importorskip("matplotlib")
    theory.plot(str(tmp_path / "a.svg"), "tanh", 0.2, kinds=("variance",))
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(OptionError, match="ends in"):
        theory.plot(str(tmp_path / "a.xyz"), "tanh")
    with pytest.raises(OptionError, match="kinds='maps'"):
        theory.plot(str(tmp_path / "b.png"), "tanh", kinds=("maps",))
    assert not (tmp_path / "b.png").exists()


def test_without_matplotlib(monkeypatch, capsys):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    assert cli.main(["theory", "relu", "--plot", "a.png"]) == 2
    assert capsys.readouterr() == ("", "minidl: error: a picture needs matplotlib: pip install matplotlib.\n")


def test_command(capsys, tmp_path):
    assert cli.main(["theory", "tanh", "--sigma-b", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "forward gain               1.59254" in out
    assert "sigma_w, sigma_b           1.30415, 0.2" in out
    assert cli.main(["theory", "gelu", "--q", "2", "--depth", "20"]) == 0
    assert "repels" in capsys.readouterr().out
    assert cli.main(["theory", "tanh", "--sigma-b", "0.2236068", "--sigma-w", "1.4142136"]) == 0
    out = capsys.readouterr().out
    assert "chaotic" in out
    assert "25.2" in out
    assert cli.main(["theory", "softplus"]) == 0
    assert "no edge of chaos" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tanhh"], "Did you mean 'tanh'"),
        (["softmax"], "whole rows"),
        (["softplus", "--sigma-b", "0.1"], "no edge of chaos"),
        (["relu", "--sigma-b", "0.1"], "single point"),
        (["tanh", "--sigma-b", "-1"], "sigma_b=-1.0"),
        (["tanh", "--sigma-w", "0"], "sigma_w=0.0"),
        (["tanh", "--q", "1", "--sigma-b", "0.1"], "cannot be combined"),
        (["tanh", "--q", "nan"], "q=nan"),
        (["tanh", "--depth", "0"], "depth=0"),
        (["tanh", "--plot", "no/such/folder.png"], "folder does not exist"),
    ],
)
def test_errors_of_the_command_are_one_line(arguments, words, capsys):
    assert cli.main(["theory", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("minidl: error: ")
    assert err.count("\n") == 1
    assert words in err
