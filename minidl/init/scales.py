"""What the schemes share that learn factors for whole tensors: the factors, the batches, Adam."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from minidl.init.trial import Trial

__all__ = ["SCALES", "Adam", "Scales", "batches"]

#: what has a factor of its own
SCALES = ("tensor", "network")


class Scales:
    """A factor for each tensor of a network, kept as its logarithm.

    Parameters
    ----------
    trial : Trial
    kinds : tuple of str
        The roles of the tensors that have a factor, "weight" and "bias".
    shared : bool
        One factor for all of them.
    min_scale : float
        No factor falls below it.

    Examples
    --------
    >>> from minidl.init import DataInitializer
    >>> class Double(DataInitializer):
    ...     def treat(self, trial):
    ...         scales = Scales(trial)
    ...         scales.move(np.full(scales.n, np.log(2.0)))
    ...         scales.finish(steps=1)
    >>> net = minidl.MLP([3, 2], init="constant(0.5)", seed=0)
    >>> report = Double().fit(net, np.diag([1.0, 2.0, 3.0]))
    >>> net.params["0.weight"][0]
    array([1., 1.], dtype=float32)
    """

    def __init__(self, trial: Trial, kinds=("weight", "bias"), shared: bool = False, min_scale: float = 0.0):
        self.trial, self.shared = trial, shared
        self.layout = trial.net.params.layout
        self.names = [name for name in trial.net.params if name.split(".")[-1] in kinds]
        self.start = trial.net.params.flat.copy()
        self.least = math.log(min_scale) if min_scale > 0.0 else -math.inf
        self.logs = np.zeros(self.n)

    @property
    def n(self) -> int:
        """How many factors there are."""
        return min(1, len(self.names)) if self.shared else len(self.names)

    def parameters(self, move: np.ndarray | float = 0.0) -> np.ndarray:
        """Return all parameters, multiplied by their factors, after a move."""
        w = self.start.copy()
        for name, log in zip(self.names, self._each(self.logs + move), strict=True):
            self.layout.view(w, name)[...] *= math.exp(log)
        return w

    def derivative(self, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Return the derivative with respect to the logarithms of the factors, from that by parameters."""
        found = np.array(
            [
                float((self.layout.view(w, name) * self.layout.view(gradient, name)).sum())
                for name in self.names
            ]
        )
        return found.sum(keepdims=True) if self.shared else found

    def move(self, step: np.ndarray) -> None:
        """Add to the logarithms."""
        self.logs = np.maximum(self.logs + step, self.least)

    def finish(self, steps: int) -> None:
        """Write the parameters into the network, and the number of steps into the report."""
        self.trial.net.params.flat[...] = self.parameters()
        for spec in self.trial.specs:
            self.trial.count(spec, steps)

    def _each(self, logs: np.ndarray) -> np.ndarray:
        return np.repeat(logs, len(self.names)) if self.shared else logs


class Adam:
    """Directions of Adam, for a few numbers; see Kingma, Ba 2015, arXiv:1412.6980.

    Examples
    --------
    >>> Adam(2)(np.array([1e-6, -100.0]))
    array([ 1., -1.])
    """

    def __init__(self, n: int, beta1: float = 0.9, beta2: float = 0.999):
        self.first, self.second = np.zeros(n), np.zeros(n)
        self.beta1, self.beta2, self.steps = beta1, beta2, 0

    def __call__(self, gradient: np.ndarray) -> np.ndarray:
        self.steps += 1
        self.first = self.beta1 * self.first + (1.0 - self.beta1) * gradient
        self.second = self.beta2 * self.second + (1.0 - self.beta2) * gradient**2
        mean = self.first / (1.0 - self.beta1**self.steps)
        size = np.sqrt(self.second / (1.0 - self.beta2**self.steps))
        return mean / np.where(size > 0.0, size, 1.0)


def batches(trial: Trial, size: int) -> Iterator[np.ndarray]:
    """Yield sets of so many rows without end, each row once before any comes again."""
    epoch, order = 0, np.empty(0, np.int64)
    while True:
        if len(order) < size:
            more = trial.stream.child("batches", epoch).permutation(len(trial.x))
            order, epoch = np.concatenate([order, more]), epoch + 1
        yield order[:size]
        order = order[size:]
