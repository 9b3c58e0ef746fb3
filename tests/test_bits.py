"""The same seed gives the same bits: for any order of work, process, interruption.

Threads, instruction sets, packing, alignment and the rest of the contract: test_contract.py.
"""

import numpy as np
import pytest
from golden import BATCH, GOLDEN, PARTIAL, ROWS, data, digest, network, trained
from helpers import DTYPES, FUSED_LEVELS, needs_fused

import minidl
from minidl import MLP, SGD, kernels, schedules
from minidl.init.streams import Stream


def same(a, b):
    return a.params.flat.tobytes() == b.params.flat.tobytes()


@needs_fused
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_are_those_of_all_machines(dtype):
    """A change here breaks a promise: it needs a new name for the contract and a changelog entry."""
    with kernels.use_isa(FUSED_LEVELS[0]):
        assert digest(trained(dtype, BATCH)) == GOLDEN[dtype]


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


@pytest.mark.parametrize("columns", [3, 11, 784, 1024])
def test_rows_in_place_or_gathered_give_the_same_steps(columns):
    """`train_step` reads a batch where it lies, and so does `fit` if rows are in order and lie well."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, columns)).astype(np.float32), rng.integers(0, 4, size=70)
    order = Stream(0, "shuffle", 0).permutation(len(X))
    nets = [MLP([columns, 8, 4], seed=0) for _ in range(3)]
    options = {"optimizer": SGD(lr=0.05, momentum=0.9), "batch_size": 32, "verbose": 0}
    nets[0].fit(X, y, shuffle=True, **options)
    X, y = X[order], y[order]
    nets[1].fit(X, y, shuffle=False, **options)
    for start in range(0, len(X), 32):
        nets[2].train_step(X[start : start + 32], y[start : start + 32], optimizer=options["optimizer"])
    assert same(nets[0], nets[1])
    assert same(nets[0], nets[2])
    assert nets[0].history["loss"] == nets[1].history["loss"]
    gathers = ["GATHER" in str(net.program) for net in nets]
    assert gathers == [True, columns == 1024, False]


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
