"""The short way of predict: the same bits and errors as the general path, and never a stale result."""

import concurrent.futures
import copy
import itertools
import math
import pickle
import threading
import time

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS, at_offset
from minidl.engine.predict import ALONE_FLOPS

from minidl import SGD, Activation, Dense, Sequential, kernels, prediction
from minidl.engine.ops import ROWS as BY_ROWS
from minidl.engine.ops import TILES
from minidl.errors import OptionError
from minidl.lowering import Task, lower

WIDTH = 13
NETS = {
    "softmax": lambda: [Dense(16, "relu"), Dense(5, "softmax")],
    "activation first": lambda: [Activation("tanh"), Dense(7)],
    "one layer": lambda: [Dense(3)],
    "no bias": lambda: [Dense(9, "tanh", use_bias=False), Dense(4, use_bias=False)],
    "derivative saved": lambda: [Dense(8, "silu"), Activation("gelu"), Dense(6, "gelu"), Dense(2, "silu")],
    "ends in an activation": lambda: [Dense(8), Activation("sigmoid")],
    "wide for its inputs": lambda: [Dense(40, "relu"), Dense(33, "relu"), Dense(1)],
}
ROWS = (1, 2, 7, 255, 256, 257, 600)


def network(kind="softmax", dtype="float32", first_rows=1):
    """A network that has predicted once, and so has its short way."""
    net = Sequential(NETS[kind](), n_inputs=WIDTH, seed=5, dtype=dtype)
    net.params.flat[...] += np.float32(0.01)  # biases too, and the pads, which nobody reads
    net.predict(inputs(first_rows, dtype))
    assert short_way(net, inputs(2, dtype)) is not None
    return net


def inputs(rows, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(dtype)


def short_way(net, X):
    """What the short way alone gives: None where it leaves X to the general path."""
    return net._small_predictor(X)


def general_path(net, X):
    return net.predict(X, n_threads=2)


# --- bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("first_rows", [1, 2, 256, 300])
def test_the_same_bits_as_the_general_path_and_as_each_row_alone(first_rows, kind, dtype):
    """Whatever the number of rows of the first call, which decides on the memory of the short way."""
    net = network(kind, dtype, first_rows)
    for rows in ROWS:
        X = inputs(rows, dtype, seed=rows)
        expected = general_path(net, X)
        assert short_way(net, X) is not None
        assert net.predict(X).tobytes() == expected.tobytes()
        assert b"".join(net.predict(row).tobytes() for row in X[:, None, :]) == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_near_the_formula(dtype):
    net = network("softmax", dtype)
    X = inputs(20, dtype).astype(np.float64)
    hidden = np.maximum(X @ net.params["0.weight"] + net.params["0.bias"], 0)
    z = hidden @ net.params["1.weight"] + net.params["1.bias"]
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    got = net.predict(X.astype(dtype))
    assert np.abs(got - expected).max() < 50 * np.finfo(dtype).eps


def test_work_that_is_not_small_takes_the_general_path():
    net = Sequential([Dense(200, "relu"), Dense(200)], n_inputs=200, seed=0)
    X = np.random.default_rng(0).normal(size=(600, 200)).astype("float32")
    net.predict(X[:1])
    assert short_way(net, X[:2]) is not None
    assert short_way(net, X) is None
    assert net.predict(X).tobytes() == net.predict(X, n_threads=1).tobytes()


# --- more work than one thread should do alone ----------------------------------------------------

LARGE = (400, 1100, 1100, 70, 5)


def large_network(dtype="float32"):
    """A network of which one row is the work of a team: wide layers, a narrow one, and a softmax."""
    assert 2 * sum(math.prod(pair) for pair in itertools.pairwise(LARGE)) > ALONE_FLOPS
    hidden = [Dense(width, "tanh") for width in LARGE[1:-1]]
    return Sequential([*hidden, Dense(LARGE[-1], "softmax")], n_inputs=LARGE[0], seed=1, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 16, 17])
def test_few_rows_of_wide_layers_are_cut_by_columns_with_the_same_bits(rows, dtype):
    net = large_network(dtype)
    X = np.random.default_rng(rows).normal(size=(rows, LARGE[0])).astype(dtype)
    expected = b"".join(prediction.predict(net, row, n_threads=1)[0].tobytes() for row in X[:, None])
    for n_threads in (1, 2, 3, 8):
        assert net.predict(X, n_threads=n_threads).tobytes() == expected
    net.predict(np.repeat(X, 3, axis=0), n_threads=2)  # its program would do for X too, but cuts rows
    with net.borrow(Task("predict"), rows) as bound:
        assert bound.program.ops[0].cut == (TILES if rows <= 16 else BY_ROWS)
    program = lower(net.layers, LARGE[0], net.params.layout, Task("predict"), rows)
    cuts = [op.cut for op in program.ops]
    assert cuts == ([TILES] * 3 + [BY_ROWS, BY_ROWS] if rows <= 16 else [BY_ROWS] * 5)
    assert program.barriers() == [False, *(TILES in pair for pair in itertools.pairwise(cuts))]


def test_one_row_of_a_large_network_takes_the_short_way_with_a_team():
    net = large_network()
    X = np.random.default_rng(0).normal(size=(1, LARGE[0])).astype("float32")
    expected = net.predict(X, n_threads=2).tobytes()
    net.predict(X)
    for limit in (1, 2, 5):
        kernels.set_num_threads(limit)
        for _ in range(20):
            assert short_way(net, X).tobytes() == net.predict(X, n_threads=1).tobytes() == expected


@pytest.mark.parametrize("limit", [1, 2])
def test_python_threads_that_predict_at_once_do_not_share_the_short_way(limit, monkeypatch):
    """While it runs without the GIL, it leaves others to the general path.

    They may come whenever Python code runs: here, while the short way asks for the limit.
    """
    net, n_threads = large_network(), 4
    X = np.random.default_rng(0).normal(size=(n_threads, 1, LARGE[0])).astype("float32")
    expected = [net.predict(x, n_threads=1).tobytes() for x in X]
    assert len(set(expected)) == n_threads

    def slow_limit():
        time.sleep(1e-4)
        return limit, "test"

    monkeypatch.setattr(kernels.threads, "limit", slow_limit)

    def same(i):
        return all(net.predict(X[i]).tobytes() == expected[i] for _ in range(50))

    with concurrent.futures.ThreadPoolExecutor(n_threads) as pool:
        assert all(pool.map(same, range(n_threads)))


# --- inputs that need the general path ------------------------------------------------------------


class Labelled(np.ndarray):
    """A subclass of which nobody knows what its operators do."""


def spread(X):
    """Equal columns, with other numbers between them."""
    wide = np.full((len(X), 2 * WIDTH), 9, X.dtype)
    wide[:, ::2] = X
    return wide[:, ::2]


GENERAL = {
    "lists": lambda X: X.tolist(),
    "list of rows": lambda X: list(X),
    "other float": lambda X: X.astype("float64" if X.dtype == "float32" else "float32"),
    "half": lambda X: X.astype("float16"),
    "Fortran order": np.asfortranarray,
    "strided columns": spread,
    "columns backwards": lambda X: X[:, ::-1],
    "rows backwards": lambda X: X[::-1],
    "one row for all": lambda X: np.broadcast_to(X[:1], X.shape),
    "1-D": lambda X: X[0],
    "0-D": lambda X: X[0, 0],
    "3-D": lambda X: X[None],
    "too narrow": lambda X: X[:, 1:],
    "too wide": lambda X: np.hstack([X, X]),
    "no columns": lambda X: X[:, :0],
    "no rows": lambda X: X[:0],
    "subclass": lambda X: X.view(Labelled),
    "matrix": np.asmatrix,
    "masked array": np.ma.masked_array,
    "misaligned": lambda X: at_offset(X, 1),
    "byteswapped": lambda X: X.astype(X.dtype.newbyteorder()),
    "ints": lambda X: (10 * X).astype(int),
    "small ints": lambda X: (10 * X).astype("int8"),
    "booleans": lambda X: X > 0,
    "complex": lambda X: X.astype(complex),
    "objects": lambda X: X.astype(object),
    "texts": lambda X: X.astype(str),
    "None": lambda X: None,
    "number": lambda X: 3.0,
    "text": lambda X: "X",
    "ragged": lambda X: [[1.0] * WIDTH, [1.0]],
}
SHORT = {
    "as it is": lambda X: X,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "columns of a wider array": lambda X: np.hstack([X, X, X])[:, WIDTH : 2 * WIDTH],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "aligned to no more than a number": lambda X: at_offset(X, X.itemsize),
}


def outcome(net, X):
    try:
        output = net.predict(X)
    except Exception as error:
        return type(error), str(error)
    assert type(output) is np.ndarray
    return output.tobytes(), output.dtype, output.shape


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", GENERAL)
def test_other_inputs_give_what_they_give_without_a_short_way(form, dtype):
    net = network(dtype=dtype)
    fresh = copy.deepcopy(net)
    assert fresh._small_predictor is None
    X = GENERAL[form](inputs(6, dtype))
    assert short_way(net, X) is None
    for _ in range(2):
        assert outcome(net, X) == outcome(copy.deepcopy(fresh), X)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", SHORT)
def test_arrays_that_need_no_preparation_take_the_short_way(form, dtype):
    net = network(dtype=dtype)
    fresh = copy.deepcopy(net)
    X = inputs(6, dtype)
    assert short_way(net, SHORT[form](X)) is not None
    assert outcome(net, SHORT[form](X)) == outcome(fresh, X)


@pytest.mark.parametrize("form", ["rows backwards", "strided columns", "Fortran order", "misaligned"])
def test_forms_with_equal_numbers_give_equal_bits(form):
    net, X = network(), inputs(6)
    converted = GENERAL[form](X)
    assert net.predict(converted).tobytes() == net.predict(np.ascontiguousarray(converted)).tobytes()


@pytest.mark.parametrize("n_threads", [None, 1, 2])
@pytest.mark.parametrize("rows", [1, 4, 30, 300])
@pytest.mark.parametrize("call", ["predict", "evaluate", "gradients", "train_step"])
def test_equal_rows_at_other_distances(call, rows, n_threads):
    """One call after the other on as many rows, which lie closer together or further apart."""
    X, y = inputs(rows), np.arange(rows) % 5
    forms = [X, np.repeat(X, 2, axis=0)[::2], np.hstack([X, X, X])[:, WIDTH : 2 * WIDTH], X.copy()]
    fixed = {} if call == "predict" else {"y": y}

    def result(net, form):
        got = getattr(net, call)(form, **fixed, n_threads=n_threads)
        tensors = (got if call == "predict" else np.float64(0), net.grads.flat, net.params.flat)
        return [repr(got), *(tensor.tobytes() for tensor in tensors)]

    net = Sequential([Dense(40, "relu"), Dense(5)], n_inputs=WIDTH, seed=5)
    twin = copy.deepcopy(net)
    for form in forms * 2:
        assert result(net, form) == result(twin, X)


def test_one_column():
    """Where the distance of columns means nothing, as that of rows does for one row."""
    net = Sequential([Dense(4, "tanh"), Dense(2)], n_inputs=1, seed=0)
    X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    expected = net.predict(X[:, :1].copy())
    assert net.predict(X[:, :1]).tobytes() == expected.tobytes()
    assert net.predict(X[:, :1].copy()).tobytes() == expected.tobytes()
    assert net.predict(np.asfortranarray(X)[:, :1]).tobytes() == expected.tobytes()
    assert net.predict(X[::-3, :1]).tobytes() == expected[::-3].tobytes()


def test_options_are_heard():
    net, X = network(), inputs(3)
    X[1, 1] = np.nan
    with pytest.raises(ValueError, match="X"):
        net.predict(X, check_finite=True)
    with pytest.raises(ValueError, match="n_threads"):
        net.predict(X, n_threads=0)


# --- the result -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_result_is_an_array_of_its_own(dtype):
    net, X, other = network(dtype=dtype), inputs(4, dtype), inputs(4, dtype, seed=1)
    first = net.predict(X)
    kept = first.tobytes()
    second = net.predict(other)
    assert first.tobytes() == kept != second.tobytes()
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, X)
    for result in (first, second):
        assert type(result) is np.ndarray
        assert result.shape == (4, 5)
        assert result.dtype == dtype
        assert result.dtype.isnative
        assert result.flags.c_contiguous
        assert result.flags.writeable
        assert result.flags.owndata
        assert result.flags.aligned
    first[...] = 0
    assert net.predict(X).tobytes() == kept


def test_the_input_is_left_alone():
    """Also by an activation that comes first, which could work in place."""
    for kind in NETS:
        net, X = network(kind), inputs(5)
        before = X.tobytes()
        net.predict(X)
        assert X.tobytes() == before


# --- what changes the network ---------------------------------------------------------------------


def same_as_general(net, X):
    """Predict by the short way, twice, and by the general path: one result."""
    results = {net.predict(X).tobytes(), net.predict(X).tobytes(), general_path(net, X).tobytes()}
    assert short_way(net, X) is not None
    assert len(results) == 1
    return results.pop()


@pytest.mark.parametrize("kind", NETS)
def test_results_follow_the_parameters(kind):
    net, X = network(kind), inputs(5)
    seen = {same_as_general(net, X)}
    name = next(name for name in net.params if name.endswith("weight"))
    net.params.flat[...] *= np.float32(1.5)
    seen.add(same_as_general(net, X))
    net.params[name] = net.params[name][::-1].copy()
    seen.add(same_as_general(net, X))
    net.train_step(X, np.ones((5, net.n_outputs), "float32"), loss="mse", optimizer=SGD(lr=0.1))
    seen.add(same_as_general(net, X))
    net.reset()
    seen.add(same_as_general(net, X))
    net.reset(seed=77)
    seen.add(same_as_general(net, X))
    assert len(seen) == 6


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_predict_with_their_own_parameters(again):
    net, X = network(), inputs(5)
    before = same_as_general(net, X)
    twin = again(net)
    assert same_as_general(twin, X) == before
    twin.params.flat[...] *= np.float32(2)
    changed = same_as_general(twin, X)
    assert changed != before
    assert same_as_general(net, X) == (changed if again is copy.copy else before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_level_of_instructions_is_obeyed(dtype):
    """Bits of one level never come from a short way made at another."""
    X = inputs(50, dtype)
    net = network("wide for its inputs", dtype)
    bits = {}
    for level in (*ISA_LEVELS, *reversed(ISA_LEVELS)):
        with kernels.use_isa(level):
            got = net.predict(X).tobytes()
            assert got == general_path(net, X).tobytes() == same_as_general(net, X)
            assert bits.setdefault(level, got) == got
            fresh = pickle.loads(pickle.dumps(net))
            assert fresh.predict(X, n_threads=1).tobytes() == got
    assert same_as_general(net, X) == bits[kernels.isa()]


# --- threads, special numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["softmax", "derivative saved"])
def test_four_threads_at_once(kind):
    net = network(kind)
    inputs_of = [inputs(rows, seed=rows) for rows in (1, 3, 64, 300)]
    expected = [general_path(net, X).tobytes() for X in inputs_of]
    barrier, wrong = threading.Barrier(4), []

    def work(own):
        barrier.wait()
        for turn in range(400):
            which = (own + turn) % 4
            # every eighth call takes the general path, so that both ways run at once
            X = inputs_of[which].tolist() if turn % 8 == 0 else inputs_of[which]
            if net.predict(X).tobytes() != expected[which]:
                wrong.append((own, turn))

    workers = [threading.Thread(target=work, args=(own,)) for own in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row(bad, kind, dtype):
    net, X = network(kind, dtype), inputs(9, dtype)
    clean = net.predict(X)
    X[[2, 7], [0, WIDTH - 1]] = bad
    got = net.predict(X)
    good = [0, 1, 3, 4, 5, 6, 8]
    assert got[good].tobytes() == clean[good].tobytes()
    if np.isnan(bad):
        assert np.isnan(got[[2, 7]]).all()
    assert np.array_equal(got, general_path(net, X), equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NETS)
def test_subnormal_inputs_give_the_same_bits_on_both_ways(kind, dtype):
    net, X = network(kind, dtype), inputs(9, dtype)
    tiny = np.finfo(dtype).tiny
    X[::2] *= tiny  # around the smallest normal number, some below
    X[1] = tiny / 4
    X[3, ::2] = -tiny / 2
    assert same_as_general(net, X) == b"".join(net.predict(row[None]).tobytes() for row in X)


def test_the_short_way_is_made_once_and_serves_whatever_is_little_work(monkeypatch):
    """One thread asked for, features of another dtype, a look at every number: none makes it again."""
    net = network()
    expected = net.predict(inputs(2))
    made = []
    monkeypatch.setattr(prediction, "lower", lambda *args: made.append(args) or lower(*args))
    monkeypatch.setattr(prediction, "predict", None)  # the general path
    X = inputs(2)
    for options in ({}, {"n_threads": 1}, {"check_finite": True}):
        for features in (X, X.astype(np.float64), X.tolist(), np.asfortranarray(X)):
            np.testing.assert_array_equal(net.predict(features, **options), expected)
    monkeypatch.undo()
    monkeypatch.setattr(prediction, "lower", lambda *args: made.append(args) or lower(*args))
    np.testing.assert_array_equal(net.predict(X, n_threads=2), expected)  # as many as were asked for
    np.testing.assert_array_equal(net.predict(inputs(600))[:0], expected[:0])
    assert made == []
    for bad in (True, 1.0, "1"):
        with pytest.raises(OptionError, match="n_threads"):
            net.predict(X, n_threads=bad)


def test_another_instruction_set_level_gets_a_short_way_of_its_own():
    net = network()
    for level in (*ISA_LEVELS, ISA_LEVELS[0]):
        with kernels.use_isa(level):
            net.predict(inputs(2))
            assert not net._small_predictor.is_stale()
            assert short_way(net, inputs(2)) is not None
