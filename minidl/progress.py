"""What ``fit(verbose=1)`` shows: one line per epoch, and a bar within the epoch on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from .errors import out_of_range
from .history import format_number


def format_row(row: Mapping[str, float | None], epochs: int) -> str:
    """Write the row of an epoch as one line.

    Parameters
    ----------
    row : mapping
        A row of the history.
    epochs : int
        The number of the last epoch.

    Examples
    --------
    >>> format_row({"epoch": 3, "loss": 0.08123, "accuracy": 0.97531, "seconds": 0.611}, epochs=10)
    'epoch  3/10  loss 0.0812  accuracy 0.9753  0.61 s'
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        if row.get(name) is not None:
            parts.append(f"{name} {format_number(float(row[name]))}")
    if row.get("seconds") is not None:
        parts.append(f"{row['seconds']:.2f} s")
    return "  ".join(parts)


class Progress:
    """Show how training goes.

    One line per epoch goes to standard output. While an epoch runs, a bar is shown on standard
    error when that is a terminal and tqdm is installed.

    Parameters
    ----------
    verbose : {0, 1}, default 1
        0 shows nothing.

    Raises
    ------
    OptionError
        `verbose` is neither 0 nor 1.

    Examples
    --------
    >>> progress = Progress()
    >>> progress.begin(epochs=1, steps_per_epoch=100)
    >>> progress.update(50, loss=0.7)
    >>> progress.epoch_end({"epoch": 1, "loss": 0.5, "seconds": 0.25})
    epoch 1/1  loss 0.5000  0.25 s
    >>> progress.close()
    """

    def __init__(self, verbose: int = 1):
        if verbose not in (0, 1):
            raise out_of_range("verbose", verbose, "0 (silent) or 1 (a line per epoch)")
        self.verbose = int(verbose)
        self._tqdm = None
        self._bar = None
        self._epochs = 0
        self._steps_per_epoch = 0

    def begin(self, epochs: int, steps_per_epoch: int) -> None:
        """Hear what is planned: the number of the last epoch, and the updates in each."""
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._tqdm = _find_tqdm() if self.verbose else None

    def update(self, steps_done: int, loss: float) -> None:
        """Hear how many updates of this epoch are done, and the mean loss so far."""
        if self._tqdm is None:
            return
        if self._bar is None:
            self._bar = self._tqdm(total=self._steps_per_epoch, leave=False, unit="step")
        self._bar.set_postfix_str(f"loss {format_number(float(loss))}", refresh=False)
        self._bar.update(steps_done - self._bar.n)

    def epoch_end(self, row: Mapping[str, float | None]) -> None:
        """Hear that an epoch has ended; write its line."""
        self.close()
        if self.verbose:
            print(format_row(row, self._epochs), flush=True)

    def close(self) -> None:
        """Take the bar away, also when training ends by an exception. Twice is harmless."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _find_tqdm():
    """Return tqdm where a bar can be drawn, else None."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm
