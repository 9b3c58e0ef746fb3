"""Statistics of activations and weights whose bits do not depend on the machine."""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels import reduce

__all__ = ["constant_columns", "norm", "rms", "std", "total", "unit_moments"]


def total(x: np.ndarray) -> float:
    """Return the sum of a matrix."""
    return float(reduce("sum", reduce("sum", x, 0)[np.newaxis, :], 1)[0])


def std(z: np.ndarray) -> float:
    """Return the standard deviation of all elements of a matrix.

    Examples
    --------
    >>> std(np.array([[1.0, 3.0], [1.0, 3.0]]))
    1.0
    """
    largest = float(np.abs(z).max(initial=0.0))
    if largest == 0.0 or z.min() == z.max():
        return 0.0
    z = z / largest  # squares of large numbers would overflow
    mean = total(z) / z.size
    return largest * math.sqrt(total((z - mean) ** 2) / z.size)


def rms(w: np.ndarray) -> float:
    """Return the root of the mean square of a matrix."""
    largest = float(np.abs(w).max(initial=0.0))
    return largest * math.sqrt(total((w / largest) ** 2) / w.size) if largest else 0.0


def norm(v: np.ndarray) -> float:
    """Return the Euclidean norm of a vector.

    Examples
    --------
    >>> norm(np.array([3e200, 4e200]))
    5e+200
    """
    return rms(v[np.newaxis, :]) * math.sqrt(len(v)) if np.isfinite(v).all() else math.inf


def unit_moments(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column; exactly 0 for a constant one."""
    mean = reduce("sum", z, 0) / len(z)
    deviation = np.sqrt(reduce("sum", (z - mean) ** 2, 0) / len(z))
    deviation[constant_columns(z)] = 0.0
    return mean, deviation


def constant_columns(x: np.ndarray) -> np.ndarray:
    """Return which columns hold one number only."""
    return (x == x[0]).all(axis=0)
