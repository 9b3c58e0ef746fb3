"""One infinite number in a weight gradient is found, wherever it stands, before anything is updated."""

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS
from minidl.engine.program import BAD_GRADIENT, FINISHED, BoundProgram

from minidl import SGD, Dense, Sequential, kernels, losses, lowering
from minidl.engine.params import ParamStore
from minidl.lowering import Task, lower

SHAPES = [  # rows of the batch, fan_in, fan_out: of the weight gradient x^T dz,
    (20, 64, 10),  # with its roles swapped
    (3, 1, 140_000),  # a single row
    (300, 20, 33),  # two blocks of 256 rows of the batch
    (32, 300, 10),  # many rows
    (5, 3, 700),  # cut by columns
    (1, 1, 1),
]


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("level", ISA_LEVELS)
def test_one_infinite_element(level, dtype, shape, n_threads, guarded, monkeypatch):
    """From zero weights, dz = -2 target / (rows fan_out): finite, as the loss is, while x dz overflows."""
    monkeypatch.setattr(lowering, "LARGE_VECTOR", 0 if guarded else float("inf"))
    monkeypatch.setattr(lowering, "LARGE_DZ", float("inf"))
    monkeypatch.setattr(lowering, "SEARCH_SHARE", float("inf"))
    rows, fan_in, fan_out = shape
    with kernels.use_isa(level):
        net = Sequential([Dense(fan_out, init="zeros")], n_inputs=fan_in, dtype=dtype)
        layout = net.params.layout
        program = lower(net.layers, fan_in, layout, Task("train", losses.MSE(), "real"), rows + 2)
        assert ("GUARD" in [op.kind.name for op in program.ops]) == guarded
        bound = BoundProgram(program, net.params.flat, ParamStore(layout).flat)
        X, target = np.zeros((rows, fan_in), dtype), np.zeros((rows, fan_out), dtype)
        bound.lend({"x": X, "target": target})

        def status():
            results = np.zeros((3, 1))
            return bound.run(rows, 0, 1, results, lr=np.ones(1), sgd=SGD(lr=1.0), n_threads=n_threads)[1]

        rng = np.random.default_rng(fan_out)
        places = {(0, 0), (0, fan_out - 1), (fan_in - 1, 0), (fan_in - 1, fan_out - 1)}
        places |= {(int(rng.integers(fan_in)), int(rng.integers(fan_out))) for _ in range(8)}
        for i, j in places:
            row = int(rng.integers(rows))
            X[row, i], target[row, j] = 0.9 * np.finfo(dtype).max, -1000.0 * rows * fan_out
            assert status() == BAD_GRADIENT
            assert not net.params.flat.any()
            np.testing.assert_array_equal(np.argwhere(~np.isfinite(bound.view("d0.weight"))), [[i, j]])
            X[row, i] = target[row, j] = 0
        assert status() == FINISHED
