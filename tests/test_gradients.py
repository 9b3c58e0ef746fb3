"""Gradients of every layer, activation and loss: central differences, the reference, float32."""

import numpy as np
import pytest

from minidl import Activation, Dense, Sequential, activations, losses
from minidl.engine.reference import Reference
from minidl.lowering import Task, lower

ACTIVATIONS = (*activations.names(), *activations.OUTPUT_FUNCTIONS)
HIDDEN = activations.names()
# Where a function or its derivative has a kink: a difference quotient across one says nothing.
KINKS = {
    "relu": (0.0,),
    "leaky_relu": (0.0,),
    "relu6": (0.0, 6.0),
    "relu_squared": (0.0,),
    "elu": (0.0,),
    "selu": (0.0,),
    "celu": (0.0,),
    "softsign": (0.0,),
    "hard_tanh": (-1.0, 1.0),
    "hard_sigmoid": (-3.0, 3.0),
    "hard_swish": (-3.0, 3.0),
}
LOSSES = {
    "labels": (losses.CrossEntropy(), "label"),
    "smoothed": (losses.CrossEntropy(label_smoothing=0.1), "label"),
    "probabilities": (losses.CrossEntropy(label_smoothing=0.05), "probability"),
    "bce": (losses.BinaryCrossEntropy(), "real"),
    "mse": (losses.MSE(), "real"),
    "mae": (losses.MAE(), "real"),
    "huber": (losses.Huber(delta=0.6), "real"),
}
STEP = 2.0**-12  # h; with the extrapolation the error is h^4 f^(5) / 480, and eps / h of rounding
MARGIN = 30 * STEP  # how far every argument of a kink stays away from it
ROWS, FEATURES, OUTPUTS = 6, 3, 4

DENSE = (lambda act: Dense(4, act), lambda act: Dense(3, act, use_bias=False))
STANDALONE = (
    lambda act: Activation(act),
    lambda act: Dense(4),
    lambda act: Activation(act),
    lambda act: Dense(3, "tanh"),
    lambda act: Activation(act),
)


# --- networks, data, and a plain forward pass -----------------------------------------------------


def forward(net, X):
    """Return the outputs and the argument of every activation, in NumPy float64."""
    arguments, h = [], np.asarray(X, np.float64)
    for path, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            h = h @ net.params[f"{path}.weight"].astype(np.float64)
            if layer.use_bias:
                h = h + net.params[f"{path}.bias"]
        name = layer.activation.name
        arguments.append((name, h))
        if name == "softmax":
            e = np.exp(h - h.max(axis=1, keepdims=True))
            h = e / e.sum(axis=1, keepdims=True)
        else:
            h = activations.forward(layer.activation, h)
    return h, arguments


def draw_target(rng, loss, kind):
    if kind == "label":
        return rng.integers(0, OUTPUTS, ROWS)
    if kind == "probability":
        return rng.dirichlet(np.ones(OUTPUTS), ROWS)
    if loss.name == "binary_cross_entropy":
        return rng.choice([0.0, 1.0, 0.3], (ROWS, OUTPUTS))
    return rng.normal(size=(ROWS, OUTPUTS))


def smooth_here(net, X, y, loss):
    """Whether no argument of a kink is near it, in activations and in the loss."""
    output, arguments = forward(net, X)
    for name, z in arguments:
        if any(np.abs(z - kink).min() < MARGIN for kink in KINKS.get(name, ())):
            return False
    if loss.name in ("mae", "huber"):
        kink = getattr(loss, "delta", 0.0)
        return np.abs(np.abs(output - y) - kink).min() >= MARGIN
    return True


def problem(layers, loss, kind, weighted=False, dtype="float64"):
    """Return a network, data and weights at which the loss has a derivative."""
    for seed in range(500):
        rng = np.random.default_rng(seed)
        net = Sequential(layers, n_inputs=FEATURES, seed=seed, dtype=dtype)
        for view in net.params.values():
            view[...] = rng.normal(size=view.shape) * 0.7
        X, y = rng.normal(size=(ROWS, FEATURES)).astype(dtype), draw_target(rng, loss, kind)
        if y.dtype == np.float64:
            y = y.astype(dtype)
        weight = np.array([0.0, 0.5, 1.0, 2.0, 0.0, 3.25]) if weighted else None
        if smooth_here(net, X, y, loss):
            return net, X, y, weight
    raise AssertionError("no point away from the kinks")


def difference_quotients(net, f):
    """Return the derivative of f() by each parameter: central differences, extrapolated once."""
    result = {}
    for name, view in net.params.items():
        quotients = np.empty(view.shape)
        for i in np.ndindex(view.shape):
            at, values = view[i], []
            for h in (STEP, STEP / 2):
                view[i] = at + h
                above = f()
                view[i] = at - h
                values.append((above - f()) / (2 * h))
            view[i] = at
            quotients[i] = (4 * values[1] - values[0]) / 3
        result[name] = quotients
    return result


def check_difference_quotients(layers, loss, kind, weighted=False):
    net, X, y, weight = problem(layers, loss, kind, weighted)
    computed = net.gradients(X, y, loss=loss, sample_weight=weight)
    gradients = {name: view.copy() for name, view in net.grads.items()}
    assert set(gradients) == set(net.params)

    def f():
        return net.evaluate(X, y, loss=loss, sample_weight=weight)["loss"]

    assert computed == f()
    quotients = difference_quotients(net, f)
    largest = max(np.abs(q).max() for q in quotients.values())
    assert largest > 1e-3  # the case says something
    for name, quotient in quotients.items():
        np.testing.assert_allclose(gradients[name], quotient, rtol=1e-7, atol=1e-9 * largest, err_msg=name)
    check_reference(net, X, y, weight, loss, kind, computed, gradients)


def check_reference(net, X, y, weight, loss, kind, computed, gradients):
    task = Task("gradients", loss, kind, weight is not None)
    program = lower(net.layers, FEATURES, net.params.layout, task, ROWS)
    reference = Reference(program, net.params.flat)
    lent = {"x": X, "target": y, "weight": weight}
    assert computed == pytest.approx(reference.step(lent), rel=1e-13)
    for name, gradient in gradients.items():
        expected = reference.values[f"d{name}"].reshape(gradient.shape)
        size = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-13 * size, err_msg=name)


# --- float64: every combination -------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stack", [DENSE, STANDALONE], ids=["dense", "standalone"])
def test_hidden_activations(stack, loss):
    for act in HIDDEN:
        layers = [make(act) for make in stack]
        check_difference_quotients([*layers, Dense(OUTPUTS)], *LOSSES[loss])


@pytest.mark.parametrize("loss", LOSSES)
def test_output_activations(loss):
    """Among them the pairs that are fused: softmax with cross entropy, sigmoid with its own."""
    for act in ACTIVATIONS:
        check_difference_quotients([Dense(3, "tanh"), Dense(OUTPUTS, act)], *LOSSES[loss])
        check_difference_quotients([Dense(OUTPUTS), Activation(act)], *LOSSES[loss])


@pytest.mark.parametrize("loss", LOSSES)
def test_sample_weights(loss):
    for act in ("identity", "softmax", "sigmoid", "tanh"):
        layers = [Dense(5, "tanh"), Dense(OUTPUTS, act)]
        check_difference_quotients(layers, *LOSSES[loss], weighted=True)


@pytest.mark.parametrize(("loss", "link"), [("cross_entropy", "softmax"), ("bce", "sigmoid")])
def test_the_output_function_of_a_loss_is_not_applied_twice(loss, link):
    """With the link as last activation the loss is that of the logits, and predict applies it."""
    loss = losses.get(loss)
    kind = "label" if loss.name == "cross_entropy" else "real"
    bare, X, y, _ = problem([Dense(5, "tanh"), Dense(OUTPUTS)], loss, kind)
    linked = Sequential([Dense(5, "tanh"), Dense(OUTPUTS, link)], n_inputs=FEATURES, dtype="float64")
    linked.params.flat[...] = bare.params.flat
    assert linked.gradients(X, y, loss=loss) == bare.gradients(X, y, loss=loss)
    assert linked.grads.flat.tobytes() == bare.grads.flat.tobytes()
    assert np.count_nonzero(bare.grads.flat) == bare.params.count
    np.testing.assert_allclose(linked.predict(X), forward(linked, X)[0], rtol=1e-14, atol=1e-15)


# --- float32 against float64 ----------------------------------------------------------------------


def magnitudes(net, X, reference):
    """Return sum |...| along every path to each gradient, and to the arguments of the layers.

    The backward pass with absolute values: |x|^T |dz| for a weight, with |dz| = (|dz| |W|^T) |act'|.
    """
    sizes, h, inputs, slopes = {}, np.abs(np.asarray(X, np.float64)), [], []
    _, arguments = forward(net, X)
    for path, layer in enumerate(net.layers):
        inputs.append(h)
        h = h @ np.abs(net.params[f"{path}.weight"].astype(np.float64)) + np.abs(net.params[f"{path}.bias"])
        slopes.append(np.abs(activations.derivative(layer.activation, arguments[path][1])) + 0.1)
        h = np.maximum(h, np.abs(activations.forward(layer.activation, arguments[path][1])))
    dz = np.full((len(X), OUTPUTS), 2.0 / len(X)) + np.abs(reference.values["dy"])
    for path in reversed(range(len(net.layers))):
        sizes[f"{path}.weight"] = inputs[path].T @ dz
        sizes[f"{path}.bias"] = dz.sum(axis=0)
        if path:
            dz = (dz @ np.abs(net.params[f"{path}.weight"].astype(np.float64)).T) * slopes[path - 1]
    return sizes


@pytest.mark.parametrize("loss", LOSSES)
def test_float32_gradients_are_off_by_a_few_eps_of_the_sum_of_sizes(loss):
    """At most 64 eps sum |...|: some 16 roundings per function, through four of them."""
    loss, kind = LOSSES[loss]
    eps = float(np.finfo(np.float32).eps)
    for act in HIDDEN:
        net, X, y, _ = problem([Dense(8, act), Dense(7, act), Dense(OUTPUTS)], loss, kind, dtype="float32")
        computed = net.gradients(X, y, loss=loss)
        program = lower(net.layers, FEATURES, net.params.layout, Task("gradients", loss, kind), ROWS)
        reference = Reference(program, net.params.flat)
        assert computed == pytest.approx(reference.step({"x": X, "target": y}), rel=64 * eps)
        sizes = magnitudes(net, X, reference)
        for name, gradient in net.grads.items():
            expected = reference.values[f"d{name}"].reshape(gradient.shape)
            assert gradient.dtype == np.float32
            assert np.all(np.abs(gradient - expected) <= 64 * eps * sizes[name]), (act, name)
            assert np.abs(gradient).max() > 1e3 * eps * np.abs(expected).max() > 0
