"""The same seed gives the same bits: for any threads, level, batch split, process, interruption."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import DTYPES, FUSED_LEVELS

import minidl
from minidl import MLP, SGD, kernels, schedules

ROWS, EPOCHS = 185, 40
BATCH = 37  # 5 steps per epoch, 200 in all
PARTIAL = 36  # the sixth batch of an epoch has 5 rows

needs_fused = pytest.mark.skipif(
    not FUSED_LEVELS,
    reason="this CPU has no level with fused multiply-add: its bits differ, as show_config() says",
)

# sha256 of the parameters that `trained(dtype, BATCH)` leaves on every level with FMA.
GOLDEN = {
    "float32": "b15b8ea9ff645c19b47057342c9a900460375ce8b8876a3945f7174fe91f5d9a",
    "float64": "44664b3e7d3ed85c7cd902f5e2e148055110b36113fd349124a658676f054308",
}


def data(dtype):
    """Numbers that need no generator and no rounding: the same everywhere."""
    i, j = np.arange(ROWS)[:, None], np.arange(11)[None, :]
    X = ((i * 7919 + j * 104729 + i * j * 31) % 1024) / 256 - 2
    return X.astype(dtype), (np.arange(ROWS) * 5 + np.arange(ROWS) // 3) % 7


def network(dtype):
    layers = [
        minidl.Dense(33, "gelu"),
        minidl.Dense(19, "tanh", use_bias=False),
        minidl.Dense(16),
        minidl.Activation("silu"),
        minidl.Dense(7),
    ]
    return minidl.Sequential(layers, seed=12345, dtype=dtype)


def trained(dtype, batch_size, n_threads=1, epochs=EPOCHS):
    net = network(dtype)
    optimizer = SGD(lr=0.05, momentum=0.9, weight_decay=1e-4)
    X, y = data(dtype)
    net.fit(X, y, optimizer=optimizer, epochs=epochs, batch_size=batch_size, n_threads=n_threads, verbose=0)
    return net


def digest(net):
    """Return the sha256 of the bytes of all parameters, in order, without pads."""
    sha = hashlib.sha256()
    for name, view in net.params.items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(view).astype(view.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()


def same(a, b):
    return a.params.flat.tobytes() == b.params.flat.tobytes()


# --- the machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [BATCH, PARTIAL])
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_levels_do_not_matter(dtype, batch_size):
    expected = trained(dtype, batch_size)
    assert expected.training.steps >= 200
    assert not same(expected, trained(dtype, batch_size, epochs=EPOCHS - 1))
    for n_threads in (2, 3, 5):
        assert same(trained(dtype, batch_size, n_threads), expected), n_threads
    digests = set()
    for level, n_threads in zip(FUSED_LEVELS, (1, 2), strict=False):
        with kernels.use_isa(level):
            digests.add(digest(trained(dtype, batch_size, n_threads)))
    assert len(digests) == (1 if FUSED_LEVELS else 0)


@needs_fused
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_are_those_of_all_machines(dtype):
    """A change here breaks a promise: it needs a new name for the contract and a changelog entry."""
    with kernels.use_isa(FUSED_LEVELS[0]):
        assert digest(trained(dtype, BATCH)) == GOLDEN[dtype]


@needs_fused
def test_level_chosen_by_the_environment():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_bits as t; from minidl import kernels;"
        "print(kernels.isa(), *[t.digest(t.trained(d, t.BATCH)) for d in ('float32', 'float64')])"
    )
    folder = os.path.dirname(os.path.abspath(__file__))
    for level in FUSED_LEVELS:
        done = subprocess.run(
            [sys.executable, "-c", script, folder],
            env={**os.environ, "MINIDL_ISA": level, "PYTHONHASHSEED": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stdout.split() == [level, GOLDEN["float32"], GOLDEN["float64"]]


def test_portable_level_agrees_within_rounding():
    with kernels.use_isa("portable"):
        portable = trained("float64", BATCH, epochs=4)
    other = trained("float64", BATCH, epochs=4)
    np.testing.assert_allclose(portable.params.flat, other.params.flat, rtol=1e-9, atol=1e-12)


# --- the order of work ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_is_predicted_alone_as_in_a_batch(dtype):
    net = trained(dtype, BATCH, epochs=2)
    X = np.concatenate([data(dtype)[0]] * 3)  # more rows than one step of predict takes
    whole = net.predict(X)
    assert len(np.unique(whole)) > ROWS
    for i in (0, 1, 7, 255, 256, 257, len(X) - 1):
        assert net.predict(X[i : i + 1]).tobytes() == whole[i : i + 1].tobytes()
    assert net.predict(X[13:20]).tobytes() == whole[13:20].tobytes()
    assert net.predict(X[::-1]).tobytes() == whole[::-1].tobytes()
    assert net.predict(np.asfortranarray(X)).tobytes() == whole.tobytes()
    wide = np.full((len(X), 30), np.nan, dtype)
    wide[:, 5:16] = X
    assert net.predict(wide[:, 5:16]).tobytes() == whole.tobytes()
    for n_threads in (2, 5):
        assert net.predict(X, n_threads=n_threads).tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_partial_fit_five_times_is_fit_with_five_epochs(dtype, momentum):
    X, y = data(dtype)
    optimizer = SGD(lr=schedules.Cosine(0.1, steps=30), momentum=momentum)
    once, often = network(dtype), network(dtype)
    once.fit(X, y, optimizer=optimizer, epochs=5, batch_size=PARTIAL, verbose=0)
    for _ in range(5):
        often.partial_fit(X, y, optimizer=optimizer, batch_size=PARTIAL)
    assert once.training.steps == often.training.steps == 30
    assert same(once, often)


@pytest.mark.parametrize("dtype", DTYPES)
def test_training_goes_on_from_a_file(dtype, tmp_path):
    X, y = data(dtype)
    options = {"batch_size": PARTIAL, "verbose": 0}
    optimizer = SGD(lr=schedules.Step(0.1, every=11, factor=0.5), momentum=0.9, weight_decay=1e-3)
    whole = network(dtype)
    whole.fit(X, y, loss="cross_entropy", optimizer=optimizer, epochs=4, **options)
    part = network(dtype)
    part.fit(X, y, loss="cross_entropy", optimizer=optimizer, epochs=2, **options)
    part.save(tmp_path / "net.safetensors")
    loaded = minidl.load(tmp_path / "net.safetensors")
    assert same(loaded, part)
    history = loaded.fit(X, y, epochs=2, **options)  # loss and optimizer come from the file
    assert same(loaded, whole)
    assert history["loss"] == whole.history["loss"][2:]
    assert loaded.training.velocity.flat.tobytes() == whole.training.velocity.flat.tobytes()


def test_rows_in_place_or_gathered_give_the_same_step():
    """`train_step` reads the batch where it lies, `fit` gathers it."""
    X, y = data("float32")
    optimizer = SGD(lr=0.05, momentum=0.9)
    by_fit, by_step = network("float32"), network("float32")
    by_fit.fit(X, y, optimizer=optimizer, batch_size=BATCH, shuffle=False, verbose=0)
    by_step.build(X.shape[1])
    for start in range(0, ROWS, BATCH):
        by_step.train_step(X[start : start + BATCH], y[start : start + BATCH], optimizer=optimizer)
    assert same(by_fit, by_step)


def test_weights_do_not_depend_on_dtype_or_on_other_layers():
    narrow, wide = MLP([11, 8, 7], "tanh", seed=1), MLP([11, 8, 7], "tanh", seed=1, dtype="float64")
    for name, view in wide.params.items():
        np.testing.assert_array_equal(view.astype(np.float32), narrow.params[name])
    deeper = MLP([11, 8, 7, 5], "tanh", seed=1)
    np.testing.assert_array_equal(deeper.params["0.weight"], narrow.params["0.weight"])
    assert not np.array_equal(MLP([11, 8, 7], "tanh", seed=2).params.flat, narrow.params.flat)


@pytest.mark.parametrize("first", [16, 64, 100])
@pytest.mark.parametrize("second", [16, 30, 50, 64, 256])
def test_batch_size_of_an_earlier_call_does_not_matter(first, second):
    """Programs are kept between calls: one for larger batches must not serve smaller ones."""
    X, y = data("float32")
    used, fresh = network("float32"), network("float32")
    used.fit(X, y, batch_size=first, verbose=0)
    fresh.build(X.shape[1])
    fresh.params.flat[...] = used.params.flat
    fresh.training.epochs = used.training.epochs
    used.fit(X, y, batch_size=second, verbose=0)
    fresh.fit(X, y, batch_size=second, verbose=0)
    assert used.training.steps - -(-ROWS // first) == fresh.training.steps == -(-ROWS // second)
    assert np.isfinite(used.params.flat).all()
    assert same(used, fresh)
