"""The outputs of a network for checked data, and the probabilities that they stand for."""

from __future__ import annotations

import numpy as np

from minidl import kernels
from minidl.engine.predict import SmallPredictor, most_rows
from minidl.engine.program import BoundProgram
from minidl.errors import OptionError
from minidl.lowering import Task, lower
from minidl.training import EVALUATION_BATCH


def predict(net, x: np.ndarray, n_threads: int | None = None) -> tuple[np.ndarray, float]:
    """Return the outputs for features that fit the network, and the operations for each row.

    Examples
    --------
    >>> net = minidl.MLP([2, 3], init="ones", seed=0)
    >>> predict(net, np.ones((1, 2), np.float32))
    (array([[2., 2., 2.]], dtype=float32), 12.0)
    """
    n_rows = len(x)
    batch = min(n_rows, EVALUATION_BATCH)
    output = np.empty((n_rows, net.n_outputs), net.dtype)
    n_steps = -(-n_rows // batch)
    with net.borrow(Task("predict"), batch) as bound:
        bound.lend({"x": x, "output": output})
        done = 0
        while done < n_steps:
            done, _ = bound.run(n_rows, done, n_steps, None, n_threads=n_threads)
        return output, bound.program.flops(1)


def small_predictor(net, n_rows: int, flops: float) -> SmallPredictor | None:
    """Return a short way for predictions of so many rows, if these are little work, and for more of them.

    Parameters
    ----------
    net : Sequential
    n_rows : int
    flops : float
        Operations for each row.

    Examples
    --------
    >>> net = minidl.MLP([2, 3], init="ones", seed=0)
    >>> small_predictor(net, 1, 12.0)(np.ones((4, 2), np.float32)).shape
    (4, 3)
    >>> small_predictor(net, 10**9, 12.0) is None
    True
    """
    rows = most_rows(flops)
    if n_rows > rows:
        return None
    batch = min(EVALUATION_BATCH, rows)
    program = lower(net.layers, net.n_inputs, net.params.layout, Task("predict"), batch)
    return SmallPredictor(BoundProgram(program, net.params.flat), net.n_inputs, net.n_outputs)


def probabilities(net, output: np.ndarray) -> np.ndarray:
    """Return probabilities in the place of the outputs; see :meth:`minidl.Sequential.predict_proba`.

    Examples
    --------
    >>> net = minidl.MLP([2, 1], seed=0)
    >>> probabilities(net, np.array([[0.0]]))
    array([[0.5]])
    """
    trained_with = net.training.loss
    link = trained_with.link if trained_with else "softmax" if net.n_outputs > 1 else "sigmoid"
    if link == "identity":
        raise OptionError(
            f"predict_proba: the network was trained with loss={trained_with.name!r}, whose outputs "
            "are not probabilities; use predict."
        )
    last = net.layers[-1].activation
    if last is not None and last.name == link:
        return output
    if link == "softmax":
        return kernels.softmax(output, out=output)
    return kernels.activation(link, output, out=output)
