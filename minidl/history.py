"""History: the record of a training run, one row per epoch."""

from __future__ import annotations

import math
import numbers
import os
import secrets
from collections.abc import Iterator, Mapping

from .errors import OptionError

# The order in which columns are shown; others follow in the order in which they came.
COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "lr",
    "seconds",
    "steps",
)
_MAX_ROWS_SHOWN = 20


def format_number(x: float | None) -> str:
    """Write a number for reading: four decimals, or an exponent where they would say little.

    Examples
    --------
    >>> [format_number(x) for x in (3, 0.08123, 1e-7, None)]
    ['3', '0.0812', '1.000e-07', '-']
    """
    if x is None:
        return "-"
    if isinstance(x, int):
        return str(x)
    if x == 0.0 or 1e-3 <= abs(x) < 1e5 or not math.isfinite(x):
        return f"{x:.4f}"
    return f"{x:.3e}"


class History:
    """The record of a training run: behaves like a dict of columns, one value per epoch.

    Columns that :meth:`append` meets are kept, by name: "epoch", "loss", "lr", "seconds" and
    "steps" in every run, "accuracy" for classifiers, "val_loss" and "val_accuracy" with validation
    data. A value that a row does not have is None.

    Attributes
    ----------
    rows : list of dict
        The epochs in order, with Python numbers as values.
    stopped_because : str
        Why the run ended, empty while it goes on.

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.5, "lr": 0.1})
    >>> history.append({"epoch": 2, "loss": 0.25, "lr": 0.1, "val_loss": 0.3})
    >>> history["loss"], history["val_loss"]
    ([0.5, 0.25], [None, 0.3])
    >>> print(history)
    epoch    loss  val_loss      lr
        1  0.5000         -  0.1000
        2  0.2500    0.3000  0.1000
    """

    def __init__(self):
        self.rows: list[dict[str, float | None]] = []
        self.stopped_because = ""

    def append(self, row: Mapping[str, float | None]) -> None:
        """Add the row of an epoch (it is copied).

        Raises
        ------
        OptionError
            A name is not a string, or a value is neither a number nor None. Nothing is added.
        """
        self.rows.append({name: _plain(name, value) for name, value in row.items()})

    @property
    def last(self) -> dict[str, float | None]:
        """The row of the last epoch; an empty dict before the first."""
        return self.rows[-1] if self.rows else {}

    def keys(self) -> list[str]:
        """Return the names of the columns in the order in which they are shown."""
        seen = dict.fromkeys(name for row in self.rows for name in row)
        known = [name for name in COLUMNS if name in seen]
        return known + [name for name in seen if name not in COLUMNS]

    def values(self) -> list[list[float | None]]:
        """Return the columns."""
        return [self[name] for name in self.keys()]

    def items(self) -> list[tuple[str, list[float | None]]]:
        """Return pairs of a name and its column."""
        return [(name, self[name]) for name in self.keys()]

    def __getitem__(self, name: str) -> list[float | None]:
        """Return a column as a list, one value per epoch."""
        if name not in self:
            raise KeyError(f"no column {name!r}; this history has: {', '.join(self.keys())}")
        return [row.get(name) for row in self.rows]

    def __contains__(self, name: object) -> bool:
        return any(name in row for row in self.rows)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the columns, as a dict does."""
        return iter(self.keys())

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.rows)

    def to_dict(self) -> dict:
        """Return everything as JSON-able values; :meth:`from_dict` is the inverse."""
        return {"rows": [dict(row) for row in self.rows], "stopped_because": self.stopped_because}

    @classmethod
    def from_dict(cls, record: Mapping) -> History:
        """Rebuild the history that :meth:`to_dict` wrote.

        Examples
        --------
        >>> history = History.from_dict({"rows": [{"epoch": 1}], "stopped_because": "done"})
        >>> len(history), history.stopped_because
        (1, 'done')
        """
        history = cls()
        for row in record["rows"]:
            history.append(row)
        history.stopped_because = record["stopped_because"]
        return history

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table as CSV: a line of names, a line per epoch, numbers in full precision.

        The file appears whole or not at all: it is written beside `path` and then moved there.
        """
        names = self.keys()
        lines = [names, *([row.get(name) for name in names] for row in self.rows)]
        text = "".join(
            ",".join("" if cell is None else _quoted(str(cell)) for cell in line) + "\n" for line in lines
        )
        path = os.path.realpath(os.fsdecode(path))
        temporary = f"{path}.{secrets.token_hex(6)}.tmp"
        try:
            with open(temporary, "x", encoding="utf-8", newline="") as file:
                file.write(text)
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.remove(temporary)
            raise

    def __str__(self) -> str:
        """Return the table; of a long one the first and the last epochs."""
        names = self.keys()
        if not names:
            return "History: no epochs yet"
        lines = [names, *([format_number(row.get(n)) for n in names] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        ]
        if len(self) > _MAX_ROWS_SHOWN:
            half = _MAX_ROWS_SHOWN // 2
            text[1 + half : -half] = [f"... {len(self) - 2 * half} more ..."]
        if self.stopped_because:
            text.append(f"stopped: {self.stopped_because}")
        return "\n".join(text)

    def __repr__(self) -> str:
        epochs = "1 epoch" if len(self) == 1 else f"{len(self)} epochs"
        return f"<History: {epochs}, columns {', '.join(self.keys()) or '(none)'}>"


def _plain(name: object, value: object) -> float | None:
    """Return a value as a Python int, float or None."""
    if not isinstance(name, str):
        raise OptionError(f"column {name!r}: expected a string as its name.")
    if value is None:
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise OptionError(f"column {name!r} = {value!r}: expected a number or None.")


def _quoted(cell: str) -> str:
    """Quote a CSV cell that needs it (a column name may hold a comma)."""
    if any(mark in cell for mark in ',"\n\r'):
        return '"' + cell.replace('"', '""') + '"'
    return cell
