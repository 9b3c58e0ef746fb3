"""Tables of the results, and the file of the results."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import numpy as np
from frameworks import PEERS

OURS = ("minidl", "minidl_per_call")
BUSY_LOAD = 0.5  # of other programs, in running threads


def summarize(samples: list[float]) -> dict[str, float]:
    """Return median and spread of samples."""
    p10, median, p90 = np.percentile(samples, (10, 50, 90))
    return {"median_us": float(median), "p10_us": float(p10), "p90_us": float(p90)}


def steal_ticks() -> int | None:
    """Return the clock ticks that the hypervisor has taken from this machine (Linux)."""
    try:
        return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    except (OSError, IndexError, ValueError):
        return None


def machine() -> dict[str, object]:
    """Return what the results depend on."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": cpu, "cpus": os.cpu_count(), "system": platform.system(),
            "python": platform.python_version()}  # fmt: skip


def load_line(load: tuple[float, ...], expected: float) -> str:
    """Return load averages as text, with a warning where more runs than this comparison."""
    busy = load[0] > expected + BUSY_LOAD
    warning = "  <- the machine is busy: do not believe these timings" if busy else ""
    return f"load average {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}{warning}"


def microseconds(x: float) -> str:
    """Three digits, without an exponent."""
    return f"{x:,.{max(0, 2 - int(np.floor(np.log10(x))))}f}" if x > 0 else "0"


def ratios(peers: dict[str, dict]) -> dict[str, float]:
    """Return how many times as long as minidl the best other library and PyTorch take."""
    medians = {name: row["median_us"] for name, row in peers.items() if "median_us" in row}
    others = {name: t for name, t in medians.items() if name not in OURS}
    if "minidl" not in medians or not others:
        return {}
    result = {"best_peer": min(others.values()) / medians["minidl"]}
    if "torch" in medians:
        result["torch"] = medians["torch"] / medians["minidl"]
    return result


def table(run: dict, names: list[str]) -> str:
    """Return the table of one number of threads: rows nets, columns peers."""
    shown = [name for name in names if name not in run["absent"]]
    head = ["net", *(PEERS[name].title for name in shown)]
    rows = [[*head, "best other/minidl", "PyTorch/minidl", "GFLOP/s", "of best sgemm"]]
    for net in run["nets"]:
        peers = net["peers"]
        row = [f"{net['name']} b{net['batch']} {net['activation']}"]
        for name in shown:
            peer = peers[name]
            row.append(microseconds(peer["median_us"]) if "median_us" in peer else peer["why"])
        ratio = ratios(peers)
        row += [f"{ratio[key]:.2f}" if key in ratio else "-" for key in ("best_peer", "torch")]
        if "median_us" in peers.get("minidl", {}):
            gflops = 1e-3 * net["flops"] / peers["minidl"]["median_us"]
            share = f"{gflops / run['best_sgemm_gflops']:.0%}" if run["best_sgemm_gflops"] else "-"
            row += [f"{gflops:.1f}", share]
        else:
            row += ["-", "-"]
        rows.append(row)
    return aligned(rows)


def spread(run: dict) -> str:
    """Return a table with median, p10 and p90 of every peer and net."""
    rows = [["net", "peer", "median us", "p10", "p90", "steps/sample", "preempted", "choice"]]
    for net in run["nets"]:
        for name, peer in net["peers"].items():
            if "median_us" in peer:
                times = [microseconds(peer[f"{key}_us"]) for key in ("median", "p10", "p90")]
                counts = [str(peer["steps_per_sample"]), str(peer["preempted"])]
                rows.append([net["name"], name, *times, *counts, peer["choice"]])
    return aligned(rows)


def aligned(rows: list[list[str]]) -> str:
    """Return rows as lines: first column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write_json(path: Path, record: dict) -> None:
    """Write the record; a reader never sees half a file."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(partial, path)
