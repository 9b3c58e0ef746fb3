"""A verdict by measurement, for weights that are not random enough for mean-field theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minidl import activations
from minidl.kernels import random

if TYPE_CHECKING:
    from minidl.theory import Verdict

__all__ = ["measured_verdict"]

#: How many numbers, units times samples, signal and gradient have.
NUMBERS = 8192


def measured_verdict(activation: str, weight: np.ndarray, what: str, depth: int, limit: float) -> Verdict:
    """Judge a network in which every layer has the same square weight, by a forward and a backward pass.

    Parameters
    ----------
    activation : str
    weight : ndarray of float64, shape (n, n)
    what : str
        The layers in words, for the reason.
    depth, limit
        As for :meth:`Initializer.suits`.

    Examples
    --------
    >>> bool(measured_verdict("relu", np.eye(1), "identities", 10, 1e3))
    True
    >>> print(measured_verdict("sigmoid", np.eye(1), "identities", 10, 1e3).reason)
    sigmoid: in 10 layers of identities q goes from 1 to 0.433, the squared gradient from 1 to 1.08e-13.
    """
    from minidl.theory import Verdict

    n = len(weight)
    z, g = np.empty((NUMBERS // n, n)), np.empty((NUMBERS // n, n))
    random.fill_normal(z, (1, 0), 0.0, 1.0)
    random.fill_normal(g, (2, 0), 0.0, 1.0)
    q, gradient, slopes = np.mean(z * z), np.mean(g * g), []
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(depth):
            slopes.append(activations.derivative(activation, z))
            z = activations.forward(activation, z) @ weight
        for slope in reversed(slopes):
            g = g @ weight.T * slope
        q, gradient = np.mean(z * z) / q, np.mean(g * g) / gradient
    reason = (
        f"{activation}: in {depth} layers of {what} q goes from 1 to {q:.3g}, the squared gradient from 1 to "
        f"{gradient:.3g}."
    )
    return Verdict(bool(1.0 / limit < q < limit and 1.0 / limit < gradient < limit), reason)
