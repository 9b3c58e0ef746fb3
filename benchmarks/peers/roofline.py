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
# where the name of a case may stand beside its dot: alignment, points to the right and upwards
PLACES = (("left", 7, 0), ("right", -7, 0), ("center", 0, -11), ("left", 5, -10), ("right", -5, -10))
TITLE = {"train": "training step", "predict": "prediction", "matmul": "matrix product"}


def draw(record: dict, path: Path) -> None:
    """Draw one panel per number of threads and write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = record["runs"]
    figure, axes = plt.subplots(
        1, len(runs), figsize=(10.5 * len(runs), 6.5), dpi=130, squeeze=False, layout="constrained"
    )
    for run, ax in zip(runs, axes[0], strict=True):
        _panel(ax, run)
    figure.suptitle(record["machine"]["cpu"], fontsize=10, color="#555555")
    figure.canvas.draw()  # the words are placed in pixels, so the panels must have their final size
    for run, ax in zip(runs, axes[0], strict=True):
        _name_roofs(ax, run["roofs"])
        _name_cases(ax, run)
    figure.savefig(path)
    plt.close(figure)


def _panel(ax, run: dict) -> None:
    dots = {name: _dots(run, name) for name in run["peers"]}
    x, y = zip(*(dot for found in dots.values() for dot in found), strict=True)
    roofs, peaks = _bandwidths(run["roofs"]), run["roofs"]["peak_gflops"]
    ridge = min((max(peaks.values()) / rate for rate in roofs.values()), default=min(x))
    ax.set(xscale="log", yscale="log", xlim=(min(min(x) / 2.5, ridge / 4), max(x) * 2.5))
    ax.set_ylim(min(y) / 2.5, max([*y, *peaks.values()]) * 2)
    _roofs(ax, run["roofs"])
    for name in sorted(dots, key=lambda name: name in OURS):  # ours on top
        if dots[name]:
            _series(ax, dots[name], name, run["peers"][name][0])
    threads = f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}"
    ax.set_title(f"{TITLE[run['what']]}, {', '.join(peaks) or 'float32'}, {threads}")
    ax.set_xlabel("floating-point operations per byte that must move")
    ax.set_ylabel("GFLOP/s")
    ax.grid(True, which="major", color="#EEEEEE", zorder=0)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9, frameon=False)


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


def _bandwidths(roofs: dict) -> dict[str, float]:
    """Return GB/s by the memory that the arrays need, small to large; memory counts the better of two."""
    found = dict(roofs["triad_gb_s"])
    if found:
        memory = list(found)[-1]
        found[memory] = max(found[memory], roofs["copy_gb_s"])
    return found


def _roofs(ax, roofs: dict) -> None:
    """Draw the bandwidths as slopes, up to the peak."""
    if not roofs["peak_gflops"]:
        return
    peak = max(roofs["peak_gflops"].values())
    left, right = ax.get_xlim()
    for rate in _bandwidths(roofs).values():
        ax.plot([left, peak / rate], [left * rate, peak], color="#999999", linewidth=1, zorder=1)
    ridge = peak / max(_bandwidths(roofs).values())
    ax.plot([ridge, right], [peak, peak], color="black", linewidth=1.6, zorder=2)


def _name_roofs(ax, roofs: dict) -> None:
    """Write the peak above its line, and each bandwidth along its slope."""
    if not roofs["peak_gflops"]:
        return
    peak = max(roofs["peak_gflops"].values())
    left, right = ax.get_xlim()
    ax.annotate(
        f"FMA peak {peak:.0f} GFLOP/s", (right, peak), xytext=(-6, 5), textcoords="offset points",
        ha="right", fontsize=9,
    )  # fmt: skip
    for i, (size, rate) in enumerate(_bandwidths(roofs).items()):
        start = max(left, ax.get_ylim()[0] / rate)
        ridge = peak / rate
        (x0, y0), (x1, y1) = ax.transData.transform([(start, start * rate), (ridge, peak)])
        # the slopes of the caches lie close: two names above, at different places, the others below
        below = i >= 2
        at = ridge * (start / ridge) ** (0.06 + 0.3 * (i % 2))
        ax.annotate(
            f"{rate:.0f} GB/s ({size})", (at, at * rate), xytext=(4, -3) if below else (-3, 2),
            textcoords="offset points", fontsize=7.5, color="#555555", ha="right",
            va="top" if below else "bottom", rotation=np.degrees(np.arctan2(y1 - y0, x1 - x0)),
            rotation_mode="anchor",
        )  # fmt: skip


def _name_cases(ax, run: dict) -> None:
    """Name cases beside their lowest dots, those with most work first, as long as there is room."""
    from matplotlib.transforms import Bbox

    pixels = ax.figure.dpi / 72  # per point
    size = 7.5
    frame = ax.get_window_extent()
    dots = ax.transData.transform([dot for name in run["peers"] for dot in _dots(run, name)])
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in dots]
    for case in sorted(run["cases"], key=lambda case: -case["flops"]):
        rates = [1e-3 * case["flops"] / r["median_us"] for r in case["peers"].values() if "median_us" in r]
        if not rates:
            continue
        dot = case["flops"] / case["bytes"], min(rates)
        x, y = ax.transData.transform(dot)
        width, height = 0.64 * size * pixels * len(case["name"]), 1.2 * size * pixels
        for ha, dx, dy in PLACES:
            left = {"left": x + dx * pixels, "right": x + dx * pixels - width, "center": x - width / 2}[ha]
            box = Bbox.from_bounds(left, y + dy * pixels - height / 2, width, height)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0
            if inside and not any(box.overlaps(other) for other in taken):
                ax.annotate(
                    case["name"], dot, xytext=(dx, dy), textcoords="offset points",
                    ha=ha, va="center", fontsize=size, color="#333333",
                )  # fmt: skip
                taken.append(box)
                break
