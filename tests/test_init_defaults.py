"""The defaults of other libraries, and biases from labels."""

import math
import warnings

import numpy as np
import pytest
from init_helpers import fits, layer, specs_of
from scipy import stats

from minidl import init
from minidl.errors import DataError, DtypeError, OptionError, ShapeError
from minidl.init import LayerSpec

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
