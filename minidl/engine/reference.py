"""The oracle: the same programs, run in NumPy float64 by the obvious formulas.

Slow on purpose. Each op is a few lines that a reader can check against a textbook; the tests play this
interpreter against the executor of :mod:`minidl.engine.program`, op by op.
"""

from __future__ import annotations

import numpy as np

from minidl import activations
from minidl.engine.builder import Op, Program


class Reference:
    """Runs a program in NumPy float64.

    Parameters
    ----------
    program : Program
    params, grads, velocity : ndarray
        Flat vectors; copied to float64 and kept.

    Attributes
    ----------
    flat : dict of str to ndarray
        The flat vectors "param", "grad" and "state".
    values : dict of str to ndarray
        Every buffer of the last step, by name.
    """

    def __init__(self, program: Program, params, grads=None, velocity=None):
        size = program.layout.size
        self.program = program
        self.flat = {
            arena: np.zeros(size) if vector is None else np.array(vector, np.float64)
            for arena, vector in (("param", params), ("grad", grads), ("state", velocity))
        }
        self.values: dict[str, np.ndarray] = {}
        # act'(z) by the name of the buffer that the backward pass will call "saved"
        self.derivatives: dict[str, np.ndarray] = {}

    def step(self, lent: dict, index=None, lr: float = 0.0, sgd=None, first_update: bool = False) -> float:
        """Run one step and return the loss of the batch.

        Parameters
        ----------
        lent : dict of str to ndarray
            The bound buffers; with an index, the whole source arrays.
        index : ndarray of int, optional
            Rows of the batch.
        lr, sgd, first_update
            Learning rate, optimizer and whether the velocity holds nothing yet.
        """
        self.lent = lent
        self.index = index
        self.lr, self.sgd, self.first_update = lr, sgd, first_update
        self.values = {}
        self.loss = float("nan")
        for name in self.program.layout.shapes:
            self.values[name] = self._view("param", name)
        for op in self.program.ops:
            FUNCTIONS[op.kind.name](self, op)
        return self.loss

    def _view(self, arena: str, name: str) -> np.ndarray:
        return self.program.layout.view(self.flat[arena], name)

    def read(self, op: Op, operand: str) -> np.ndarray | None:
        """Return the value of an operand, or None if the op does not have it."""
        buffer = op.operands.get(operand)
        if buffer is None:
            return None
        if buffer.name in self.values:
            return self.values[buffer.name]
        return np.asarray(self.lent[buffer.name])

    def write(self, op: Op, operand: str, value: np.ndarray) -> None:
        """Store a result under the name of its buffer; gradients also go to the flat vector."""
        buffer = op.operands.get(operand)
        if buffer is None:
            return
        self.values[buffer.name] = value
        if buffer.arena == "grad":
            self._view("grad", buffer.name[1:])[...] = value


def _act(run: Reference, op: Op, z: np.ndarray) -> None:
    """Write y = act(z) and keep act'(z) for the backward pass."""
    spec = op.attributes["activation"]
    derivative = activations.derivative(spec, z)
    run.write(op, "y", activations.forward(spec, z))
    run.write(op, "d", derivative)
    saved = op.operands.get("d", op.operands["y"])
    run.derivatives[saved.name] = derivative


def gather(run: Reference, op: Op) -> None:
    """Take the rows of the batch from the source."""
    source = np.asarray(run.lent[op.operands["source"].name])
    rows = source[run.index]
    run.write(op, "y", rows if rows.dtype == np.int64 else rows.astype(np.float64))


def dense(run: Reference, op: Op) -> None:
    """Compute y = act(x W + b)."""
    z = np.asarray(run.read(op, "x"), np.float64) @ run.read(op, "weight")
    bias = run.read(op, "bias")
    _act(run, op, z if bias is None else z + bias)


def activation(run: Reference, op: Op) -> None:
    """Compute y = act(x)."""
    _act(run, op, np.asarray(run.read(op, "x"), np.float64))


def softmax(run: Reference, op: Op) -> None:
    """Compute y = softmax(x)."""
    x = run.read(op, "x")
    e = np.exp(x - x.max(axis=1, keepdims=True))
    run.write(op, "y", e / e.sum(axis=1, keepdims=True))


def loss(run: Reference, op: Op) -> None:
    """Compute the loss of each row and its gradient."""
    target, weight = run.read(op, "target"), run.read(op, "weight")
    weight = None if weight is None else weight.reshape(-1)
    target = target.reshape(-1) if target.dtype == np.int64 else target
    rows, gradient = op.attributes["function"].reference(run.read(op, "z"), target, weight)
    total = len(rows) if weight is None else weight.sum()
    weighted = rows if weight is None else rows * weight
    run.loss = float(weighted.sum() / total)
    run.write(op, "row_loss", weighted)
    run.write(op, "dz", gradient)


def activation_grad(run: Reference, op: Op) -> None:
    """Compute dz = dy * act'(z)."""
    run.write(op, "dz", run.read(op, "dy") * run.derivatives[op.operands["saved"].name])


def softmax_grad(run: Reference, op: Op) -> None:
    """Compute dz = y (dy - sum dy y)."""
    dy, y = run.read(op, "dy"), run.read(op, "y")
    run.write(op, "dz", y * (dy - (dy * y).sum(axis=1, keepdims=True)))


def dense_dx(run: Reference, op: Op) -> None:
    """Compute dx = (dz W^T) * act'(z) of the layer below."""
    dx = run.read(op, "dz") @ run.read(op, "weight").T
    if "saved" in op.operands:
        dx = dx * run.derivatives[op.operands["saved"].name]
    run.write(op, "dx", dx)


def guard(run: Reference, op: Op) -> None:
    """Compute the largest magnitude of each row of x and of dz."""
    largest = [np.abs(np.asarray(run.read(op, name), np.float64)).max(axis=1) for name in ("x", "dz")]
    run.write(op, "bound", np.stack(largest, axis=1))


def dense_dw(run: Reference, op: Op) -> None:
    """Compute dW = x^T dz and db = sum of the rows of dz."""
    dz = run.read(op, "dz")
    run.write(op, "dweight", np.asarray(run.read(op, "x"), np.float64).T @ dz)
    run.write(op, "dbias", dz.sum(axis=0))


def sgd(run: Reference, op: Op) -> None:
    """Update a range of the parameters, mostly all of them."""
    h, buffer = run.sgd, op.operands["params"]
    w, g, v = (
        run.flat[arena][buffer.offset : buffer.offset + buffer.cols] for arena in ("param", "grad", "state")
    )
    g = g + h.weight_decay * w
    if h.momentum:
        v[...] = g if run.first_update else h.momentum * v + (1 - h.dampening) * g
        g = g + h.momentum * v if h.nesterov else v
    w -= op.attributes.get("lr_factor", 1.0) * run.lr * g


FUNCTIONS = {
    "GATHER": gather,
    "DENSE": dense,
    "ACTIVATION": activation,
    "SOFTMAX": softmax,
    "LOSS": loss,
    "ACTIVATION_GRAD": activation_grad,
    "SOFTMAX_GRAD": softmax_grad,
    "DENSE_DX": dense_dx,
    "GUARD": guard,
    "DENSE_DW": dense_dw,
    "SGD": sgd,
}
