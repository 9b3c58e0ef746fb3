"""GATHER: the rows of a batch, picked from the data by an index list, against NumPy's indexing."""

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS
from minidl.engine.program import FINISHED, BoundProgram

from minidl import Dense, Sequential, kernels, losses
from minidl.engine.params import ParamStore
from minidl.lowering import Task, lower


def gathered(X, labels, index, batch, n_threads=1):
    """Run a pass over the rows of an index list; yield each batch of x and labels as the program saw it."""
    width = X.shape[1]
    net = Sequential([Dense(2)], n_inputs=width, seed=0, dtype=X.dtype.name)
    layout = net.params.layout
    task = Task("gradients", losses.CrossEntropy(), "label", gather=True)
    program = lower(net.layers, width, layout, task, batch)
    bound = BoundProgram(program, net.params.flat, ParamStore(layout).flat)
    bound.lend({"x": X, "target": labels})
    n_steps = -(-len(index) // batch)
    for step in range(n_steps):
        bound.arenas["work"].fill(7)  # whatever is not written shows
        _, status = bound.run(
            len(index), step, step + 1, np.zeros((3, n_steps)), index=index, n_threads=n_threads
        )
        assert status == FINISHED
        rows = min(batch, len(index) - step * batch)
        yield bound.view("x rows")[:rows].copy(), bound.view("target rows")[:rows, 0].copy()


@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 255, 256, 257, 300, 784])
def test_rows_are_those_of_numpy(width, dtype, level, n_threads):
    rng = np.random.default_rng(width)
    X = rng.normal(size=(40, width)).astype(dtype)
    labels = rng.integers(0, 2, (40, 1))
    index = np.concatenate([rng.permutation(40), [0, 39, 39, 5, 5, 5, 0]])  # some rows again
    with kernels.use_isa(level):
        for batch in (1, 2, 5, 16, 47, 64):
            found = list(gathered(X, labels, index, batch, n_threads))
            assert np.array_equal(np.concatenate([x for x, _ in found]), X[index])
            assert np.array_equal(np.concatenate([target for _, target in found]), labels[index, 0])


@pytest.mark.parametrize("width", [3, 16, 100])
def test_rows_of_a_wider_array(width):
    whole = np.random.default_rng(0).normal(size=(24, 128)).astype("float32")
    X = whole[:, 5 : 5 + width]  # neither aligned nor contiguous
    index = np.array([23, 0, 7, 7, 1])
    ((rows, _),) = gathered(X, np.zeros((24, 1), np.int64), index, 5)
    assert np.array_equal(rows, X[index])
