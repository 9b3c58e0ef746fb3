"""The update behind each gradient, and the cut of dz W^T by columns: other paths, the same bits."""

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS

from minidl import SGD, Activation, Dense, Sequential, kernels, layers, lowering
from minidl.errors import DivergenceError

OPTIMIZERS = (
    SGD(lr=0.05),
    SGD(lr=0.05, momentum=0.9),
    SGD(lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    SGD(lr=0.05, momentum=0.9, dampening=0.1, weight_decay=1e-3),
)


@pytest.fixture
def fused(monkeypatch):
    """Every network gets the update behind the gradient, and cuts dz W^T by columns."""

    def on(searched=float("inf")):
        monkeypatch.setattr(lowering, "LARGE_VECTOR", 0)
        monkeypatch.setattr(lowering, "LARGE_DZ", float("inf"))
        monkeypatch.setattr(lowering, "SEARCH_SHARE", searched)
        monkeypatch.setattr(layers, "WIDE", 0)

    return on


def network(dtype):
    stack = [Dense(70, "gelu"), Dense(17, "tanh", use_bias=False), Dense(300, "relu"), Activation("silu")]
    return Sequential([*stack, Dense(4)], n_inputs=33, seed=3, dtype=dtype)


def data(dtype, rows=170):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 33)).astype(dtype), rng.integers(0, 4, rows)


def trained(dtype, optimizer, n_threads, batch_size=48):
    net = network(dtype)
    net.fit(
        *data(dtype), optimizer=optimizer, epochs=4, batch_size=batch_size, n_threads=n_threads, verbose=0
    )
    return net


def kinds(net):
    return [op.kind.name for op in net.program.ops]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_same_parameters_velocity_and_gradients(dtype, optimizer, fused):
    plain = trained(dtype, optimizer, 1)
    assert "GUARD" not in kinds(plain)
    fused()
    for level in ISA_LEVELS if plain.params.layout.dtype == "float32" else (kernels.isa(),):
        if level == "portable":
            continue
        for n_threads in (1, 2, 3, 7):
            with kernels.use_isa(level):
                net = trained(dtype, optimizer, n_threads)
            assert kinds(net).count("GUARD") == 4
            assert net.params.flat.tobytes() == plain.params.flat.tobytes(), n_threads
            assert net.grads.flat.tobytes() == plain.grads.flat.tobytes()
            if optimizer.needs_velocity:
                assert net.training.velocity.flat.tobytes() == plain.training.velocity.flat.tobytes()


@pytest.mark.parametrize("n_threads", [1, 3])
def test_one_batch_of_many_rows_and_rows_that_are_left(n_threads, fused):
    """More than one block along the batch (256), blocks of gradients that do not fill the last one."""
    optimizer = OPTIMIZERS[1]
    plain = trained("float32", optimizer, 1, batch_size=160)
    fused()
    net = trained("float32", optimizer, n_threads, batch_size=160)
    assert net.params.flat.tobytes() == plain.params.flat.tobytes()
    wide = [Sequential([Dense(700, "relu"), Dense(5)], n_inputs=900, seed=0) for _ in range(2)]
    X = np.random.default_rng(1).normal(size=(600, 900)).astype("float32")
    y = np.arange(600) % 5
    wide[0].fit(X, y, optimizer=optimizer, epochs=2, batch_size=300, n_threads=n_threads, verbose=0)
    lowering.LARGE_VECTOR = 2**60  # undone by the fixture
    wide[1].fit(X, y, optimizer=optimizer, epochs=2, batch_size=300, n_threads=1, verbose=0)
    assert "GUARD" in kinds(wide[0])
    assert "GUARD" not in kinds(wide[1])
    assert wide[0].params.flat.tobytes() == wide[1].params.flat.tobytes()


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("magnitude", [1e19, 1e25, 1e30, 1e38, np.inf])
def test_training_that_diverges_stops_at_the_same_step_with_the_same_parameters(magnitude, n_threads, fused):
    """Where the guard does not hold, the gradients are looked at one by one before any update."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 20)).astype("float32"), rng.integers(0, 3, 64)
    X[32:48] *= np.float32(magnitude)
    outcomes = []
    for on in (False, True):
        if on:
            fused()
        net = Sequential([Dense(40, "relu"), Dense(30, "relu"), Dense(3)], n_inputs=20, seed=0)
        with pytest.raises(DivergenceError) as error:
            net.fit(X, y, optimizer=SGD(lr=0.01, momentum=0.9), batch_size=16, shuffle=False, epochs=9,
                    n_threads=n_threads, verbose=0, check_finite=False)  # fmt: skip
        assert np.isfinite(net.params.flat).all()
        outcomes.append((str(error.value), net.training.steps, net.params.flat.tobytes()))
        assert ("GUARD" in kinds(net)) == on
    assert outcomes[0] == outcomes[1]


def test_large_but_finite_products_are_trained_without_the_short_way(fused):
    """rows * max |x| * max |dz| says "may overflow", the gradients say "did not"."""
    rng = np.random.default_rng(0)
    X, y = np.zeros((8, 6), "float32"), rng.integers(0, 3, 8)
    X[:, 0] = 1e20 * rng.normal(size=8)
    results = []
    for on in (False, True):
        if on:
            fused()
        net = Sequential([Dense(3)], n_inputs=6, seed=0, init="zeros")
        net.fit(X, np.eye(3, dtype="float32")[y] * 1e19, loss="mse", optimizer=SGD(lr=1e-30), batch_size=8,
                n_threads=1, verbose=0, check_finite=False)  # fmt: skip
        assert ("GUARD" in kinds(net)) == on
        results.append(net.params.flat.tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("widths", "batch_size", "at_once"),
    [
        ([784, 256, 128, 10], 128, True),
        ([784, 256, 128, 10], 256, False),  # more numbers to search than weights
        ([512, 4096, 10], 16, True),
        ([512, 4096, 10], 64, False),  # dz has a megabyte
        ([8, 16, 10], 1, False),  # all vectors are in cache anyway
    ],
)
def test_the_rule_asks_for_many_weights_few_rows_and_a_dz_that_stays_in_cache(widths, batch_size, at_once):
    n_inputs, *hidden, n_outputs = widths
    net = Sequential([*(Dense(n, "relu") for n in hidden), Dense(n_outputs)], n_inputs=n_inputs, seed=0)
    X, y = np.zeros((batch_size, n_inputs), "float32"), np.arange(batch_size) % n_outputs
    net.fit(X, y, batch_size=batch_size, verbose=0)
    assert ("GUARD" in kinds(net)) == at_once


def test_a_smaller_batch_gets_the_update_at_once_though_a_program_is_there():
    net = Sequential([Dense(256, "relu"), Dense(128, "relu"), Dense(10)], n_inputs=784, seed=0)
    X, y = np.zeros((256, 784), "float32"), np.arange(256) % 10
    for batch_size, at_once in [(256, False), (128, True), (100, True), (256, False)]:
        net.fit(X, y, batch_size=batch_size, verbose=0)
        assert ("GUARD" in kinds(net)) == at_once


def test_a_network_without_weights_has_nothing_to_update_at_once():
    net = Sequential([Activation("tanh")], n_inputs=3)
    net.fit(np.ones((4, 3)), np.ones((4, 3)), loss="mse", verbose=0)
    assert "GUARD" not in kinds(net)
