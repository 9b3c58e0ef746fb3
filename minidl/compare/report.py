"""A comparison as a table of text: one line per cell, and why the cells that failed did."""

from __future__ import annotations

from collections.abc import Mapping

from minidl.compare.cells import Cell
from minidl.compare.tasks import Task

__all__ = ["aligned", "reasons", "table"]

HEAD = (
    "activation",
    "hidden",
    "init",
    "lr",
    "steps",
    "quartiles",
    "failed",
    "seconds",
    "loss",
    "test error",
    "rms z",
    "contrast",
)


def table(records: Mapping[Cell, dict], tasks: Mapping[str, Task]) -> str:
    """Return the records as a table, a block per data set.

    Parameters
    ----------
    records : mapping of Cell to dict
        What :func:`minidl.compare.run` returns.
    tasks : mapping of str to Task
        By which they were measured.

    Examples
    --------
    >>> from minidl.compare.tasks import TASKS
    >>> record = {"lr": 0.1, "steps": 90, "steps_low": 80, "steps_high": None, "failed": 1, "diverged": 0,
    ...           "seconds": 0.05, "loss": 0.3, "test_error": 0.05, "rms": 1.1, "contrast": 0.9}
    >>> print(table({Cell("digits", "tanh", 3, "he_normal"): record}, TASKS))
    digits: 64 wide, batches of 64, SGD with momentum 0.9, 600 steps, 5 seeds; to a training loss of 0.25
    activation  hidden  init        lr  steps  quartiles  failed  seconds  loss  test error  rms z  contrast
    tanh             3  he_normal  0.1     90       80-?  1 of 5    0.050  0.30        5.0%    1.1      0.90
    """
    blocks = []
    for data in dict.fromkeys(cell.data for cell in records):
        task = tasks[data]
        rows = [HEAD]
        rows += [_cells(cell, record, task) for cell, record in records.items() if cell.data == data]
        title = (
            f"{data}: {task.width} wide, batches of {task.batch_size}, SGD with momentum {task.momentum:g}, "
            f"{task.steps} steps, {task.seeds} seed{'s' if task.seeds > 1 else ''}; "
            f"to a training loss of {task.target:g}"
        )
        blocks.append(f"{title}\n{aligned(rows, LEFT)}")
    return "\n\n".join(blocks)


def reasons(records: Mapping[Cell, dict]) -> str:
    """Return, one a line, what theory says of the schemes that failed for more than half of the seeds.

    Examples
    --------
    >>> cell = Cell("digits", "relu", 3, "no_such_scheme")
    >>> reasons({cell: {"refused": "digits, relu: no."}})
    'no_such_scheme, relu, 3 hidden: refused. digits, relu: no.'
    """
    lines = []
    for cell, record in records.items():
        where = f"{cell.scheme}, {cell.activation}"
        if "refused" in record:
            lines.append(f"{where}, {cell.depth} hidden: refused. {record['refused']}")
        elif record["steps"] is None:
            lines.append(f"{where}: {_verdict(cell)}")
    return "\n".join(dict.fromkeys(lines))


def _verdict(cell: Cell) -> str:
    """What mean-field theory predicts for the scheme, in a sentence."""
    from minidl import init
    from minidl.errors import MinidlError

    try:
        verdict = init.get(cell.scheme).suits(cell.activation)
    except MinidlError:
        return "theory has no verdict."
    return f"theory {'expects it to train' if verdict.ok else 'expects trouble'}: {verdict.reason}"


def _cells(cell: Cell, record: dict, task: Task) -> tuple[str, ...]:
    what = (cell.activation, str(cell.depth), cell.scheme)
    if "refused" in record:
        return (*what, *["-"] * 3, "refused", *["-"] * 5)
    seconds = "-" if record["seconds"] is None else f"{record['seconds']:.3f}"
    return (
        *what,
        f"{record['lr']:g}",
        "never" if record["steps"] is None else str(record["steps"]),
        f"{_or_unknown(record['steps_low'])}-{_or_unknown(record['steps_high'])}",
        f"{record['failed']} of {task.seeds}",
        seconds,
        "inf" if record["loss"] is None else f"{record['loss']:.2f}",
        f"{record['test_error']:.1%}",
        "inf" if record["rms"] is None else f"{record['rms']:.2g}",
        f"{record['contrast']:.2g}" if record["contrast"] < 0.01 else f"{record['contrast']:.2f}",
    )


def _or_unknown(steps: int | None) -> str:
    return "?" if steps is None else str(steps)


LEFT = (0, 2)  # columns of words


def aligned(rows: list[tuple[str, ...]], left: tuple[int, ...] = (0,)) -> str:
    """Return rows of words as columns; those named are aligned to the left.

    Examples
    --------
    >>> print(aligned([("name", "x"), ("a", "10.5")]))
    name     x
    a     10.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
