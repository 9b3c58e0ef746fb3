"""The roofline picture: how near each library comes to what the machine can do.

A dot is a case and a library. To the right stands how many operations a case has per byte that must move
(its operands, each once); upwards, the operations per second that were reached. The slanted roofs are
bytes per second, the level one is the peak of multiply-adds (Williams, Waterman, Patterson, "Roofline: an
insightful visual performance model", CACM 52, 2009). Small cases stay in a cache between calls, so the
slanted roof above them is that of the cache.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from table import OURS

# Colours that also the colour-blind can tell apart (Okabe and Ito), minidl in front.
STYLE = {
    "minidl": ("#D55E00", "o"),
    "minidl_kernel": ("#E69F00", "D"),
    "minidl_per_call": ("#E69F00", "D"),
    "torch": ("#0072B2", "s"),
    "torch_compile": ("#56B4E9", "P"),
    "jax": ("#009E73", "^"),
    "jax_scan": ("#00563F", "v"),
    "sklearn": ("#8C6BB1", "<"),
    "numpy": ("#555555", "X"),
    "onnxruntime": ("#CC79A7", ">"),
}
TITLE = {"train": "training step", "predict": "prediction", "matmul": "matrix product"}


def draw(record: dict, path: Path) -> None:
    """Draw one panel per number of threads and write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = record["runs"]
    figure, axes = plt.subplots(
        1, len(runs), figsize=(9.5 * len(runs), 6.5), squeeze=False, layout="constrained"
    )
    for run, ax in zip(runs, axes[0], strict=True):
        _panel(ax, run)
    figure.suptitle(record["machine"]["cpu"], fontsize=10, color="#555555")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _panel(ax, run: dict) -> None:
    dots = {name: _dots(run, name) for name in run["peers"]}
    x, y = zip(*(dot for found in dots.values() for dot in found), strict=True)
    peaks = run["roofs"]["peak_gflops"]
    ax.set(xscale="log", yscale="log", xlim=(min(x) / 2.5, max(x) * 2.5))
    ax.set_ylim(min(y) / 2.5, max([*y, *peaks.values()]) * 2.5)
    _roofs(ax, run["roofs"])
    for name in sorted(dots, key=lambda name: name in OURS):  # ours on top
        if dots[name]:
            _series(ax, dots[name], name, run["peers"][name][0])
    _names(ax, run)
    threads = f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}"
    ax.set_title(f"{TITLE[run['what']]}, {', '.join(peaks) or 'float32'}, {threads}")
    ax.set_xlabel("floating-point operations per byte that must move")
    ax.set_ylabel("GFLOP/s")
    ax.grid(True, which="major", color="#EEEEEE", zorder=0)
    ax.legend(loc="lower right", fontsize=9, framealpha=0.95)


def _dots(run: dict, name: str) -> list[tuple[float, float]]:
    """Return flop per byte and GFLOP/s of one peer in every case that was timed."""
    return [
        (case["flops"] / case["bytes"], 1e-3 * case["flops"] / case["peers"][name]["median_us"])
        for case in run["cases"]
        if "median_us" in case["peers"][name]
    ]


def _series(ax, dots: list[tuple[float, float]], name: str, label: str) -> None:
    colour, marker = STYLE[name]
    front = name in OURS
    ax.plot(
        *zip(*dots, strict=True), linestyle="", marker=marker, color=colour, label=label,
        markersize=7 if front else 6, alpha=1 if front else 0.75,
        markeredgecolor="white", markeredgewidth=0.6, zorder=4 if front else 3,
    )  # fmt: skip


def _roofs(ax, roofs: dict) -> None:
    """Draw the peak, and below it the bandwidths with their names along the slope."""
    if not roofs["peak_gflops"]:
        return
    peak = max(roofs["peak_gflops"].values())
    bandwidths = dict(roofs["triad_gb_s"])
    memory = list(bandwidths)[-1]
    bandwidths[memory] = max(bandwidths[memory], roofs["copy_gb_s"])
    left, right = ax.get_xlim()
    bottom = ax.get_ylim()[0]
    ax.plot([left, right], [peak, peak], color="black", linewidth=1.6, zorder=2)
    ax.annotate(
        f"FMA peak {peak:.0f} GFLOP/s", (right, peak), xytext=(-6, 5), textcoords="offset points",
        ha="right", fontsize=9,
    )  # fmt: skip
    for i, (size, rate) in enumerate(bandwidths.items()):
        ridge = peak / rate  # flop per byte where computing takes over from moving
        start = max(left, bottom / rate)
        if ridge <= start:
            continue
        ax.plot([start, ridge], [start * rate, peak], color="#999999", linewidth=1, zorder=1)
        # the slopes lie close together, so their names take turns along them
        at = start * (ridge / start) ** (0.02 + 0.24 * i)
        ax.annotate(
            f"{rate:.0f} GB/s, {size}", (at, at * rate), xytext=(0, 2), textcoords="offset points",
            fontsize=7.5, color="#666666", rotation=45, rotation_mode="anchor",
            transform_rotates_text=True,
        )  # fmt: skip


def _names(ax, run: dict) -> None:
    """Name the cases below their lowest dots, as long as there are few."""
    if len(run["cases"]) > 12:
        return
    left, right = ax.get_xlim()
    used: list[float] = []
    for case in run["cases"]:
        rates = [1e-3 * case["flops"] / r["median_us"] for r in case["peers"].values() if "median_us" in r]
        if not rates:
            continue
        x, y = case["flops"] / case["bytes"], min(rates)
        # two cases with as many flop per byte: the second name goes to the other side
        crowded = any(abs(np.log(x / other)) < 0.04 * np.log(right / left) for other in used)
        used.append(x)
        ax.annotate(
            case["name"], (x, y), xytext=(-9 if crowded else 9, 0), textcoords="offset points",
            ha="right" if crowded else "left", va="center", fontsize=7.5, color="#444444",
        )  # fmt: skip
