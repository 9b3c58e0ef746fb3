"""The vocabulary of the engine: every op a program may contain, in one table.

Each op has one line here, one function in :mod:`minidl.engine.execute` (fast) and one in
:mod:`minidl.engine.reference` (NumPy float64); a test holds the three together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# How a team cuts an op. Of consecutive ops that are cut by rows, a thread reads only what it wrote itself, or
# what nobody writes: they need no barrier between them. Others do, if one reads what the other writes.
ROWS = "rows"  # each thread takes its rows of the batch
TILES = "tiles"  # each thread takes its block of a weight gradient, or of columns of a product
FLAT = "flat"  # each thread takes its range of the flat vectors


@dataclass(frozen=True)
class OpKind:
    """One op of the vocabulary.

    Attributes
    ----------
    code : int
        Number of the op in the executor.
    name : str
    reads, writes : tuple of str
        Names of the operands; one ending in "?" may be absent.
    cut : str
        How threads share the op: ROWS, TILES or FLAT.
    flops : callable
        Floating-point operations for (rows, attributes); element-wise work counts 0.
    formula : str
    """

    code: int
    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    cut: str
    flops: Callable[[int, dict], float]
    formula: str

    @property
    def operands(self) -> tuple[str, ...]:
        """All operand names without "?", reads first: the order of the executor's pointers."""
        return tuple(name.rstrip("?") for name in self.reads + self.writes)

    def required(self) -> tuple[str, ...]:
        """Operands that must be there."""
        return tuple(name for name in self.reads + self.writes if not name.endswith("?"))


def _nothing(rows: int, attributes: dict) -> float:
    return 0.0


def _product(rows: int, attributes: dict) -> float:
    return 2.0 * rows * attributes["fan_in"] * attributes["fan_out"]


_TABLE = (
    ("GATHER", ("source",), ("y",), ROWS, _nothing, "y[r] = source[index[r]]"),
    (
        "DENSE",
        ("x", "weight", "bias?"),
        ("y", "d?"),
        ROWS,
        _product,
        "y = act(x W + b), d = act'(x W + b)",
    ),
    ("ACTIVATION", ("x",), ("y", "d?"), ROWS, _nothing, "y = act(x), d = act'(x)"),
    ("SOFTMAX", ("x",), ("y",), ROWS, _nothing, "y = exp(x - max x) / sum"),
    (
        "LOSS",
        ("z", "target", "weight?"),
        ("dz?", "row_loss", "row_hit"),
        ROWS,
        _nothing,
        "row_loss = w l(z, t), dz = w dl/dz / sum w",
    ),
    ("ACTIVATION_GRAD", ("dy", "saved"), ("dz",), ROWS, _nothing, "dz = dy * act'"),
    ("SOFTMAX_GRAD", ("dy", "y"), ("dz",), ROWS, _nothing, "dz = y (dy - sum dy y)"),
    ("DENSE_DX", ("dz", "weight", "saved?"), ("dx",), ROWS, _product, "dx = (dz W^T) * act'"),
    (
        "GUARD",
        ("x", "dz"),
        ("bound",),
        ROWS,
        _nothing,
        "bound[r] = max |x[r]|, max |dz[r]|: where no gradient can overflow, the update may follow each",
    ),
    ("DENSE_DW", ("x", "dz"), ("dweight", "dbias?"), TILES, _product, "dW = x^T dz, db = sum dz"),
    (
        "SGD",
        ("grads", "velocity?"),
        ("params",),
        FLAT,
        _nothing,
        "params = params - lr_factor lr * direction",
    ),
)

OPS: dict[str, OpKind] = {row[0]: OpKind(code, *row) for code, row in enumerate(_TABLE)}
