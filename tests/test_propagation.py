"""Signals and gradients in real networks follow the theory: 50 layers of 1000, all activations.

All schemes with independent normal weights are multiples of one draw, so a network of each activation and
scheme is simulated side by side, as rows of one matrix, by the weights that the library draws; 20 such
networks.

What can be expected: one layer turns q into a sum of 1000 squares, which is off by sqrt(k / 1000), k about
5 for relu, and the mean of 20 networks and a dozen layers by half a per cent. So the maps are held to 5 %
layer by layer. Over 50 layers errors are forgotten where the variance map has a stable fixed point, and add
up elsewhere: the whole trajectory may miss by four standard errors more, which are taken from the 20
networks.

The theory treats the gradient as independent of the weights it meets. In one direction it is not: along the
pre-activations themselves, the share of whose square in the gradient starts at 1 / width. Where
elasticity^2 V(q) / q exceeds chi (softplus with He), it grows from layer to layer, and gradients are
compared only as long as it is small.
"""

import numpy as np
import pytest

from minidl import activations, init, theory
from minidl.errors import OptionError

WIDTH, DEPTH, N_NETS = 1000, 50, 20
SCHEMES = {
    "xavier": lambda name: init.Xavier("normal"),
    "he": lambda name: init.He(),
    "third": lambda name: init.VarianceScaling(1 / 3),  # the weights of torch.nn.Linear
    "gain": lambda name: init.VarianceScaling(theory.gains(name).forward ** 2),
    "edge": lambda name: init.EdgeOfChaos(name, sigma_b=0.2),
    "critical": lambda name: init.Critical(name),
}
LOW, HIGH = 1e-20, 1e12  # beyond them theory counts q as 0 or infinite
LARGE_SHARE = 0.02


class Stack:
    """A network of one activation and one scheme, and what the theory says of it."""

    def __init__(self, name, label, scheme):
        self.name, self.label, self.scheme = name, label, scheme
        self.std = scheme.std(WIDTH, WIDTH)
        self.bias_std = scheme.bias_variance(WIDTH, WIDTH) ** 0.5
        self.field = theory.MeanField(name, WIDTH * self.std**2, self.bias_std**2)

    def __repr__(self):
        return f"{self.name}-{self.label}"


def stacks():
    found = []
    for name in activations.names():
        for label, make in SCHEMES.items():
            try:
                found.append(Stack(name, label, make(name)))
            except OptionError:  # no such point for this activation
                continue
    return found


STACKS = stacks()


NAMES = sorted({stack.name for stack in STACKS})
ROWS = {name: [row for row, stack in enumerate(STACKS) if stack.name == name] for name in NAMES}


def apply(function, z):
    """Apply to each row the activation of its stack, or its derivative."""
    out = np.empty_like(z)
    for name, rows in ROWS.items():
        out[rows] = function(name, z[rows])
    return out


def simulate(seed):
    """Return q and the squared gradient norms of all layers, each of shape (DEPTH, stacks)."""
    root = init.Stream(seed, "propagation")
    normal = init.Normal(1.0)
    std = np.array([[stack.std] for stack in STACKS], np.float32)
    bias_std = np.array([[stack.bias_std] for stack in STACKS], np.float32)
    x = normal.init((1, WIDTH), root.child("x"))
    h = np.repeat(x / np.sqrt(np.mean(x**2)), len(STACKS), axis=0)
    weights, slopes = [], []
    q, g = np.empty((2, DEPTH, len(STACKS)))
    with np.errstate(all="ignore"):  # some schemes explode on purpose
        for layer in range(DEPTH):
            weights.append(normal.init((WIDTH, WIDTH), root.child(layer, "weight")))
            bias = normal.init((1, WIDTH), root.child(layer, "bias"))
            z = std * (h @ weights[layer]) + bias_std * bias
            q[layer] = np.mean(np.square(z, dtype=np.float64), axis=1)
            h = apply(activations.forward, z)
            slopes.append(apply(activations.derivative, z))
        delta = np.repeat(normal.init((1, WIDTH), root.child("delta")), len(STACKS), axis=0)
        for layer in reversed(range(DEPTH)):
            if layer < DEPTH - 1:
                delta = std * (delta @ weights[layer + 1].T) * slopes[layer]
            g[layer] = np.sum(np.square(delta, dtype=np.float64), axis=1)
    return q, g


@pytest.fixture(scope="module")
def measured():
    q, g = zip(*(simulate(seed) for seed in range(N_NETS)), strict=True)
    return np.array(q), np.array(g)  # (networks, layers, stacks)


def usable(q):
    """Return how many layers have a q within the range of the theory, in all networks."""
    fine = np.isfinite(q) & (q > LOW) & (q < HIGH)
    return int(np.logical_and.accumulate(fine.all(axis=0)).sum())


def shares(field, q):
    """Return the share of the gradient that lies along the pre-activations, for layers of these q."""
    share = np.full(len(q), 1.0 / WIDTH)
    for layer in reversed(range(len(q) - 1)):
        after = field.variance_map(q[layer])
        elasticity = q[layer] * field.variance_slope(q[layer]) / after
        share[layer] = share[layer + 1] * elasticity**2 * after / (q[layer] * field.chi(q[layer]))
    return share


def resolved(g):
    """Return whether float32 resolves these squared gradient norms."""
    return np.isfinite(g).all() and g.min() > 1e-30 and g.max() < 1e30


CASES = pytest.mark.parametrize("column", range(len(STACKS)), ids=map(repr, STACKS))


@CASES
def test_layer_by_layer(measured, column):
    """What the maps make of the measured q of one layer is the q, and the gradient factor, of the next."""
    q, g = measured[0][:, :, column], measured[1][:, :, column]
    field, n = STACKS[column].field, usable(measured[0][:, :, column])
    assert n > 2
    layers = range(0, n - 1, max(1, n // 8))
    forward = [q[:, l + 1] / [field.variance_map(v) for v in q[:, l]] for l in layers]
    assert np.mean(forward) == pytest.approx(1.0, abs=0.05)
    share = shares(field, q[:, :n].mean(axis=0))
    backward = [
        g[:, l] / g[:, l + 1] / [field.chi(v) for v in q[:, l]]
        for l in layers
        if share[l] < LARGE_SHARE and resolved(g[:, [l, l + 1]])
    ]
    if backward:  # else float32 resolves none of them
        assert np.mean(backward) == pytest.approx(1.0, abs=0.05)


@CASES
def test_whole_trajectory(measured, column):
    """From the data alone: q of all 50 layers, and the gradient of the first against that of the last."""
    q, g = measured[0][:, :, column], measured[1][:, :, column]
    stack = STACKS[column]
    expected = [WIDTH * stack.std**2 + stack.bias_std**2]
    while len(expected) < usable(q) and LOW < expected[-1] < HIGH:
        expected.append(stack.field.variance_map(expected[-1]))
    n = len(expected) - 1 if not LOW < expected[-1] < HIGH else len(expected)
    for layer in range(n):
        check_mean(q[:, layer] / expected[layer])
    factor = np.prod([stack.field.chi(v) for v in expected[: n - 1]])
    if shares(stack.field, expected[:n]).max() < LARGE_SHARE and resolved(g[:, [0, n - 1]]):
        check_mean(g[:, 0] / g[:, n - 1] / factor)


def check_mean(ratios):
    error = np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    assert abs(np.mean(ratios) - 1.0) < 0.05 + 4.0 * error


def test_enough_is_compared(measured):
    """The conditions above leave nearly all stacks whole."""
    full = [usable(measured[0][:, :, column]) == DEPTH for column in range(len(STACKS))]
    assert len(STACKS) >= 120
    assert np.mean(full) > 0.7


@pytest.mark.parametrize(
    ("stack", "per_layer"),
    [
        ("relu-xavier", 0.5),
        ("relu-third", 1 / 6),
        ("identity-third", 1 / 3),
    ],
)
def test_negative_controls(measured, stack, per_layer):
    """Schemes that do not fit make the signal and the gradient decay at the predicted rate."""
    column = [repr(one) for one in STACKS].index(stack)
    q, g = measured[0][:, :, column], measured[1][:, :, column]
    n = usable(q)
    assert np.exp(np.mean(np.log(q[:, n - 1] / q[:, 0])) / (n - 1)) == pytest.approx(per_layer, rel=0.05)
    assert np.exp(np.mean(np.log(g[:, 0] / g[:, n - 1])) / (n - 1)) == pytest.approx(per_layer, rel=0.05)
