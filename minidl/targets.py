"""Checks of the targets y: any numbers a user has, into the form that the loss kernels read.

Arrays that already have that form are not copied, and may therefore be read-only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .errors import DataError, DtypeError, ShapeError

# How far the sum of a row of probabilities may be from 1: room for float32 rounding over thousands
# of classes, and tight enough that p - y is the gradient of such a row to the same 1e-4.
PROBABILITY_TOLERANCE = 1e-4

_RENUMBER = "np.unique(y, return_inverse=True)[1] numbers the classes from 0"


class Targets(NamedTuple):
    """Targets as the kernels read them.

    Attributes
    ----------
    array : ndarray
        C-contiguous. Kind "label": int64, shape (n,). Else: the network's dtype, shape (n, K).
    kind : str
        "label" (a class number per row), "probability" (a distribution per row) or "real".
    """

    array: np.ndarray
    kind: str


def encode_real(y, n_outputs: int, dtype, loss: str) -> Targets:
    """Return finite numbers of shape (n, n_outputs); (n,) will do for one output."""
    return Targets(_real(_numbers(y), n_outputs, dtype, loss), "real")


def encode_binary(y, n_outputs: int, dtype, loss: str) -> Targets:
    """Return numbers in [0, 1] of shape (n, n_outputs); (n,) will do for one output."""
    y = _numbers(y)
    if y.ndim == 1 and n_outputs > 1:
        raise ShapeError(
            f"y has shape {y.shape}, but the network has {n_outputs} outputs: expected "
            f"{(len(y), n_outputs)} for loss={loss!r}. For classes that exclude each other use "
            "loss='cross_entropy'."
        )
    array = _real(y, n_outputs, dtype, loss)
    row = _first_row((array < 0) | (array > 1))
    if row is not None:
        raise DataError(
            f"{_show(y, row)}: expected values in [0, 1] for loss={loss!r}. Labels -1 and 1 become "
            "0 and 1 by y > 0."
        )
    return Targets(array, "real")


def encode_classes(y, n_outputs: int, dtype, loss: str) -> Targets:
    """Return class numbers 0 ... n_outputs - 1, or probabilities of shape (n, n_outputs)."""
    y = _numbers(y)
    if n_outputs == 1:
        raise ShapeError(
            f"loss={loss!r} needs one output per class, but the network has 1 output: use "
            "loss='binary_cross_entropy', or 2 outputs."
        )
    if y.ndim == 1 or y.shape[1] == 1:
        return Targets(_labels(y.reshape(-1), n_outputs), "label")
    if y.shape[1] != n_outputs:
        raise ShapeError(
            f"y has shape {y.shape}, but the network has {n_outputs} outputs: expected class "
            f"numbers of shape ({len(y)},) or probabilities of shape {(len(y), n_outputs)}."
        )
    return Targets(_probabilities(y, dtype), "probability")


def _numbers(y) -> np.ndarray:
    """Return y as a 1-D or 2-D array of bool, int or float, not empty."""
    try:
        y = np.asarray(y)
    except ValueError:
        raise ShapeError("y has rows of different lengths: expected (n,) or (n, K).") from None
    if y.ndim not in (1, 2):
        raise ShapeError(f"y has shape {y.shape}: expected (n,) or (n, K).")
    if y.size == 0:
        raise DataError(f"y is empty (shape {y.shape}): expected at least one row.")
    if y.dtype.kind not in "biuf":
        raise DtypeError(f"y has dtype {y.dtype}: expected numbers. If they are class names, {_RENUMBER}.")
    return y


def _real(y: np.ndarray, n_outputs: int, dtype, loss: str) -> np.ndarray:
    shape = (len(y), n_outputs)
    if y.shape != shape and not (y.ndim == 1 and n_outputs == 1):
        outputs, also = ("output", f" or ({len(y)},)") if n_outputs == 1 else ("outputs", "")
        raise ShapeError(
            f"y has shape {y.shape}, but the network has {n_outputs} {outputs}: expected "
            f"{shape}{also} for loss={loss!r}."
        )
    return _matrix(y, n_outputs, dtype)


def _labels(y: np.ndarray, n_outputs: int) -> np.ndarray:
    if y.dtype.kind == "f":
        raise DtypeError(
            f"got float labels: y has dtype {y.dtype} and one value per row. Use y.astype(int) if "
            f"they are class numbers, or one-hot rows of shape {(len(y), n_outputs)}."
        )
    row = _first_row((y < 0) | (y >= n_outputs))
    if row is not None:
        raise DataError(
            f"{_show(y, row)}: expected labels in 0..{n_outputs - 1}, because the network has "
            f"{n_outputs} outputs; {_RENUMBER}."
        )
    # what np.require would find out in ten times as long
    if y.dtype == np.int64 and y.flags.c_contiguous and y.flags.aligned:
        return y
    return np.require(y, np.int64, requirements=["C", "A", "E"])


def _probabilities(y: np.ndarray, dtype) -> np.ndarray:
    array = _matrix(y, y.shape[1], dtype)
    row = _first_row(array < 0)
    if row is not None:
        raise DataError(f"{_show(y, row)}: expected probabilities >= 0.")
    sums = array.sum(axis=1, dtype=np.float64)
    row = _first_row(np.abs(sums - 1.0) > PROBABILITY_TOLERANCE)
    if row is not None:
        raise DataError(
            f"{_show(y, row)} has sum {sums[row]:.6g}: expected rows of probabilities with sum 1 "
            f"(to within {PROBABILITY_TOLERANCE:g}). Divide each row by its sum; for several "
            "independent labels per row use loss='binary_cross_entropy'."
        )
    return array


def _matrix(y: np.ndarray, n_outputs: int, dtype) -> np.ndarray:
    """Return y as a finite C-contiguous (n, n_outputs) array of `dtype`."""
    with np.errstate(over="ignore"):  # a value too large for float32 is reported below
        array = np.require(y, dtype, requirements=["C", "A", "E"])
    # Through 1-D, because NumPy lets an axis of length 1 have any stride.
    array = array.reshape(-1).reshape(len(y), n_outputs)
    row = _first_row(~np.isfinite(array))
    if row is not None:
        raise DataError(
            f"{_show(y, row)}: expected finite numbers in the range of {array.dtype}. Repair or "
            "drop such rows."
        )
    return array


def _first_row(bad: np.ndarray) -> int | None:
    """Return the first row that has a bad value, or None."""
    rows = bad if bad.ndim == 1 else bad.any(axis=1)
    return int(rows.argmax()) if rows.any() else None


def _show(y: np.ndarray, row: int) -> str:
    """Return ``y[row] = ...``, a long row cut to its ends."""
    return f"y[{row}] = {np.array2string(y[row], threshold=8, edgeitems=3)}"
