"""How fast a network runs on this machine, and how far that is from what the machine can do.

This is what ``minidl bench`` prints. Beside other libraries, on the same work: benchmarks/peers.py in the
source of minidl.
"""

from __future__ import annotations

import gc
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from minidl import training
from minidl.config import config
from minidl.data import float_dtype
from minidl.errors import out_of_range
from minidl.kernels import machine, threads
from minidl.lowering import Task
from minidl.mlp import MLP
from minidl.optim import SGD
from minidl.options import count

DATA_BYTES = 16 * 2**20  # rows to train on: about the size of a last-level cache
MAX_BATCHES = 512
SAMPLE_SECONDS = 0.01  # a call of fit costs less than a hundredth of that
MIN_SAMPLES, MAX_SAMPLES = 5, 30
MAX_PASSES = 10000  # over the ops of a step
RATES = {
    "copy_gb_s": machine.copy_bandwidth,
    "triad_gb_s": machine.triad_bandwidth,
    "handover_gb_s": machine.handover_bandwidth,
}


def parse_sizes(text: str) -> list[int]:
    """Parse the widths of a network; "30x100" stands for thirty layers of 100.

    Raises
    ------
    OptionError
        If the text is anything else than two or more widths.

    Examples
    --------
    >>> parse_sizes("784-3x100-10")
    [784, 100, 100, 100, 10]
    """
    sizes: list[int] = []
    for part in text.split("-"):
        times, _, width = part.rpartition("x") if "x" in part else ("1", "", part)
        if not (times.isdecimal() and width.isdecimal() and int(times) > 0 and int(width) > 0):
            raise out_of_range("net", text, "widths from input to output such as 784-256-10 or 784-30x100-10")
        sizes += [int(width)] * int(times)
    if len(sizes) < 2:
        raise out_of_range("net", text, "at least an input and an output width, such as 784-10")
    return sizes


def bench(
    sizes: list[int],
    activation: str = "relu",
    batch: int = 128,
    dtype: str = "float32",
    *,
    seconds: float = 1.0,
    ops: bool = False,
) -> dict:
    """Time a training step, the prediction of a batch and of one row, with the threads that minidl chooses.

    Parameters
    ----------
    sizes : list of int
        Widths from input to output.
    activation : str
        Of the hidden layers.
    batch : int
        Rows of a training step.
    dtype : {"float32", "float64"}
    seconds : float
        About how long to measure each phase.
    ops : bool
        Time each op of the training step, too.

    Returns
    -------
    dict
        "machine" (cpu, isa, peak_gflops by number of threads, copy_gb_s, triad_gb_s, handover_gb_s), "net",
        "phases" and with ``ops=True`` "ops": lists of dicts with times in microseconds.

    Raises
    ------
    OptionError, DtypeError, ShapeError
        As :class:`minidl.MLP` does, and for a batch < 1 or seconds that are not finite and >= 0.

    Examples
    --------
    >>> record = bench([4, 16, 3], batch=16, seconds=0.0)
    >>> [phase["name"] for phase in record["phases"]]
    ['train step', 'predict 16 rows', 'predict 1 row']
    """
    batch = count("batch", batch, 1)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise out_of_range("seconds", seconds, "a finite number >= 0")
    net = MLP(sizes, activation, seed=0, dtype=float_dtype(dtype).name)
    facts = machine_facts(net.dtype)
    phases = [_train(net, batch, seconds)]  # first: the ops are timed on what it leaves behind
    phases += [_predict(net, rows, seconds) for rows in dict.fromkeys((batch, 1))]
    record = {
        "machine": facts,
        "net": {
            "sizes": list(sizes),
            "activation": str(net.layers[0].activation if len(sizes) > 2 else "identity"),
            "batch": batch,
            "dtype": net.dtype,
            "parameters": net.params.count,
        },
        "phases": phases,
    }
    if ops:
        record["ops"] = _ops(net, batch, seconds)
    rows = phases + record.get("ops", [])
    _refresh(facts, net.dtype, {row["threads"] for row in rows})  # clocks change: the best is the roof
    for row in rows:
        row["gflops"] = 1e-3 * row["flops"] / row["median_us"]
        row["of_peak"] = row["gflops"] / facts["peak_gflops"][str(row["threads"])]
    return record


def machine_facts(dtype: str) -> dict:
    """Return CPU, instruction set level, and the measured roofs: the peak by number of threads.

    Examples
    --------
    >>> sorted(machine_facts("float32"))
    ['copy_gb_s', 'cpu', 'handover_gb_s', 'isa', 'minidl', 'peak_gflops', 'threads', 'triad_gb_s']
    """
    about = config()
    facts = {"minidl": about["minidl"], "cpu": about["cpu"], "isa": about["isa"]}
    facts |= {"threads": threads.get_num_threads(), "peak_gflops": {}}
    facts |= dict.fromkeys(RATES, 0.0)
    _refresh(facts, dtype, {1, facts["threads"]})
    return facts


def _refresh(facts: dict, dtype: str, teams: set[int]) -> None:
    """Measure the roofs again and keep the best."""
    peaks = facts["peak_gflops"]
    for n in sorted(teams | {int(n) for n in peaks}):
        peaks[str(n)] = max(machine.fma_peak(dtype, n), peaks.get(str(n), 0.0))
    for name, rate in RATES.items():
        facts[name] = max(facts[name], rate(n_threads=facts["threads"]))


# --- the phases -----------------------------------------------------------------------------------


def _data(net: MLP, n_rows: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Return random rows, targets and a loss that fits."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_rows, net.n_inputs)).astype(net.dtype)
    if net.n_outputs == 1:
        return x, rng.standard_normal((n_rows, 1)).astype(net.dtype), "mse"
    return x, rng.integers(net.n_outputs, size=n_rows), "cross_entropy"


def _train(net: MLP, batch: int, seconds: float) -> dict:
    """Time steps inside calls of fit over many batches."""
    row_bytes = net.n_inputs * np.dtype(net.dtype).itemsize
    n_batches = min(MAX_BATCHES, max(1, DATA_BYTES // (batch * row_bytes)))
    x, y, loss = _data(net, n_batches * batch)
    # a step so small that the weights stay what a user starts with, however long this runs
    options = {"loss": loss, "optimizer": SGD(lr=1e-6, momentum=0.9), "batch_size": batch, "verbose": 0}

    def steps(n: int) -> int:
        rows = min(n, n_batches) * batch
        epochs = -(-n // n_batches)
        net.fit(x[:rows], y[:rows], epochs=epochs, check_finite=False, **options)
        return epochs * (rows // batch)

    samples = _samples(steps, seconds)
    program = net.program
    return _row("train step", samples, program.n_threads, program.flops(batch))


def _predict(net: MLP, rows: int, seconds: float) -> dict:
    """Time calls of predict."""
    x, _, _ = _data(net, rows)

    def calls(n: int) -> int:
        predict = net.predict
        for _ in range(n):
            predict(x)
        return n

    samples = _samples(calls, seconds)
    batch = min(rows, training.EVALUATION_BATCH)
    with net.borrow(Task("predict"), batch) as program:
        team, flops = program.threads_for(batch), program.program.flops(rows)
    return _row(f"predict {rows} row{'s' if rows > 1 else ''}", samples, team, flops)


def _ops(net: MLP, batch: int, seconds: float) -> list[dict]:
    """Time the ops of a training step one by one; the network has been trained before."""
    x, y, loss = _data(net, batch)
    data = training.prepare(net, x, y, net.training.choose_loss(loss))
    task = Task("train", net.training.loss, data.kind, velocity=True, gather=True)
    order = np.arange(batch, dtype=np.int64)
    with net.borrow(task, batch) as program:
        program.lend(data.lent())
        once = program.time_ops(batch, 2, index=order)[1].sum()
        passes = max(MIN_SAMPLES, min(MAX_PASSES, int(seconds / once)))
        times = program.time_ops(batch, passes, index=order)
        team, ops = program.threads_for(batch), program.program.ops
    rows = []
    for op, column in zip(ops, times.T, strict=True):
        row = _row(op.kind.name, column, team, op.flops(batch))
        gb_s = 1e-3 * op.bytes(batch) / row["median_us"]
        rows.append({**row, "layer": op.layer, "what": op.text(), "gb_s": gb_s})
    return rows


# --- samples --------------------------------------------------------------------------------------


def _samples(action: Callable[[int], int], seconds: float) -> list[float]:
    """Return seconds per unit; action(n) does at least n units and returns how many."""

    def clock(n: int) -> tuple[float, int]:
        started = time.perf_counter()
        done = action(n)
        return time.perf_counter() - started, done

    elapsed, n = clock(1)
    while True:
        elapsed, n = min(clock(n), clock(n))
        if elapsed >= SAMPLE_SECONDS:
            break
        n = max(n + 1, int(n * min(10.0, 1.1 * SAMPLE_SECONDS / max(elapsed, 1e-9))))
    times = max(MIN_SAMPLES, min(MAX_SAMPLES, int(seconds / elapsed)))
    collected = gc.isenabled()
    gc.disable()
    try:
        return [elapsed / done for elapsed, done in (clock(n) for _ in range(times))]
    finally:
        if collected:
            gc.enable()


def _row(name: str, samples: Iterable[float], team: int, flops: float) -> dict:
    p10, median, p90 = (float(x) for x in 1e6 * np.percentile(samples, (10, 50, 90)))
    return {
        "name": name,
        "median_us": median,
        "p10_us": p10,
        "p90_us": p90,
        "threads": int(team),
        "flops": float(flops),
    }


# --- words ----------------------------------------------------------------------------------------


def report(record: dict) -> str:
    """Return a record as text: the machine in one line, then the tables."""
    facts, net = record["machine"], record["net"]
    peaks = ", ".join(
        f"{peak:.1f} ({n} thread{'s' if n != '1' else ''})"
        for n, peak in sorted(facts["peak_gflops"].items(), key=lambda item: int(item[0]))
    )
    name = "-".join(map(str, net["sizes"]))
    lines = [
        f"{name}, {net['activation']}, batch {net['batch']}, {net['dtype']}, "
        f"{net['parameters']:,} parameters",
        f"{facts['cpu']}, {facts['isa']}; FMA peak in GFLOP/s: {peaks}; "
        f"GB/s: copy {facts['copy_gb_s']:.1f}, triad {facts['triad_gb_s']:.1f}"
        + (f", from core to core {facts['handover_gb_s']:.1f}" if facts["threads"] > 1 else ""),
        "",
    ]
    head = ["", "us", "p10", "p90", "threads", "GFLOP/s", "of peak"]
    rows = [head, *(_cells(row) for row in record["phases"])]
    lines.append(_aligned(rows))
    if "ops" in record:
        total = sum(row["median_us"] for row in record["ops"])
        rows = [["op", *head[1:], "GB/s", "share", "what"]]
        for row in record["ops"]:
            cells = _cells(row)
            if not row["flops"]:
                cells[-2:] = ["-", "-"]
            share = f"{row['median_us'] / total:.0%}"
            rows.append([*cells, f"{row['gb_s']:.1f}", share, row["what"]])
        lines += ["", "the ops of the training step, one by one:", _aligned(rows, left=(0, 9))]
        if any(row["name"] == "GUARD" for row in record["ops"]):
            lines.append(
                "In a step, SGD updates each block of a gradient (DENSE_DW) at once, while it is in cache;\n"
                "here each is timed by itself, with the search for numbers that are not finite."
            )
    return "\n".join(lines)


def _cells(row: dict) -> list[str]:
    times = [_three_digits(row[key]) for key in ("median_us", "p10_us", "p90_us")]
    return [row["name"], *times, str(row["threads"]), f"{row['gflops']:.1f}", f"{row['of_peak']:.0%}"]


def _three_digits(x: float) -> str:
    return f"{x:,.{min(6, max(0, 2 - math.floor(math.log10(x))))}f}" if x > 0 else "0"


def _aligned(rows: list[list[str]], left: tuple[int, ...] = (0,)) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i in left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def write_json(path: str, record: dict) -> None:
    """Write a record; a reader never sees half a file."""
    target = Path(path)
    partial = target.with_name(target.name + ".part")
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, target)
