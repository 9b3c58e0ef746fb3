"""Tables of the results, and the file of the results."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import numpy as np
from table import OURS, title

BUSY_LOAD = 0.5  # of other programs, in running threads
UNIT = {"train": "step", "predict": "call", "matmul": "product"}


def summarize(samples: list[float]) -> dict[str, float]:
    """Return median and spread of samples."""
    p10, median, p90 = np.percentile(samples, (10, 50, 90))
    return {"median_us": float(median), "p10_us": float(p10), "p90_us": float(p90)}


def steal_ticks() -> int | None:
    """Return the clock ticks that the hypervisor has taken from this machine (Linux)."""
    try:
        return int(_read("/proc/stat").split("\n", 1)[0].split()[8])
    except (IndexError, ValueError):
        return None


def machine() -> dict[str, object]:
    """Return what the results depend on; what a system does not tell is left out."""
    facts = {
        "cpu": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    cpuinfo = _read("/proc/cpuinfo").splitlines()
    for name, key in (("model name", "cpu"), ("microcode", "microcode")):
        for line in cpuinfo:
            if line.startswith(name):
                facts[key] = line.split(":", 1)[1].strip()
                break
    system = "/sys/devices/system/cpu/"
    for key, file in (("governor", "cpu0/cpufreq/scaling_governor"), ("smt_active", "smt/active")):
        if text := _read(system + file).strip():
            facts[key] = text
    return facts


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def load_line(load: tuple[float, ...], expected: float) -> str:
    """Return load averages as text, with a warning where more runs than this comparison."""
    busy = load[0] > expected + BUSY_LOAD
    warning = "  <- the machine is busy: do not believe these timings" if busy else ""
    return f"load average {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}{warning}"


def microseconds(x: float) -> str:
    """Three digits, without an exponent."""
    return f"{x:,.{max(0, 2 - int(np.floor(np.log10(x))))}f}" if x > 0 else "0"


# --- numbers --------------------------------------------------------------------------------------


def medians(case: dict) -> dict[str, float]:
    """Return the median of each peer that was timed."""
    return {name: row["median_us"] for name, row in case["peers"].items() if "median_us" in row}


def ratio(case: dict, other: str | None = None) -> float | None:
    """Return how many times as long as minidl another peer takes, or the best of all others."""
    times = medians(case)
    others = [t for name, t in times.items() if name not in OURS and other in (None, name)]
    return min(others) / times["minidl"] if others and "minidl" in times else None


def of_peak(run: dict, case: dict, us: float) -> float | None:
    """Return the share of the peak of the machine that a time stands for."""
    peak = run["roofs"]["peak_gflops"].get(case["dtype"])
    return 1e-3 * case["flops"] / us / peak if peak else None


def limit(run: dict, case: dict) -> float | None:
    """Return the ratio to the best other library of a program that is nothing but multiply-adds at the peak.

    No program on this machine can pass it with matrix products of that many operations.
    """
    ours = ratio(case)
    share = None if ours is None else of_peak(run, case, medians(case)["minidl"])
    return ours / share if share else None


def geometric_mean(ratios: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def summary(run: dict) -> dict | None:
    """Return the geometric mean and the lowest of the ratios to the best other library, and their limit."""
    found = {case["name"]: ratio(case) for case in run["cases"]}
    found = {name: r for name, r in found.items() if r is not None}
    if not found:
        return None
    lowest = min(found, key=found.get)
    limits = [limit(run, case) for case in run["cases"] if case["name"] in found]
    return {
        "geometric_mean": geometric_mean(list(found.values())),
        "limit": None if None in limits else geometric_mean(limits),
        "cases": len(found),
        "lowest": found[lowest],
        "lowest_case": lowest,
    }


# --- tables ---------------------------------------------------------------------------------------


def _number(x: float | None, form: str) -> str:
    return "-" if x is None else format(x, form)


def main_table(run: dict) -> str:
    """Return the table of one number of threads: rows are cases, columns peers."""
    table = _product_table if run["what"] == "matmul" else _time_table
    return aligned(table(run))


def _time_table(run: dict) -> list[list[str]]:
    """Microseconds of every peer, ratios, and how near minidl is to the peak."""
    head = ["us", *(title for title, _, _ in run["peers"].values())]
    rows = [[*head, "best other/minidl", "limit", "PyTorch/minidl", "GFLOP/s", "of peak"]]
    for case in run["cases"]:
        row = [case["name"]]
        for name in run["peers"]:
            peer = case["peers"][name]
            row.append(microseconds(peer["median_us"]) if "median_us" in peer else peer["why"])
        row += [_number(ratio(case), ".2f"), _number(limit(run, case), ".2f")]
        row.append(_number(ratio(case, "torch"), ".2f"))
        ours = medians(case).get("minidl")
        row.append(_number(1e-3 * case["flops"] / ours if ours else None, ".1f"))
        row.append(_number(of_peak(run, case, ours) if ours else None, ".0%"))
        rows.append(row)
    return rows


def _product_table(run: dict) -> list[list[str]]:
    """Share of the peak that every peer reaches, and the time and ratio of minidl."""
    head = ["of peak", *(title for title, _, _ in run["peers"].values())]
    rows = [[*head, "minidl us", "best other/minidl", "limit"]]
    for case in run["cases"]:
        row = [case["name"]]
        for name in run["peers"]:
            peer = case["peers"][name]
            share = of_peak(run, case, peer["median_us"]) if "median_us" in peer else None
            row.append(peer.get("why") or _number(share, ".0%"))
        ours = medians(case).get("minidl")
        row.append(microseconds(ours) if ours else "-")
        rows.append([*row, _number(ratio(case), ".2f"), _number(limit(run, case), ".2f")])
    return rows


def spread_table(run: dict) -> str:
    """Return a table with median, p10 and p90 of every peer and case."""
    rows = [["case", "peer", "median us", "p10", "p90", "per sample", "preempted", "choice"]]
    for case in run["cases"]:
        for name, peer in case["peers"].items():
            if "median_us" in peer:
                times = [microseconds(peer[f"{key}_us"]) for key in ("median", "p10", "p90")]
                counts = [str(peer["units_per_sample"]), str(peer["preempted"])]
                rows.append([case["name"], name, *times, *counts, peer["choice"]])
    return aligned(rows)


def roof_line(run: dict) -> str:
    """Return the roofs of the machine as text."""
    roofs = run["roofs"]
    if not roofs["peak_gflops"]:
        return "no roofs: they need an installed minidl"
    peaks = ", ".join(f"{rate:.1f} GFLOP/s in {dtype}" for dtype, rate in roofs["peak_gflops"].items())
    triads = ", ".join(f"{rate:.1f} ({size})" for size, rate in roofs["triad_gb_s"].items())
    line = f"FMA peak: {peaks}; copy: {roofs['copy_gb_s']:.1f} GB/s; triad, GB/s: {triads}"
    if run["threads"] > 1:
        slowest, fastest = min(roofs["handover_gb_s"]), max(roofs["handover_gb_s"])
        line += f"; from core to core, GB/s: {slowest:.1f} to {fastest:.1f}"
    return line


def print_run(run: dict) -> None:
    """Print everything about one run."""
    what = run["what"]
    print(f"\n{run['threads']} thread(s), CPUs {run['cpus']}: median per {UNIT[what]}")
    print(main_table(run))
    found = summary(run)
    if found:
        print(
            f"\nbest other/minidl: geometric mean {found['geometric_mean']:.2f} over {found['cases']} cases; "
            f"lowest {found['lowest']:.2f} ({found['lowest_case']})"
        )
        if found["limit"]:
            print(f"multiply-adds at the peak and nothing else: geometric mean {found['limit']:.2f}")
    print(roof_line(run))
    for name, version, settings in run["peers"].values():
        print(f"{name} {version}: {settings}")
    for name, why in run["absent"].items():
        print(f"{title(what, name)} is absent: {why}")
    for case in run["cases"]:
        for name, peer in case["peers"].items():
            if "why" in peer:
                print(f"{run['peers'][name][0]} left out of {case['name']}: {peer['reason']}")
    print(f"\n{spread_table(run)}")


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
