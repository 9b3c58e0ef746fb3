"""A comparison as a picture: a loss curve per scheme with a band over the seeds, and a map scheme x depth."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from minidl.compare.cells import Cell
from minidl.compare.tasks import Task
from minidl.errors import OptionError
from minidl.pictures import check_picture

__all__ = ["figure", "save"]

PANEL = (3.6, 3.0)  # inches


def save(path: str, records: Mapping[Cell, dict], tasks: Mapping[str, Task]) -> None:
    """Draw the records to a file; its suffix, such as .png, .svg or .pdf, says which kind.

    Raises
    ------
    OptionError
        If matplotlib is not installed, or does not know the suffix.

    Examples
    --------
    >>> save("curves.docx", {}, {})
    Traceback (most recent call last):
    minidl.errors.OptionError: curves.docx: expected a file name that ends in ...
    """
    check_picture(path)
    figure(records, tasks).savefig(path, dpi=150)


def figure(records: Mapping[Cell, dict], tasks: Mapping[str, Task]):
    """Return a figure: a row per data set and activation; a panel per depth, then the map.

    Lines are medians over the seeds, bands reach from the lowest to the highest. A curve ends where the
    first of its seeds diverged. In the map, darker is faster; a cell that did not reach the target says so.

    Examples
    --------
    >>> from minidl.compare.tasks import TASKS
    >>> figure({}, TASKS)
    Traceback (most recent call last):
    minidl.errors.OptionError: nothing to draw: no records.
    """
    from matplotlib.figure import Figure

    groups: dict[tuple[str, str], dict[Cell, dict]] = {}
    for cell, record in records.items():
        groups.setdefault((cell.data, cell.activation), {})[cell] = record
    if not groups:
        raise OptionError("nothing to draw: no records.")
    depths = sorted({cell.depth for cell in records})
    schemes = list(dict.fromkeys(cell.scheme for cell in records))
    width = (len(depths) + 1) * PANEL[0] + 1.5
    picture = Figure(figsize=(width, len(groups) * PANEL[1] + 0.6), layout="constrained")
    ratios = [*[1.0] * len(depths), 1.1]
    grid = picture.subplots(len(groups), len(depths) + 1, squeeze=False, width_ratios=ratios)
    lines = {}
    for axes, ((data, activation), group) in zip(grid, groups.items(), strict=True):
        task = tasks[data]
        for panel, depth in zip(axes, depths, strict=False):
            for cell, record in group.items():
                if cell.depth == depth and record.get("curves"):
                    lines[cell.scheme] = _curve(panel, record, task, schemes.index(cell.scheme))
            panel.axhline(task.target, color="black", linewidth=0.8, linestyle=":")
            panel.set_title(f"{data}, {activation}, {depth} hidden", fontsize=10)
            panel.set_xlabel("steps")
            panel.set_ylim(bottom=0.0, top=_top(group, task))
        axes[0].set_ylabel("training loss")
        _map(axes[-1], group, task, schemes, depths)
    if lines:
        names = [scheme for scheme in schemes if scheme in lines]
        picture.legend(
            [lines[name] for name in names], names, loc="outside lower center", ncols=min(4, len(names))
        )
    return picture


def _curve(panel, record: dict, task: Task, index: int):
    """Draw the median of the curves and their range; return the line."""
    length = min(map(len, record["curves"]))
    curves = np.array([curve[:length] for curve in record["curves"]]).reshape(-1, length)
    steps = np.minimum(np.arange(1, length + 1) * task.every, task.steps)
    color = f"C{index % 10}"
    style = ("-", "--", "-.")[index // 10 % 3]
    if length:
        panel.fill_between(steps, curves.min(axis=0), curves.max(axis=0), color=color, alpha=0.2, linewidth=0)
    middle = np.median(curves, axis=0) if length else []
    return panel.plot(steps, middle, color=color, linestyle=style, label=str(index))[0]


def _top(group: Mapping[Cell, dict], task: Task) -> float:
    """A loss just above the first ones: what diverges leaves the panel."""
    starts = [curve[0] for record in group.values() for curve in record.get("curves", ()) if curve]
    return max(1.1 * float(np.median(starts)) if starts else 0.0, 1.5 * task.target)


def _map(axes, group: Mapping[Cell, dict], task: Task, schemes: list[str], depths: list[int]) -> None:
    """Draw the median of steps by scheme and depth."""
    values = np.full((len(schemes), len(depths)), np.nan)
    for cell, record in group.items():
        row, column = schemes.index(cell.scheme), depths.index(cell.depth)
        steps = record.get("steps")
        if steps is not None:
            values[row, column] = math.log(steps)
            words, color = str(steps), "white" if steps < math.sqrt(task.every * task.steps) else "black"
        else:
            words, color = ("refused" if "refused" in record else "never"), "#b00020"
        axes.text(column, row, words, ha="center", va="center", color=color, fontsize=9)
    axes.imshow(values, cmap="viridis", vmin=math.log(task.every), vmax=math.log(task.steps), aspect="auto")
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_yticks(range(len(schemes)), schemes, fontsize=8)
    axes.yaxis.tick_right()
    axes.set_xlabel("hidden layers")
    axes.set_title(f"steps to a loss of {task.target:g}", fontsize=10)
