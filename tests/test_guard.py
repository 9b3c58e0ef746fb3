"""GUARD: the largest magnitude of each row, which tells whether a weight gradient may overflow."""

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS
from minidl.engine.program import BAD_LOSS, FINISHED, BoundProgram

from minidl import SGD, Dense, Sequential, kernels, losses, lowering
from minidl.engine.params import ParamStore
from minidl.lowering import Task, lower


def guarded(monkeypatch, X, n_outputs=3, n_threads=1, batch=None):
    """Run a training step over X; return the bounds of layer 0, its dz, and the status."""
    monkeypatch.setattr(lowering, "LARGE_VECTOR", 0)
    monkeypatch.setattr(lowering, "SEARCH_SHARE", float("inf"))
    rows, width = X.shape
    net = Sequential([Dense(n_outputs)], n_inputs=width, seed=1, dtype=X.dtype.name)
    layout = net.params.layout
    program = lower(net.layers, width, layout, Task("train", losses.MSE(), "real"), batch or rows)
    (guard,) = (op for op in program.ops if op.kind.name == "GUARD")
    assert guard.operands["bound"].name == "bound0"
    bound = BoundProgram(program, net.params.flat, ParamStore(layout).flat)
    bound.arenas["work"].fill(np.nan)  # whatever is not written shows
    target = np.random.default_rng(7).normal(size=(rows, n_outputs)).astype(X.dtype)
    bound.lend({"x": X, "target": target})
    results = np.zeros((3, 1))
    _, status = bound.run(rows, 0, 1, results, lr=np.zeros(1), sgd=SGD(lr=1.0), n_threads=n_threads)
    dz = bound.view(guard.operands["dz"].name)[:rows]
    return bound.view("bound0")[:rows].copy(), dz.copy(), status


def largest(x):
    """The largest magnitude of each row by NumPy; inf where the row has a NaN."""
    magnitude = np.abs(x.astype(np.float64)).max(axis=1)
    return np.where(np.isnan(magnitude), np.inf, magnitude)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 15, 17, 31, 33, 63, 64, 65, 127, 129, 257])
def test_bounds_are_those_of_numpy(width, level, dtype, monkeypatch):
    X = np.random.default_rng(width).normal(size=(13, width)).astype(dtype)
    X[3] = 0
    X[4, width // 2] = -1e6
    X[5, -1] = 1e6
    X[6, 0] = -1e6
    with kernels.use_isa(level):
        bounds, dz, status = guarded(monkeypatch, X, n_outputs=width % 20 + 1)
    assert status == FINISHED
    assert np.isfinite(bounds).all()
    assert bounds[:, 0].tolist() == largest(X).tolist()
    assert bounds[:, 1].tolist() == largest(dz).tolist()
    assert bounds[3, 0] == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("width", [1, 5, 16, 33, 100])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_nan_counts_as_infinity_wherever_it_stands(bad, width, level, dtype, monkeypatch):
    """One bad number per row, at every place of it; even rows are good."""
    X = np.random.default_rng(width).normal(size=(2 * width, width)).astype(dtype)
    X[2 * np.arange(width) + 1, np.arange(width)] = bad
    with kernels.use_isa(level):
        bounds, dz, status = guarded(monkeypatch, X)
    assert status == BAD_LOSS
    assert (bounds[1::2, 0] == np.inf).all()
    assert (bounds[1::2, 1] == np.inf).all()
    assert np.isfinite(bounds[::2]).all()
    assert bounds[:, 0].tolist() == largest(X).tolist()
    assert bounds[:, 1].tolist() == largest(dz).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_in_one_row(dtype, monkeypatch):
    X = np.ones((4, 40), dtype)
    X[0, [3, 20]] = np.nan, np.inf
    X[1, [3, 20]] = np.inf, np.nan
    X[2, [3, 4]] = np.nan, 7.0
    bounds, _, _ = guarded(monkeypatch, X)
    assert bounds[:, 0].tolist() == [np.inf, np.inf, np.inf, 1.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 2, 3, 7])
@pytest.mark.parametrize("rows", [1, 2, 5, 50])
def test_every_thread_sees_to_its_rows(rows, n_threads, dtype, monkeypatch):
    """Also where there are fewer rows than threads, and fewer than the program has room for."""
    X = np.random.default_rng(rows).normal(size=(rows, 21)).astype(dtype)
    bounds, dz, status = guarded(monkeypatch, X, n_threads=n_threads, batch=rows + 3)
    assert status == FINISHED
    assert bounds[:, 0].tolist() == largest(X).tolist()
    assert bounds[:, 1].tolist() == largest(dz).tolist()


def test_rows_further_apart_than_they_are_wide(monkeypatch):
    wide = np.random.default_rng(0).normal(size=(12, 40)).astype("float32")
    wide[:, 19:] = np.inf  # what is not in the row does not count
    bounds, _, status = guarded(monkeypatch, wide[::2, :19])
    assert status == FINISHED
    assert bounds[:, 0].tolist() == largest(wide[::2, :19]).tolist()
