"""Callbacks: objects that ``fit`` tells about its epochs, and that may stop it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from .errors import OptionError
from .history import History, format_number
from .options import count, non_negative

__all__ = [
    "CSVLog",
    "Callback",
    "CallbackList",
    "Checkpoint",
    "EarlyStopping",
    "Run",
    "StopTraining",
]


class StopTraining(Exception):  # noqa: N818 - like StopIteration: a signal, not an error
    """Raised in a callback to end training after this epoch; its text becomes the stated reason."""


@dataclass(frozen=True)
class Run:
    """What a callback is told about the run that begins.

    Attributes
    ----------
    epochs : int
        How many epochs this call of ``fit`` will make at most.
    steps_per_epoch : int
        Updates per epoch.
    batch_size : int
        Rows per update; the last batch of an epoch may have fewer.
    columns : tuple of str
        The columns that the row of every epoch will have.
    """

    epochs: int
    steps_per_epoch: int
    batch_size: int
    columns: tuple[str, ...]


class Callback:
    """Base class of callbacks; the methods do nothing, override what you need.

    ``fit`` calls each method between updates, in the order in which the callbacks were given. A
    callback ends training by returning True from ``on_train_begin`` or ``on_epoch_end``, or by
    raising :class:`StopTraining` there with the reason; the other callbacks still hear of that
    epoch. Any other exception ends ``fit`` as usual.

    Examples
    --------
    >>> class StopBelow(Callback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...
    ...     def on_epoch_end(self, net, row):
    ...         return row["loss"] < self.loss
    >>> CallbackList(StopBelow(0.1)).on_epoch_end(net=None, row={"epoch": 7, "loss": 0.05})
    'StopBelow asked to stop at epoch 7'
    """

    def on_train_begin(self, net, run: Run) -> bool | None:
        """Hear that training begins; `net` has its parameters and `run` says what is planned."""

    def on_epoch_end(self, net, row: Mapping[str, float | None]) -> bool | None:
        """Hear that an epoch has ended; `row` is its row of the history, to be read only."""

    def on_train_end(self, net, history: History) -> None:
        """Hear that training has ended: always, also after an exception or an interruption."""


class CallbackList:
    """The callbacks of a run, called as one.

    Parameters
    ----------
    callbacks : None, Callback or iterable of Callback
        Objects with the three methods of :class:`Callback`; a common base class is not needed.

    Raises
    ------
    OptionError
        Something in the list lacks a method.
    """

    def __init__(self, callbacks: object | Iterable | None = None):
        if callbacks is None:
            callbacks = ()
        elif not isinstance(callbacks, Iterable):
            callbacks = (callbacks,)
        self.callbacks = tuple(callbacks)
        for callback in self.callbacks:
            for method in ("on_train_begin", "on_epoch_end", "on_train_end"):
                if isinstance(callback, type) or not callable(getattr(callback, method, None)):
                    raise OptionError(
                        f"callbacks holds {callback!r}: expected objects with the methods "
                        "on_train_begin, on_epoch_end and on_train_end; derive the class from "
                        "minidl.callbacks.Callback and pass an instance."
                    )

    def on_train_begin(self, net, run: Run) -> str | None:
        """Tell all that training begins; return why it shall not, or None."""
        return self._tell("on_train_begin", "before the first epoch", net, run)

    def on_epoch_end(self, net, row: Mapping[str, float | None]) -> str | None:
        """Tell all that an epoch has ended; return why to stop now (the first reason), or None."""
        return self._tell("on_epoch_end", f"at epoch {row.get('epoch')}", net, row)

    def on_train_end(self, net, history: History) -> None:
        """Tell all that training has ended; one that raises does not keep it from the others."""
        with ExitStack() as stack:  # unwinds in reverse
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_train_end, net, history)

    def _tell(self, method: str, when: str, *arguments) -> str | None:
        reasons = []
        for callback in self.callbacks:
            name = f"{type(callback).__name__} asked to stop {when}"
            try:
                answer = getattr(callback, method)(*arguments)
            except StopTraining as signal:
                reasons.append(str(signal) or name)
            else:
                if isinstance(answer, bool | np.bool_) and answer:
                    reasons.append(name)
        return reasons[0] if reasons else None


class _Best:
    """The best value of a monitored column so far: the largest accuracy, else the smallest."""

    def __init__(self, monitor: str, min_delta: float = 0.0):
        self.monitor = monitor
        self.min_delta = min_delta
        self.larger_is_better = "accuracy" in monitor
        self.value = -math.inf if self.larger_is_better else math.inf

    def check(self, columns: Iterable[str]) -> None:
        """Raise OptionError unless the monitored column is there."""
        if self.monitor not in columns:
            hint = " Pass validation_data to fit." if self.monitor.startswith("val_") else ""
            raise OptionError(
                f"monitor={self.monitor!r} is not recorded in this run. "
                f"Available: {', '.join(columns)}.{hint}"
            )

    def improved_by(self, row: Mapping[str, float | None]) -> bool:
        """Take in the value of an epoch; return whether it is the best so far (NaN never is)."""
        self.check([name for name, value in row.items() if value is not None])
        gain = row[self.monitor] - self.value
        if not self.larger_is_better:
            gain = -gain
        if not gain > self.min_delta:
            return False
        self.value = row[self.monitor]
        return True


class EarlyStopping(Callback):
    """Stop when a monitored value no longer improves, and go back to the best parameters.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history. Larger is better when its name holds "accuracy", else smaller.
    patience : int, default 5
        Stop after this many epochs in a row without improvement, >= 1.
    min_delta : float, default 0
        An improvement is a change for the better by more than this, >= 0.
    restore_best : bool, default True
        When training ends, for whatever reason, put the parameters of the best epoch back. The
        optimizer's state is left as it is. Costs one copy of the parameters.

    Attributes
    ----------
    best, best_epoch : float and int, or None
        The best value and its epoch, in the latest run.
    stopped_epoch : int or None
        The epoch at which it asked to stop.
    restored : bool
        Whether earlier parameters were put back.

    Raises
    ------
    OptionError
        An option is out of its range, or (when training begins) the run does not record `monitor`.

    References
    ----------
    .. [1] L. Prechelt, "Early stopping - but when?", Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> EarlyStopping(monitor="val_accuracy", patience=10)
    EarlyStopping(monitor='val_accuracy', patience=10, min_delta=0.0, restore_best=True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ):
        self.monitor = _monitor(monitor)
        self.patience = count("patience", patience, 1)
        self.min_delta = non_negative("min_delta", min_delta)
        self.restore_best = bool(restore_best)
        self._reset()

    def __repr__(self) -> str:
        return (
            f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience}, "
            f"min_delta={self.min_delta}, restore_best={self.restore_best})"
        )

    def _reset(self) -> None:
        self._best = _Best(self.monitor, self.min_delta)
        self._best_parameters: np.ndarray | None = None
        self._epochs_without_gain = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self.restored = False

    def on_train_begin(self, net, run: Run) -> None:
        """Forget an earlier run and check that this one records the monitored column."""
        self._reset()
        self._best.check(run.columns)

    def on_epoch_end(self, net, row: Mapping[str, float | None]) -> None:
        """Compare the epoch with the best so far; raise StopTraining when patience is used up."""
        if self._best.improved_by(row):
            self.best, self.best_epoch = row[self.monitor], row["epoch"]
            self._epochs_without_gain = 0
            if self.restore_best:
                self._best_parameters = np.array(net.params.flat)
            return
        self._epochs_without_gain += 1
        if self._epochs_without_gain < self.patience:
            return
        self.stopped_epoch = row["epoch"]
        raise StopTraining(self._reason())

    def _reason(self) -> str:
        epochs = "1 epoch" if self.patience == 1 else f"{self.patience} epochs"
        if self.best_epoch is None:
            return f"{self.monitor} was not a number for {epochs}"
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        reason = (
            f"{self.monitor} did not improve{by} for {epochs}; "
            f"best {format_number(self.best)} at epoch {self.best_epoch}"
        )
        return f"{reason}, whose parameters were restored" if self.restore_best else reason

    def on_train_end(self, net, history: History) -> None:
        """Put the best parameters back."""
        if self._best_parameters is not None and self._epochs_without_gain > 0:
            net.params.flat[...] = self._best_parameters
            self.restored = True
        self._best_parameters = None  # do not keep a copy of the network alive


class CSVLog(Callback):
    """Write the history to a CSV file after every epoch.

    The file is whole at any time, with the columns of :class:`~minidl.history.History`. One log
    used for several calls of ``fit`` holds the epochs of all; a new log starts the file afresh.

    Parameters
    ----------
    path : path_like
        The file to write.

    Examples
    --------
    >>> CSVLog("run.csv")
    CSVLog('run.csv')
    """

    def __init__(self, path: str | os.PathLike):
        self.path = _path(path)
        self._history = History()

    def __repr__(self) -> str:
        return f"CSVLog({self.path!r})"

    def on_epoch_end(self, net, row: Mapping[str, float | None]) -> None:
        """Add the row and write the file."""
        self._history.append(row)
        self._history.to_csv(self.path)


class Checkpoint(Callback):
    """Save the network after every epoch, or after every epoch that is the best so far.

    Each save replaces the file in one step, so that a crash leaves the previous one.

    Parameters
    ----------
    path : path_like
        The file, written by ``net.save(path)``.
    monitor : str, optional
        Save only when this column of the history improves: larger is better when its name holds
        "accuracy", else smaller. Without it every epoch is saved.

    Attributes
    ----------
    saved_epoch : int or None
        The epoch that the file holds.

    Raises
    ------
    OptionError
        When training begins: the run does not record `monitor`.

    Examples
    --------
    >>> Checkpoint("best.safetensors", monitor="val_loss")
    Checkpoint('best.safetensors', monitor='val_loss')
    """

    def __init__(self, path: str | os.PathLike, monitor: str | None = None):
        self.path = _path(path)
        self.monitor = None if monitor is None else _monitor(monitor)
        self.saved_epoch: int | None = None
        self._best = None if monitor is None else _Best(self.monitor)

    def __repr__(self) -> str:
        monitor = "" if self.monitor is None else f", monitor={self.monitor!r}"
        return f"Checkpoint({self.path!r}{monitor})"

    def on_train_begin(self, net, run: Run) -> None:
        """Check that the run records the monitored column; the best so far is kept between runs."""
        if self._best is not None:
            self._best.check(run.columns)

    def on_epoch_end(self, net, row: Mapping[str, float | None]) -> None:
        """Save the network if this epoch is to be kept."""
        if self._best is None or self._best.improved_by(row):
            net.save(self.path)
            self.saved_epoch = row["epoch"]


def _monitor(monitor: object) -> str:
    if not isinstance(monitor, str):
        raise OptionError(f"monitor={monitor!r}: expected the name of a column of the history.")
    return monitor


def _path(path: object) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise OptionError(f"path={path!r}: expected a string or a path object.") from None
