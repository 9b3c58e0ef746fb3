"""Schemes by activation and depth: their values, variance scaling, and those for one kind of network.

More on some of them: test_init_critical, test_init_defaults.
"""

import json
import math
import pickle
import warnings

import numpy as np
import pytest
from init_helpers import fits, layer, specs_of
from scipy import stats

import minidl
from minidl import init, theory
from minidl.errors import InitWarning, OptionError
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
