"""Many cells at once, one thread each; what is finished is kept, whatever happens to the rest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path

from minidl.compare.cells import Cell, measure
from minidl.compare.tasks import TASKS, Task, load
from minidl.errors import OptionError, unknown_name
from minidl.jobs import each
from minidl.options import count

__all__ = ["Results", "run"]


class Results:
    """The records of finished cells in a folder: one file each, whole or not there.

    Parameters
    ----------
    folder : path-like
        Created with the first record.

    Examples
    --------
    >>> import tempfile
    >>> cell, task = Cell("digits", "relu", 3, "he_normal"), TASKS["digits"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     results = Results(folder)
    ...     results.put(cell, task, {"failed": 0})
    ...     results.get(cell, task), results.get(cell, task.with_options(seeds=9))
    ({'failed': 0}, None)
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise OptionError(f"{self.folder} is a file: expected a folder for the results.")

    def path(self, cell: Cell, task: Task) -> Path:
        """Return the file of a cell: its name tells the cell, the digits at its end cell and task."""
        digest = hashlib.blake2b(json.dumps(_identity(cell, task)).encode(), digest_size=8).hexdigest()
        scheme = "".join(c if c.isalnum() else "_" for c in cell.scheme)[:60]
        return self.folder / f"{cell.data}-{cell.activation}-{cell.depth}-{scheme}-{digest}.json"

    def get(self, cell: Cell, task: Task) -> dict | None:
        """Return the record of a cell, or None if there is none that can be read."""
        try:
            stored = json.loads(self.path(cell, task).read_text(encoding="utf-8"))
            return stored["record"] if stored["of"] == _identity(cell, task) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, cell: Cell, task: Task, record: dict) -> None:
        """Store a record; a reader sees all of it or nothing."""
        path = self.path(cell, task)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            text = json.dumps({"of": _identity(cell, task), "record": record})
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _identity(cell: Cell, task: Task) -> list:
    """What a record belongs to, as JSON gives it back."""
    return json.loads(json.dumps([dataclasses.asdict(cell), dataclasses.asdict(task)]))


def run(
    cells: Iterable[Cell],
    tasks: Mapping[str, Task] = TASKS,
    *,
    jobs: int = 1,
    results: Results | None = None,
    progress: Callable[[int, int, Cell], None] | None = None,
) -> dict[Cell, dict]:
    """Measure cells and return their records, in the order of the cells.

    Parameters
    ----------
    cells : iterable of Cell
    tasks : mapping of str to Task
        By the name of the data set.
    jobs : int
        Processes, each of one thread. With 1 nothing is started.
    results : Results, optional
        Where finished cells are looked up and kept. After an interruption the same call goes on.
    progress : callable, optional
        Called with the number of finished cells, of all cells, and the cell that was finished.

    Returns
    -------
    dict
        Cell -> record, see :func:`minidl.compare.measure`.

    Raises
    ------
    OptionError
        For a data set without a task, an unknown activation or scheme, before anything is trained.
    DataError, ImportError
        If a data set is not there.

    Examples
    --------
    >>> task = TASKS["spirals"].with_options(steps=10, learning_rates=(0.1,), seeds=1)
    >>> list(run([Cell("spirals", "relu", 1, "he_normal")], {"spirals": task}).values())[0]["lr"]
    0.1
    """
    cells = list(dict.fromkeys(cells))
    jobs = count("jobs", jobs, 1)
    check(cells, tasks)
    records = {cell: results.get(cell, tasks[cell.data]) if results else None for cell in cells}
    waiting = [cell for cell in cells if records[cell] is None]
    # the dearest first, so that none of them is left alone at the end
    waiting.sort(key=lambda cell: -cell.depth * tasks[cell.data].steps * tasks[cell.data].width)
    done = len(cells) - len(waiting)
    with closing(each(_work, [(cell, tasks[cell.data]) for cell in waiting], jobs)) as measured:
        for (cell, _), record in measured:
            records[cell] = record
            if results is not None:
                results.put(cell, tasks[cell.data], record)
            done += 1
            if progress is not None:
                progress(done, len(cells), cell)
    return records


def check(cells: Iterable[Cell], tasks: Mapping[str, Task]) -> None:
    """Raise OptionError for a name that nobody knows, and load the data."""
    from minidl import activations, init

    for cell in cells:
        if cell.data not in tasks:
            raise unknown_name("data", cell.data, tasks)
        activations.get(cell.activation)
        init.get(cell.scheme)
        count("depth", cell.depth, 1)
        load(cell.data)


def _work(item: tuple[Cell, Task]) -> dict:
    cell, task = item
    return measure(cell, task, load(cell.data))
