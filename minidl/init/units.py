"""What the schemes share that treat each unit by itself: mean and standard deviation over a batch."""

from __future__ import annotations

import numpy as np

from minidl.init.spec import LayerSpec
from minidl.init.statistics import unit_moments
from minidl.init.trial import Trial, require_rows
from minidl.kernels import matmul

__all__ = ["standardize"]


def standardize(trial: Trial, spec: LayerSpec, x: np.ndarray, mean: float = 0.0, std: float = 1.0) -> None:
    """Give the pre-activations of each unit this mean and standard deviation over the batch.

    W_k is divided by the deviation, and the bias moves the mean, if there is one. A unit that does not vary
    keeps its weights, with a warning.

    Examples
    --------
    >>> from minidl.init import DataInitializer
    >>> class Standard(DataInitializer):
    ...     def treat(self, trial):
    ...         for spec, x in trial.net.walk(trial.x):
    ...             standardize(trial, spec, x, mean=2.0)
    >>> net = minidl.MLP([3, 2], seed=0)
    >>> X = np.random.default_rng(0).normal(size=(20, 3))
    >>> report = Standard().fit(net, X)
    >>> net.preactivations(X)["0"].mean(axis=0).round(3)
    array([2., 2.], dtype=float32)
    """
    require_rows(trial, 2, "to measure a deviation")
    weight, bias = trial.weight(spec), trial.bias(spec)
    linear = trial.finite(spec, matmul(x, weight))
    average, deviation = unit_moments(linear)
    still = deviation == 0.0
    if still.any():
        trial.converged = False
        trial.warn(spec, f"{still.sum()} of {len(still)} units do not vary and keep their weights")
    factor = np.where(still, 1.0, std / np.where(still, 1.0, deviation))
    weight *= factor
    trial.count(spec)
    if bias is None:
        trial.note(spec, "no bias: the means stay")
    else:
        bias[...] = mean - average * factor
