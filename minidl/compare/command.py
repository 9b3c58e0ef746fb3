"""What ``minidl compare`` does with its options."""

from __future__ import annotations

import dataclasses
import sys
import time
from argparse import Namespace

from minidl.bench import write_json
from minidl.compare import plots, report
from minidl.compare.cells import Cell
from minidl.compare.pool import Results, run
from minidl.compare.tasks import TASKS
from minidl.errors import OptionError, unknown_name
from minidl.kernels import threads
from minidl.pictures import check_picture

__all__ = ["main", "split"]


def split(option: str, text: str, kind=str) -> list:
    """Split a text at its commas, except inside brackets.

    Raises
    ------
    OptionError
        If there is nothing between two commas, or something is not of the kind.

    Examples
    --------
    >>> split("--init", "zeros,he(mode='fan_out', slope=0.1)")
    ['zeros', "he(mode='fan_out', slope=0.1)"]
    >>> split("--depth", "3,10", int)
    [3, 10]
    """
    parts, level = [""], 0
    for letter in text:
        level += (letter in "([{") - (letter in ")]}")
        if letter == "," and level == 0:
            parts.append("")
        else:
            parts[-1] += letter
    try:
        if not all(part.strip() for part in parts):
            raise ValueError
        return [kind(part.strip()) for part in parts]
    except ValueError:
        words = {str: "names", int: "integers", float: "numbers"}[kind]
        raise OptionError(f"{option} {text!r}: expected {words} with a comma between them.") from None


def main(options: Namespace) -> None:
    """Compare, print the table, write the files.

    Examples
    --------
    >>> options = dict.fromkeys("seeds steps target width batch_size momentum keep plot json".split())
    >>> options |= {"data": "spirals", "init": "zeros", "activation": "tanh", "depth": "1", "lr": "0.1"}
    >>> main(Namespace(**options | {"seeds": 1, "steps": 10, "jobs": 1}))
    spirals: 32 wide, batches of 64, SGD with momentum 0.9, 10 steps, 1 seed; to a training loss of 0.5
    activation  hidden  init    lr  steps  quartiles  failed  seconds  loss  test error  rms z  contrast
    tanh             1  zeros  0.1  never        ?-?  1 of 1        -  1.1...
    ...
    """
    if options.plot is not None:
        check_picture(options.plot)
    if options.data not in TASKS:
        raise unknown_name("--data", options.data, TASKS)
    task = TASKS[options.data].with_options(
        width=options.width,
        batch_size=options.batch_size,
        steps=options.steps,
        target=options.target,
        momentum=options.momentum,
        seeds=options.seeds,
        learning_rates=None if options.lr is None else tuple(split("--lr", options.lr, float)),
    )
    tasks = {options.data: task}
    cells = [
        Cell(options.data, activation, depth, scheme)
        for activation in split("--activation", options.activation)
        for depth in split("--depth", options.depth, int)
        for scheme in split("--init", options.init)
    ]
    started = time.perf_counter()
    try:
        records = run(
            cells,
            tasks,
            jobs=threads.get_num_threads() if options.jobs is None else options.jobs,
            results=None if options.keep is None else Results(options.keep),
            progress=_show if sys.stderr.isatty() else None,
        )
    except ImportError as error:
        raise OptionError(f"--data {options.data}: {error}") from error
    print(report.table(records, tasks))
    why = report.reasons(records)
    print(f"\n{why}\n" if why else "")
    print(f"{len(cells)} cells, {time.perf_counter() - started:.1f} s")
    if options.json is not None:
        listed = [{**dataclasses.asdict(cell), **record} for cell, record in records.items()]
        write_json(options.json, {"task": dataclasses.asdict(task), "cells": listed})
        print(f"written to {options.json}")
    if options.plot is not None:
        plots.save(options.plot, records, tasks)
        print(f"drawn to {options.plot}")


def _show(done: int, total: int, cell: Cell) -> None:
    end = "\n" if done == total else "\r"
    print(f"\r{done} of {total} cells", end=end, file=sys.stderr, flush=True)
