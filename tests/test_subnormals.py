"""Inside a run subnormal numbers count as zero; outside, and for the caller afterwards, they do not."""

import platform
import signal
import sys
import threading

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS, needs_openmp

from minidl import MLP, SGD, Activation, Dense, Sequential, kernels
from minidl.errors import DivergenceError

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64", "aarch64", "arm64") or sys.maxsize < 2**32,
    reason="flushing is written for 64-bit x86 and ARM",
)

# Products and numbers below the smallest normal one; the factors are read at run time.
FACTORS = {"float32": ("1e-38", "0.1", "1e-40"), "float64": ("1e-308", "0.1", "1e-310")}
THREADS = [1, pytest.param(2, marks=needs_openmp)]


def keeps_subnormals():
    """True if arithmetic of this thread neither flushes results to zero nor takes operands as zero."""
    kept = []
    for dtype, words in FACTORS.items():
        a, b, c = (np.dtype(dtype).type(word) for word in words)
        normal = np.full(16, np.finfo(dtype).tiny)  # in vectors as well
        kept += [a * b != 0, c * np.dtype(dtype).type(2) != 0, (normal * b != 0).all()]
        kept.append((np.full(16, c) * np.full(16, 2, dtype) != 0).all())
    assert len(set(kept)) == 1, kept
    return bool(kept[0])


@pytest.fixture(autouse=True)
def _the_caller_keeps_them():
    assert keeps_subnormals()
    yield
    assert keeps_subnormals()


def data(rows=64, width=6, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, width)).astype(dtype), rng.integers(0, 3, rows)


# --- the state of the caller ----------------------------------------------------------------------


def fit(net, X, y, n_threads):
    net.fit(X, y, validation_data=(X, y), batch_size=16, epochs=3, verbose=0, n_threads=n_threads)


CALLS = {
    "fit": fit,
    "train_step": lambda net, X, y, n: net.train_step(X, y, n_threads=n),
    "gradients": lambda net, X, y, n: net.gradients(X, y, n_threads=n),
    "evaluate": lambda net, X, y, n: net.evaluate(X, y, n_threads=n),
    "predict": lambda net, X, y, n: net.predict(X, n_threads=n),
    "predict, one row": lambda net, X, y, n: net.predict(X[:1], n_threads=n),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [None, *THREADS])
@pytest.mark.parametrize("call", CALLS)
def test_the_state_of_the_caller_comes_back(call, n_threads, dtype):
    net = MLP([6, 8, 3], "gelu", seed=0, dtype=dtype)
    for _ in range(3):
        CALLS[call](net, *data(dtype=dtype), n_threads)
        assert keeps_subnormals()


def test_the_short_way_of_predict_gives_the_state_back():
    net, (X, _) = MLP([6, 8, 3], seed=0), data()
    net.predict(X)
    assert net._small_predictor(X) is not None
    assert keeps_subnormals()


@pytest.mark.parametrize("n_threads", THREADS)
def test_after_a_divergence(n_threads):
    """At a loss, at a gradient, at an update; the first also looks for the op step by step."""
    X, y = data()
    targets = np.eye(3, dtype="float32")[y] * 100
    cases = [(X * 1e30, targets * 1e30, SGD(lr=0.1), "loss"), (X * 100, targets, SGD(lr=1e38), "update")]
    for inputs, wanted, optimizer, words in cases:
        net = MLP([6, 8, 3], seed=0)
        with pytest.raises(DivergenceError, match=words):
            net.fit(inputs, wanted, loss="mse", optimizer=optimizer, verbose=0, n_threads=n_threads)
        assert keeps_subnormals()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer of POSIX")
@pytest.mark.parametrize("n_threads", THREADS)
@pytest.mark.parametrize(("width", "rows"), [(8, 50), (1024, 4000)], ids=["short steps", "one long step"])
def test_after_an_interruption_and_in_the_handler(width, rows, n_threads):
    """The handler runs in the middle of a long step, or between short ones: it has the caller's state."""
    net = MLP([6, width, width, 3], seed=0)
    seen = []

    def handler(number, frame):
        seen.append(keeps_subnormals())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            net.fit(*data(rows), batch_size=rows, epochs=10**6, verbose=0, n_threads=n_threads)
        seen.append(keeps_subnormals())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [True, True]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer of POSIX")
@pytest.mark.parametrize("n_threads", THREADS)
def test_after_a_handler_the_run_flushes_again(n_threads):
    """Long steps with many signals give exactly 0, where without flushing the loss would be about 1e-14."""
    rows, width = 1500, 1024
    net = MLP([64, width, width, 3], seed=0)
    X, _ = data(rows, 64)
    for name in net.params:
        if not name.startswith("2"):
            net.params[name] = 1e-40
    net.params["2.weight"] = 1e30
    net.params["2.bias"] = 0
    assert kernels.matmul(net.params["1.bias"][None], net.params["2.weight"]).all()
    calls = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(keeps_subnormals()))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        for _ in range(5):
            loss = net.gradients(X, np.zeros((rows, 3), "float32"), loss="mse", n_threads=n_threads)
            assert loss == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert calls
    assert all(calls)


@pytest.mark.parametrize("call", CALLS)
def test_in_threads_of_the_caller(call):
    X, y = data()
    kept = []

    def work():
        net = MLP([6, 8, 3], seed=0)
        kept.append(keeps_subnormals())
        for n_threads in (None, 1, 2):
            CALLS[call](net, X, y, n_threads)
            kept.append(keeps_subnormals())

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert kept == [True] * 12


# --- what a run computes --------------------------------------------------------------------------

STACKS = {
    "dense": lambda: [Dense(3)],
    "deep": lambda: [Dense(9, "relu"), Dense(8, "gelu"), Dense(3)],
    "softmax": lambda: [Dense(17, "tanh"), Dense(3, "softmax")],
    "activation first": lambda: [Activation("silu"), Dense(5)],
}


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
def test_subnormal_weights_predict_what_zeros_predict(stack, dtype, level):
    X = data(dtype=dtype)[0] * 100
    with kernels.use_isa(level):
        net = Sequential(STACKS[stack](), n_inputs=6, seed=0, dtype=dtype)
        net.params.flat[...] = 0
        zeros = net.predict(X, n_threads=1)
        net.params.flat[...] = float(FACTORS[dtype][2])
        assert (net.params.flat != 0).all()
        for n_threads in (1, 2, 3):
            assert net.predict(X, n_threads=n_threads).tobytes() == zeros.tobytes()
        net.predict(X)
        assert net._small_predictor(X).tobytes() == zeros.tobytes()
        assert net.predict(X[:1]).tobytes() == zeros[:1].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", THREADS)
def test_subnormal_products_and_inputs_are_zero_in_a_run(n_threads, dtype):
    """Of results as of operands: identity weights make the output the input."""
    net = Sequential([Dense(4, use_bias=False)], n_inputs=4, seed=0, dtype=dtype)
    net.params["0.weight"] = np.eye(4)
    tiny = np.finfo(dtype).tiny
    X = np.array([[tiny, -tiny, tiny / 2, -tiny / 4]] * 5, dtype)
    expected = np.array([[tiny, -tiny, 0, 0]] * 5, dtype)
    assert np.array_equal(net.predict(X, n_threads=n_threads), expected)
    net.predict(X)
    assert np.array_equal(net.predict(X), expected)
    net.params["0.weight"] = np.eye(4) / 2  # normal operands, subnormal results
    assert not net.predict(X, n_threads=n_threads).any()
    assert not net.predict(X).any()


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", THREADS)
def test_matmul_alone_keeps_them_also_after_a_run(n_threads, dtype, level):
    """The members of a team have a state of their own, which a run must give back as well."""
    with kernels.use_isa(level):
        net, (X, y) = MLP([6, 8, 3], seed=0, dtype=dtype), data(dtype=dtype)
        net.fit(X, y, verbose=0, n_threads=n_threads)
        small = np.dtype(dtype).type(FACTORS[dtype][2])
        a = np.zeros((300, 40), dtype)
        a[:, 0] = small
        got = kernels.matmul(a, np.ones((40, 50), dtype), n_threads=n_threads)
    assert (got == small).all()
    assert small != 0
