"""What is learnt in a comparison: data sets with a width, a budget and a target.

The tasks are part of the results: a change here makes the numbers of before and after incomparable.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np

from minidl import datasets
from minidl.errors import unknown_name
from minidl.init.streams import Stream
from minidl.options import count, number, positive

__all__ = ["TASKS", "Rows", "Task", "load"]


@dataclass(frozen=True)
class Task:
    """How the cells of a data set are trained, and what counts as converged.

    Parameters
    ----------
    width : int
        Of every hidden layer.
    batch_size, steps : int
        Rows of a step, and steps of a training.
    target : float
        The loss to reach: mean cross-entropy of the batches since the last look.
    every : int
        Steps between two looks at the loss.
    learning_rates : tuple of float
        Each is tried; the best is reported.
    momentum : float
        Of plain SGD.
    seeds : int
        Trainings at each learning rate, with the seeds 0, 1, ...

    Raises
    ------
    OptionError
        For a number out of its range.

    Examples
    --------
    >>> Task(width=64, batch_size=64, steps=300, target=0.2).seeds
    5
    """

    width: int
    batch_size: int
    steps: int
    target: float
    every: int = 10
    learning_rates: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    momentum: float = 0.9
    seeds: int = 5

    def __post_init__(self):
        for name in ("width", "batch_size", "every", "seeds"):
            self._set(name, count(name, getattr(self, name), 1))
        self._set("steps", count("steps", self.steps, self.every))
        self._set("target", positive("target", self.target))
        rates = tuple(positive("learning rate", rate) for rate in self.learning_rates)
        count("number of learning rates", len(rates), 1)
        self._set("learning_rates", rates)
        momentum = number("momentum", self.momentum, "a number in [0, 1)", lambda x: 0.0 <= x < 1.0)
        self._set("momentum", momentum)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def with_options(self, **options) -> Task:
        """Return a task with some options changed; None leaves one as it is.

        Examples
        --------
        >>> TASKS["digits"].with_options(seeds=3, steps=None).seeds
        3
        """
        given = {name: value for name, value in options.items() if value is not None}
        return dataclasses.replace(self, **given)


# A target is a loss that good schemes reach in about a third of the steps, at every depth.
TASKS = {
    "digits": Task(width=64, batch_size=64, steps=600, target=0.25, every=5),
    "mnist": Task(width=100, batch_size=64, steps=600, target=0.5),
    "shapeset": Task(width=64, batch_size=64, steps=600, target=1.9),
    "spirals": Task(width=32, batch_size=64, steps=600, target=0.5),
}


@dataclass(frozen=True)
class Rows:
    """Standardized features and labels: to train on, and to test at the end."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


@functools.cache
def load(data: str) -> Rows:
    """Return the fixed rows of a data set.

    ============  =======  ======  ==========================================================
    data          train    test    which
    ============  =======  ======  ==========================================================
    digits        1437     360     a fixed fifth is held out
    mnist         10000    2000    the first of the training set; the first of the test set
    shapeset      10000    2000    images of seed 1; of seed 2
    spirals       2000     1000    points of seed 1; of seed 2
    ============  =======  ======  ==========================================================

    Features are shifted and scaled by one mean and one standard deviation: those of all entries of the
    training rows.

    Raises
    ------
    OptionError
        For another name.
    DataError, ImportError
        If the files of MNIST are not there, or scikit-learn, which carries digits, is not; the message says
        how to provide them.

    Examples
    --------
    >>> rows = load("spirals")
    >>> rows.X.shape, rows.X_test.shape, rows.n_classes, bool(abs(rows.X.std() - 1) < 1e-5)
    ((2000, 2), (1000, 2), 3, True)
    """
    if data == "digits":
        X, y = datasets.digits()
        order = Stream(0, "compare", "digits").permutation(len(X))
        train, test = order[: len(X) * 4 // 5], order[len(X) * 4 // 5 :]
        (X, y), (X_test, y_test) = (X[train], y[train]), (X[test], y[test])
    elif data == "mnist":
        (X, y), (X_test, y_test) = datasets.mnist()
        X, y, X_test, y_test = X[:10000], y[:10000], X_test[:2000], y_test[:2000]
    elif data == "shapeset":
        (X, y), (X_test, y_test) = datasets.shapeset(10000, seed=1), datasets.shapeset(2000, seed=2)
    elif data == "spirals":
        (X, y), (X_test, y_test) = datasets.spirals(2000, seed=1), datasets.spirals(1000, seed=2)
    else:
        raise unknown_name("data", data, TASKS)
    mean, std = X.mean(dtype=np.float64), X.std(dtype=np.float64)
    X, X_test = (((x - mean) / std).astype(np.float32) for x in (X, X_test))
    return Rows(X, y, X_test, y_test)
