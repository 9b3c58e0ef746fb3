"""One cell of a comparison: many trainings, one record."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minidl import init
from minidl.compare.tasks import Rows, Task
from minidl.errors import DivergenceError, InitWarning, OptionError, ShapeError
from minidl.mlp import MLP
from minidl.model import Sequential
from minidl.optim import SGD

__all__ = ["Cell", "Course", "measure", "train"]


ROWS_TO_LOOK_AT = 256  # for what the signal is like before training


@dataclass(frozen=True, order=True)
class Cell:
    """What is compared: a data set, the activation and number of the hidden layers, a scheme by name."""

    data: str
    activation: str
    depth: int
    scheme: str


@dataclass
class Course:
    """How one training went.

    Attributes
    ----------
    losses : list of float
        At each look, the mean loss of the batches since the look before.
    seconds : list of float
        At each look, the processor time spent since the start.
    diverged : bool
        The loss or a gradient became infinite or NaN, and the training stopped there.
    """

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    diverged: bool = False


def train(
    net: Sequential,
    X: np.ndarray,
    y: np.ndarray,
    optimizer: SGD,
    *,
    steps: int,
    batch_size: int,
    every: int = 10,
    stop: Callable[[int, float], bool] | None = None,
) -> Course:
    """Train a network on one thread, and look at the loss now and then.

    Rows come in a new random order each time all have been used; the order depends on the seed of the
    network and on nothing else. A scheme that needs data chooses from all rows.

    Parameters
    ----------
    net : Sequential
    X, y : ndarray
        Features as the network takes them, and labels.
    optimizer : SGD
    steps, batch_size : int
    every : int
        Steps between two looks; at the end there may be fewer.
    stop : callable, optional
        Called at each look with the number of steps and the mean loss since the last look; True ends the
        training.

    Returns
    -------
    Course

    Examples
    --------
    >>> from minidl.datasets import spirals
    >>> X, y = spirals(200)
    >>> course = train(MLP([2, 16, 3], seed=0), X, y, SGD(0.1, momentum=0.9), steps=40, batch_size=32)
    >>> len(course.losses), course.losses[-1] < course.losses[0], course.diverged
    (4, True, False)
    """
    course = Course()
    started = time.thread_time()
    _initialize(net, X, y, optimizer)
    order, passes = np.empty(0, np.int64), 0
    for first in range(0, steps, every):
        n_steps = min(every, steps - first)
        while len(order) < n_steps * batch_size:
            order = np.append(order, init.Stream(net.seed, "compare", passes).permutation(len(X)))
            passes += 1
        rows, order = order[: n_steps * batch_size], order[n_steps * batch_size :]
        try:
            history = net.fit(
                X[rows],
                y[rows],
                loss="cross_entropy",
                optimizer=optimizer,
                batch_size=batch_size,
                shuffle=False,
                verbose=0,
                check_finite=False,
                n_threads=1,
            )
        except DivergenceError:
            course.diverged = True
            break
        course.losses.append(history.rows[-1]["loss"])
        course.seconds.append(time.thread_time() - started)
        if stop is not None and stop(first + n_steps, course.losses[-1]):
            break
    return course


def _initialize(net: Sequential, X: np.ndarray, y: np.ndarray, optimizer: SGD) -> None:
    """Let a scheme that needs data see all rows; fit would show it those of the first steps only."""
    if net.pending_init is not None:
        net.pending_init.fit(net, X, y, loss="cross_entropy", optimizer=optimizer)


def measure(cell: Cell, task: Task, rows: Rows) -> dict:
    """Train a cell at all learning rates from all seeds, and return a record of plain data.

    The learning rate is the one with the fewest failed seeds, then the lowest median of steps to the target,
    then the lowest final training loss. The test rows have no part in the choice. A seed has failed if its
    loss did not reach the target within the steps of the task; it counts as slower than all that did.

    Parameters
    ----------
    cell : Cell
    task : Task
    rows : Rows

    Returns
    -------
    dict
        "refused" (a sentence) if the scheme cannot serve such a network; else, at the chosen "lr": "steps" to
        the target, the median over seeds, with "steps_low" and "steps_high", the quartiles (None: not
        reached); "failed" seeds; "seconds" of one core to the target; "loss" of the last batches and
        "test_error" at the end, medians; "curves", the losses of each seed at each look; "diverged" seeds.
        "grid" has for each learning rate "failed" and "steps". Of the pre-activations of the last hidden
        layer before training: "rms", their root mean square, and "contrast", the part of it that differs from
        row to row, between 0 (all rows look the same) and 1; medians.

    Examples
    --------
    >>> from minidl.compare.tasks import TASKS, load
    >>> task = TASKS["spirals"].with_options(steps=20, learning_rates=(0.1,), seeds=2)
    >>> record = measure(Cell("spirals", "relu", 1, "zeros"), task, load("spirals"))
    >>> record["failed"], record["steps"]
    (2, None)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InitWarning)  # that a scheme will fail is what is to be measured
            return _measure(cell, task, rows)
    except (OptionError, ShapeError) as error:
        return {"refused": str(error)}


def _measure(cell: Cell, task: Task, rows: Rows) -> dict:
    tried = {
        lr: [_train_once(cell, task, rows, lr, seed) for seed in range(task.seeds)]
        for lr in task.learning_rates
    }

    def merit(lr: float) -> tuple:
        steps, losses = zip(*((run["steps"], run["loss"]) for run in tried[lr]), strict=True)
        return steps.count(math.inf), quantile(steps, 0.5), quantile(losses, 0.5)

    lr = min(tried, key=merit)
    runs = tried[lr]
    starts = [_start(cell, task, rows, lr, seed) for seed in range(task.seeds)]

    def over_seeds(name: str, q: float = 0.5) -> float | None:
        return _finite(quantile([run[name] for run in runs], q))

    return {
        "lr": lr,
        "steps": over_seeds("steps"),
        "steps_low": over_seeds("steps", 0.25),
        "steps_high": over_seeds("steps", 0.75),
        "failed": sum(run["steps"] == math.inf for run in runs),
        "seconds": over_seeds("seconds"),
        "loss": over_seeds("loss"),
        "test_error": over_seeds("test_error"),
        "diverged": sum(run["diverged"] for run in runs),
        "rms": _finite(quantile([rms for rms, _ in starts], 0.5)),
        "contrast": quantile([contrast for _, contrast in starts], 0.5),
        "curves": [run["losses"] for run in runs],
        "grid": [{"lr": rate, "failed": merit(rate)[0], "steps": _finite(merit(rate)[1])} for rate in tried],
    }


def _make(cell: Cell, task: Task, rows: Rows, lr: float, seed: int) -> tuple[MLP, SGD]:
    sizes = [rows.X.shape[1], *[task.width] * cell.depth, rows.n_classes]
    net = MLP(sizes, cell.activation, init=cell.scheme, seed=seed)
    return net, SGD(lr=lr, momentum=task.momentum)


def _start(cell: Cell, task: Task, rows: Rows, lr: float, seed: int) -> tuple[float, float]:
    """Return root mean square and contrast of the last hidden layer before training."""
    net, optimizer = _make(cell, task, rows, lr, seed)
    _initialize(net, rows.X, rows.y, optimizer)
    z = net.preactivations(rows.X[:ROWS_TO_LOOK_AT])[str(cell.depth - 1)].astype(np.float64)
    rms = float(np.sqrt(np.mean(z * z)))
    if not 0.0 < rms < math.inf:  # nothing came through, or the signal overflowed
        return rms, 0.0
    return rms, float(np.sqrt(np.mean(z.var(axis=0)))) / rms


def _train_once(cell: Cell, task: Task, rows: Rows, lr: float, seed: int) -> dict:
    net, optimizer = _make(cell, task, rows, lr, seed)
    course = train(
        net, rows.X, rows.y, optimizer, steps=task.steps, batch_size=task.batch_size, every=task.every
    )
    look = next((i for i, loss in enumerate(course.losses) if loss <= task.target), None)
    right = net.predict(rows.X_test, n_threads=1).argmax(axis=1) == rows.y_test
    return {
        "steps": math.inf if look is None else min((look + 1) * task.every, task.steps),
        "seconds": math.inf if look is None else course.seconds[look],
        "loss": math.inf if course.diverged else course.losses[-1],
        "test_error": 1.0 - float(right.mean()),
        "losses": course.losses,
        "diverged": course.diverged,
    }


def quantile(values: Sequence[float], q: float) -> float:
    """Return the smallest of the values that at least a share q of them does not exceed.

    No two values are mixed, so some may be infinite.

    Examples
    --------
    >>> quantile([30, math.inf, 10], 0.5), quantile([30, math.inf, 10], 0.75)
    (30, inf)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def _finite(x: float) -> float | None:
    """JSON has no infinity."""
    return x if math.isfinite(x) else None
