"""Second derivatives of the loss along given directions, from differences of gradients in float64."""

from __future__ import annotations

import numpy as np

from minidl.init.statistics import norm
from minidl.init.trial import Trial

__all__ = ["Curvature"]

RELATIVE = 1e-5  # step of a central difference, of |w| or 1: truncation 1e-10, rounding 1e-11


class Curvature:
    """Gradient g(w) and Hessian H(w) of the loss of a batch, as functions of the parameters.

    A call of :meth:`hessian` costs two gradients.

    Parameters
    ----------
    trial : Trial
        Its network is float64. It is left with the parameters of the last evaluation.
    x, y : ndarray
        The batch.
    weight_decay : float
        L2 penalty that belongs to the loss, as in SGD.

    Examples
    --------
    >>> from minidl.init import DataInitializer
    >>> class Show(DataInitializer):
    ...     def treat(self, trial):
    ...         w = trial.net.params.flat.copy()
    ...         print(Curvature(trial, trial.x, trial.y).hessian(w, np.ones_like(w)).round(3))
    >>> net = minidl.MLP([1, 1], init="ones", use_bias=False, seed=0)
    >>> report = Show().fit(net, [[3.0], [-3.0]], [1.0, -1.0], loss="mse")  # loss (3w - 1)^2
    [18.  0.  0.  0.  0.  0.  0.  0.]
    """

    def __init__(self, trial: Trial, x: np.ndarray, y: np.ndarray, weight_decay: float = 0.0):
        self.net, self.loss = trial.net, trial.loss
        self.x, self.y, self.weight_decay = x, y, weight_decay

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """Return g(w)."""
        self.net.params.flat[...] = w
        self.net.gradients(self.x, self.y, loss=self.loss, check_finite=False)
        return self.net.grads.flat + self.weight_decay * w

    def hessian(self, w: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Return H(w) direction."""
        step = _step(w, direction)
        if step == 0.0:
            return np.zeros_like(w)
        d = step * direction
        return (self.gradient(w + d) - self.gradient(w - d)) / (2.0 * step)


def _step(w: np.ndarray, direction: np.ndarray) -> float:
    """Return the step along a direction that moves the parameters by so much of their length."""
    length = norm(direction)
    return RELATIVE * max(norm(w), 1.0) / length if length > 0.0 else 0.0
