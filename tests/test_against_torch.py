"""Training against PyTorch in float64: the same weights, the same batches, the same loss curve."""

import warnings

import numpy as np
import pytest

from minidl import MLP, SGD, Dense, Sequential

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

ROWS, FEATURES, OUTPUTS, BATCH, STEPS = 60, 6, 4, 20, 50

ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "gelu": torch.nn.GELU}
LOSSES = {
    "cross_entropy": torch.nn.CrossEntropyLoss(),
    "mse": torch.nn.MSELoss(),
    "bce": torch.nn.BCEWithLogitsLoss(),
    "huber": torch.nn.HuberLoss(),
}
OPTIMIZERS = {
    "plain": {},
    "weight decay": {"weight_decay": 0.01},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.001},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def data(loss):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, FEATURES))
    if loss == "cross_entropy":
        return X, rng.integers(0, OUTPUTS, ROWS)
    if loss == "bce":
        return X, rng.integers(0, 2, (ROWS, OUTPUTS)).astype(float)
    return X, 2 * rng.normal(size=(ROWS, OUTPUTS))  # huber: errors on both sides of delta


def twin(net):
    """Return a torch network with the same layers and weights (torch keeps W transposed)."""
    modules = []
    for path, layer in enumerate(net.layers):
        linear = torch.nn.Linear(*net.params[f"{path}.weight"].shape, bias=layer.use_bias)
        linear = linear.double()
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(net.params[f"{path}.weight"].T.copy()))
            if layer.use_bias:
                linear.bias.copy_(torch.tensor(net.params[f"{path}.bias"].copy()))
        modules.append(linear)
        if layer.activation.name != "identity":
            modules.append(ACTIVATIONS[layer.activation.name]())
    return torch.nn.Sequential(*modules)


def same_parameters(net, model, rtol):
    linears = [module for module in model if isinstance(module, torch.nn.Linear)]
    for path, linear in enumerate(linears):
        weight = linear.weight.detach().numpy().T
        np.testing.assert_allclose(net.params[f"{path}.weight"], weight, rtol=rtol, atol=rtol)
        if linear.bias is not None:
            bias = linear.bias.detach().numpy()
            np.testing.assert_allclose(net.params[f"{path}.bias"], bias, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_curve_of_fifty_steps(activation, loss, optimizer):
    X, y = data(loss)
    net = MLP([FEATURES, 16, 9, OUTPUTS], activation, seed=3, dtype="float64")
    model = twin(net)
    options = OPTIMIZERS[optimizer]
    lr = 0.05 if "momentum" in options else 0.3
    ours = SGD(lr=lr, **options)
    theirs = torch.optim.SGD(model.parameters(), lr=lr, **options)
    before = net.evaluate(X, y, loss=loss)["loss"]
    for step in range(STEPS):
        rows = slice(step * BATCH % ROWS, step * BATCH % ROWS + BATCH)
        theirs.zero_grad()
        expected = LOSSES[loss](model(torch.tensor(X[rows])), torch.tensor(y[rows]))
        expected.backward()
        theirs.step()
        got = net.train_step(X[rows], y[rows], loss=loss, optimizer=ours)
        assert got == pytest.approx(expected.item(), rel=1e-11), step
    assert net.evaluate(X, y)["loss"] < 0.97 * before  # it learnt: the curve is not a flat line
    same_parameters(net, model, rtol=1e-10)


def test_fit_visits_the_batches_that_torch_is_given():
    """Two epochs of `fit` without shuffling, with a partial last batch."""
    X, y = data("cross_entropy")
    net = MLP([FEATURES, 12, OUTPUTS], "tanh", seed=5, dtype="float64")
    model = twin(net)
    theirs = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sums = []
    for _ in range(2):
        sums.append(0.0)
        for start in range(0, ROWS, 25):  # 25, 25, 10
            xb, yb = torch.tensor(X[start : start + 25]), torch.tensor(y[start : start + 25])
            theirs.zero_grad()
            loss = LOSSES["cross_entropy"](model(xb), yb)
            loss.backward()
            theirs.step()
            sums[-1] += loss.item() * len(xb)
    history = net.fit(
        X, y, optimizer=SGD(lr=0.1, momentum=0.9), epochs=2, batch_size=25, shuffle=False, verbose=0
    )
    np.testing.assert_allclose(history["loss"], np.array(sums) / ROWS, rtol=1e-12)
    same_parameters(net, model, rtol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_of_a_deep_network(activation):
    X, _ = data("mse")
    layers = [Dense(n, activation, use_bias=n != 33) for n in (64, 33, 17, 64)]
    net = Sequential([*layers, Dense(OUTPUTS)], n_inputs=FEATURES, seed=7, dtype="float64")
    rng = np.random.default_rng(1)
    for name, view in net.params.items():
        if name.endswith("bias"):
            view[...] = rng.normal(size=view.shape)
    with torch.no_grad():
        expected = twin(net)(torch.tensor(X))
    assert expected.std() > 0.1
    np.testing.assert_allclose(net.predict(X), expected.numpy(), rtol=1e-12, atol=1e-12)
    probabilities = torch.softmax(expected, dim=1).numpy()
    np.testing.assert_allclose(net.predict_proba(X), probabilities, rtol=1e-12, atol=1e-13)
