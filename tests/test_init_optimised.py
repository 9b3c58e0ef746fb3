"""MetaInit and GradInit: what they lower, against differences and autograd, and what they repair."""

import copy
import math

import numpy as np
import pytest

from minidl import MLP, SGD, init
from minidl.errors import DataError, DivergenceError, OptionError
from minidl.init.curvature import Curvature
from minidl.init.metainit import gradient_quotient
from minidl.init.scales import Adam, Scales, batches
from minidl.init.trial import Trial

RNG = np.random.default_rng(0)
WIDTH = 64
X = RNG.normal(size=(512, WIDTH)).astype(np.float32).astype(np.float64)
Y = (X @ RNG.normal(size=(WIDTH, 10))).argmax(axis=1)

pytestmark = pytest.mark.filterwarnings("ignore::minidl.errors.InitWarning")


def trial_of(net, x=X, y=Y, loss="cross_entropy", optimizer=None, seed=0):
    return Trial(net, x, y, init.Stream(seed, "init", "data"), loss, optimizer, "a test")


# --- second derivatives ---------------------------------------------------------------------------


def small(activation="tanh", loss="cross_entropy"):
    net = MLP([5, 7, 6, 3], activation, init=init.Pair("he", "normal(0.3)"), seed=1, dtype="float64")
    x = RNG.normal(size=(11, 5))
    y = RNG.integers(0, 3, 11) if loss == "cross_entropy" else RNG.normal(size=(11, 3))
    return net, x, y


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_hessian_against_autograd(activation, decay):
    torch = pytest.importorskip("torch")
    net, x, y = small(activation)
    function = getattr(torch.nn.functional, activation) if activation != "tanh" else torch.tanh
    tensors = [torch.tensor(np.array(value), requires_grad=True) for value in net.params.values()]

    def loss(*tensors):
        a = torch.tensor(x)
        for i in range(3):
            a = a @ tensors[2 * i] + tensors[2 * i + 1]
            a = function(a) if i < 2 else a
        penalty = decay / 2 * sum((t**2).sum() for t in tensors)
        return torch.nn.functional.cross_entropy(a, torch.tensor(y)) + penalty

    curvature = Curvature(trial_of(net, x, y), x, y, decay)
    w = net.params.flat.copy()
    g = curvature.gradient(w)
    layout = net.params.layout
    direction = copy.deepcopy(net.params)
    direction.flat[...] = g
    _, products = torch.autograd.functional.hvp(
        loss, tuple(tensors), tuple(torch.tensor(np.array(value)) for value in direction.values())
    )
    hg = curvature.hessian(w, g)
    for name, product in zip(net.params, products, strict=True):
        np.testing.assert_allclose(layout.view(hg, name), product.numpy(), rtol=1e-5, atol=1e-9)
    # the gradient quotient as the paper writes it
    eps, terms = 1e-5, []
    gradients = torch.autograd.grad(loss(*tensors), tensors)
    for gradient, product in zip(gradients, products, strict=True):
        sign = torch.where(gradient < 0, -1.0, 1.0)
        terms.append(((gradient - product) / (gradient + eps * sign) - 1).abs().flatten())
    expected = float(torch.cat(terms).mean())
    assert gradient_quotient(curvature, w, eps) == pytest.approx(expected, rel=1e-5)


def test_hessian_of_a_quadratic():
    net = MLP([3, 1], init="zeros", use_bias=False, seed=0, dtype="float64")
    x = RNG.normal(size=(9, 3))
    curvature = Curvature(trial_of(net, x, None, "mse"), x, RNG.normal(size=9), 0.0)
    for w in (np.zeros(net.params.flat.size), 1e-8 * np.ones(net.params.flat.size)):
        v = np.zeros(net.params.flat.size)
        v[:3] = [1e-3, 2e-3, -1e-3]
        layout = net.params.layout
        found = layout.view(curvature.hessian(w, v), "0.weight")[:, 0]
        np.testing.assert_allclose(found, 2 / 9 * x.T @ x @ layout.view(v, "0.weight")[:, 0], rtol=1e-6)


# --- factors, batches, Adam -----------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
def test_derivative_by_factors(shared):
    net, x, y = small()
    scales = Scales(trial_of(net, x, y), shared=shared)
    curvature = Curvature(trial_of(net, x, y), x, y)
    w = scales.parameters()
    found = scales.derivative(w, curvature.gradient(w))

    def loss(move):
        net.params.flat[...] = scales.parameters(move)
        return net.evaluate(x, y, loss="cross_entropy")["loss"]

    step = 1e-5
    expected = [(loss(step * e) - loss(-step * e)) / (2 * step) for e in np.eye(scales.n)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert scales.n == (1 if shared else 6)


def test_adam_is_that_of_torch():
    torch = pytest.importorskip("torch")
    p = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    theirs, ours = torch.optim.Adam([p], lr=1.0, eps=0.0), Adam(3)
    total = np.zeros(3)
    for g in np.random.default_rng(1).normal(size=(20, 3)):
        p.grad = torch.tensor(g)
        theirs.step()
        total -= ours(g)
    np.testing.assert_allclose(total, p.detach().numpy(), rtol=1e-10)
    assert np.array_equal(Adam(2)(np.zeros(2)), np.zeros(2))


def test_batches_use_each_row_once_per_epoch():
    parts = batches(trial_of(None, X[:10], Y[:10]), 5)
    for _ in range(3):
        assert sorted(np.concatenate([next(parts), next(parts)])) == list(range(10))
    parts = batches(trial_of(None, X[:10], Y[:10]), 4)
    assert all(len(next(parts)) == 4 for _ in range(9))


# --- one step of each, against differences of what it lowers --------------------------------------


def objective(net, x, y, parts, eta, decay, factor):
    """L on the second batch after one step of gradient descent on the first; factors on all tensors."""
    first, shared, new = parts
    w = np.zeros_like(net.params.flat)
    twin = copy.deepcopy(net)
    for name, f in zip(net.params, factor, strict=True):
        twin.params[name] *= f
    w = twin.params.flat.copy()
    rows = np.concatenate([first, shared])
    twin.gradients(x[rows], y[rows], loss="cross_entropy")
    g = twin.grads.flat + decay * w
    twin.params.flat[...] = w - (eta * g if eta > 0 else -eta * g / np.linalg.norm(g))
    rows = np.concatenate([shared, new])
    return twin.evaluate(x[rows], y[rows], loss="cross_entropy")["loss"], np.linalg.norm(g)


@pytest.mark.parametrize(
    ("optimizer", "eta"),
    [
        (SGD(0.5), 0.5),
        (SGD(0.5, momentum=0.9), 0.5),  # starts from the gradient
        (SGD(0.5, momentum=0.9, nesterov=True), 0.95),  # 1 + 0.9 times as long
        (SGD(0.5, weight_decay=0.3), 0.5),
        (SGD(0.5, momentum=0.9, nesterov=True, weight_decay=0.3), -0.1),  # a step of length 0.1
    ],
    ids=repr,
)
@pytest.mark.parametrize("gamma", [1e9, 1e-9])
def test_first_step_of_gradinit(optimizer, eta, gamma):
    net, x, y = small()
    net.seed = 0
    half = batches(trial_of(net, x, y), 2)
    parts = [next(half) for _ in range(3)]
    which = 0 if gamma > 1 else 1  # the loss after the step, or the norm of the gradient
    slopes = []
    for e in np.eye(6):
        values = [
            objective(net, x, y, parts, eta, optimizer.weight_decay, np.exp(s * 1e-5 * e))[which]
            for s in (1, -1)
        ]
        slopes.append((values[0] - values[1]) / 2e-5)
    before = copy.deepcopy(net.params)
    scheme = init.GradInit(steps=1, lr=0.05, gamma=gamma, batch_size=4, eta=0.1 if eta < 0 else None)
    scheme.fit(net, x, y, loss="cross_entropy", optimizer=optimizer)
    moves = [math.log(net.params[name].flat[0] / before[name].flat[0]) for name in net.params]
    # the first step of Adam is the sign of the derivative
    assert min(abs(np.array(slopes))) > 1e-6
    np.testing.assert_allclose(moves, -0.05 * np.sign(slopes), rtol=1e-9)


@pytest.mark.parametrize("scales", ["tensor", "network"])
def test_first_step_of_metainit(scales):
    net, x, y = small()
    net.seed = 0
    rows = next(batches(trial_of(net, x, y), 8))
    twin = copy.deepcopy(net)
    names = [name for name in net.params if name.endswith("weight")]

    def gq(factors):
        twin.params.flat[...] = net.params.flat
        for name, factor in zip(names, factors, strict=True):
            twin.params[name] *= factor
        w = twin.params.flat.copy()

        def gradient(w):
            twin.params.flat[...] = w
            twin.gradients(x[rows], y[rows], loss="cross_entropy")
            return twin.grads.flat.copy()

        g = gradient(w)
        hg = (gradient(w + 1e-4 * g) - gradient(w - 1e-4 * g)) / 2e-4
        with np.errstate(invalid="ignore"):
            q = np.abs((g - hg) / (g + 1e-3 * np.where(g < 0, -1, 1)) - 1)
        return np.concatenate([net.params.layout.view(q, name).ravel() for name in net.params]).mean()

    directions = np.eye(3) if scales == "tensor" else np.ones((1, 3))
    slopes = [gq(np.exp(0.05 * d)) - gq(np.exp(-0.05 * d)) for d in directions]
    before = copy.deepcopy(net.params)
    scheme = init.MetaInit(steps=1, lr=0.03, eps=1e-3, batch_size=8, scales=scales)
    scheme.fit(net, x, y, loss="cross_entropy")
    moves = [math.log(net.params[name].flat[0] / before[name].flat[0]) for name in names]
    np.testing.assert_allclose(moves, -0.03 * np.sign(slopes) * np.ones(3), rtol=1e-9)
    assert all(np.array_equal(net.params[name], before[name]) for name in net.params if "bias" in name)


def test_metainit_knows_the_weight_decay():
    found = []
    for optimizer in (SGD(0.1), SGD(0.9, momentum=0.5), SGD(0.1, weight_decay=1.0)):
        net = MLP([WIDTH, 32, 32, 10], "tanh", seed=0, dtype="float64")
        init.MetaInit(steps=5, eps=1e-3).fit(net, X, Y, optimizer=optimizer)
        found.append(net.params.flat.copy())
    # the learning rate multiplies GQ: no matter; weight decay belongs to the gradient
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_metainit_needs_no_data():
    found = []
    for x in (X[:100], 50 * X[100:200]):
        net = MLP([WIDTH, 32, 10], "tanh", seed=0, dtype="float64")
        init.MetaInit(steps=3, data="random").fit(net, x)
        found.append(net.params.flat.copy())
    assert np.array_equal(found[0], found[1])
    for loss, outputs in (("mse", 3), ("binary_cross_entropy", 1), ("cross_entropy", 4), ("huber", 2)):
        for data in ("given", "random"):
            net = MLP([WIDTH, 8, outputs], "tanh", seed=0)
            assert init.MetaInit(steps=2, data=data).fit(net, X[:50], loss=loss).converged


# --- repair ---------------------------------------------------------------------------------------

DEPTH = 18
MIS_SCALED = pytest.mark.parametrize("factor", [3.0, 1 / 3], ids=["3", "1/3"])


def mis_scaled(factor, activation="tanh", depth=DEPTH):
    """An orthogonal net with the critical gain, 1 for tanh and sqrt(2) for relu, all weights multiplied."""
    start = init.Orthogonal(gain=math.sqrt(2) if activation == "relu" else 1.0)
    net = MLP([WIDTH] * depth + [10], activation, init=start, seed=0)
    critical = [np.linalg.norm(net.params[f"{i}.weight"]) for i in range(depth)]
    for i in range(depth):
        net.params[f"{i}.weight"] *= factor
    return net, np.array(critical)


def gains(net, critical):
    return np.array([np.linalg.norm(net.params[f"{i}.weight"]) for i in range(len(critical))]) / critical


def loss_after_100_steps(net, lr):
    for step in range(100):
        rows = slice(step % 8 * 64, step % 8 * 64 + 64)
        try:
            net.train_step(X[rows], Y[rows], optimizer=SGD(lr))
        except DivergenceError:
            return math.inf
    return net.evaluate(X, Y)["loss"]


@MIS_SCALED
@pytest.mark.parametrize(
    ("scheme", "better"),
    [
        (init.MetaInit(eps=1e-3, scales="network"), 4.0),
        (init.GradInit(scales="network"), 8.0),
    ],
    ids=lambda x: type(x).__name__,
)
def test_repair(scheme, better, factor):
    """All layers of 18 are 3 times too large or too small: each gain comes back, and the net trains."""
    net, critical = mis_scaled(factor)
    unrepaired = loss_after_100_steps(copy.deepcopy(net), 0.1)
    scheme.fit(net, X, Y, optimizer=SGD(0.1))
    assert abs(gains(net, critical) - 1).max() < 0.15
    assert loss_after_100_steps(net, 0.1) * better < unrepaired


@MIS_SCALED
def test_gradinit_repairs_relu(factor):
    net, critical = mis_scaled(factor, "relu", 10)
    unrepaired = loss_after_100_steps(copy.deepcopy(net), 0.2)
    init.GradInit(scales="network", gamma=2.0, eta=None).fit(net, X, Y, optimizer=SGD(0.2))
    assert abs(gains(net, critical) - 1).max() < 0.15
    assert loss_after_100_steps(net, 0.2) * 1.8 < unrepaired


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradinit_with_a_factor_for_each_tensor_makes_a_small_net_train(activation):
    """With factors of their own, layers do not come back to equal gains: the last ones grow more."""
    net, _ = mis_scaled(1 / 3, activation, 6)
    unrepaired = loss_after_100_steps(copy.deepcopy(net), 0.1)
    init.GradInit(steps=200, gamma=2.0).fit(net, X, Y, optimizer=SGD(0.1))
    assert loss_after_100_steps(net, 0.1) * 10 < unrepaired


def test_gradinit_bounds_the_gradient():
    net, _ = mis_scaled(3.0, "relu", 6)
    for gamma in (0.5, 2.0):
        init.GradInit(steps=200, gamma=gamma).fit(net, X, Y, optimizer=SGD(0.1))
        net.gradients(X, Y, loss="cross_entropy")
        assert np.linalg.norm(net.grads.flat) < 1.2 * gamma


def test_metainit_lowers_the_gradient_quotient():
    for factor, least in ((3.0, 100.0), (1 / 3, 1.2)):
        net, _ = mis_scaled(factor, depth=10)
        net = net.astype("float64")

        def gq(net=net):
            return gradient_quotient(Curvature(trial_of(net), X, Y), net.params.flat.copy(), 1e-3)

        before = gq()
        init.MetaInit(eps=1e-3, scales="network").fit(net, X, Y)
        assert gq() * least < before


# --- bad input ------------------------------------------------------------------------------------


def test_bad_options():
    for scheme, options in (
        (init.MetaInit, ({"steps": 0}, {"lr": 0.0}, {"momentum": 1.0}, {"eps": -1e-5}, {"batch_size": 0})),
        (init.MetaInit, ({"data": "x"}, {"scales": "layer"})),
        (init.GradInit, ({"steps": 0}, {"lr": math.nan}, {"gamma": 0.0}, {"eta": 0.0}, {"batch_size": 1})),
        (init.GradInit, ({"min_scale": 0.0}, {"scales": "layer"})),
    ):
        for option in options:
            with pytest.raises(OptionError):
                scheme(**option)


def test_bad_data():
    net = MLP([WIDTH, 8, 10], seed=0)
    with pytest.raises(OptionError, match="needs targets"):
        init.GradInit().fit(net, X)
    with pytest.raises(DataError, match="at least 4"):
        init.GradInit().fit(net, X[:3], Y[:3])
    huge = MLP([WIDTH, 8, 10], "identity", init="constant(1e200)", seed=0, dtype="float64")
    before = huge.params.flat.copy()
    for scheme in (init.GradInit(steps=1), init.MetaInit(steps=1)):
        with pytest.raises(OptionError, match=r"overflow|not finite"):
            scheme.fit(huge, X, Y)
    assert np.array_equal(huge.params.flat, before)
