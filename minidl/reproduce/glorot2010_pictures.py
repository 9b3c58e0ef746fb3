"""The figures of Glorot and Bengio (2010), drawn from our data.

Each function fills a matplotlib figure, or a part of one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minidl.reproduce.glorot2010 import CHANCE, CONFIGURATIONS
from minidl.reproduce.signals import BINS, GRADIENT_REACH

__all__ = ["PICTURES"]

CENTRES = 0.5 * (BINS[1:] + BINS[:-1])


def _layer_colors(depth: int) -> list:
    from matplotlib import colormaps

    return [colormaps["viridis"](x) for x in np.linspace(0.0, 0.92, depth)]


def _tanh(data: Mapping) -> list[Mapping]:
    return [entry for entry in data["signals"] if entry["activation"] == "tanh"]


def _histograms(figure, data: Mapping, name: str, std: str, unit: float, labels: tuple[str, str]) -> None:
    """Two panels, standard and normalized, with a line for each layer and both stds in the legend."""
    panels = figure.subplots(2, 1, sharex=True)
    for axes, entry in zip(panels, _tanh(data), strict=True):
        nets = entry["nets"]
        counts = np.sum([net[name] for net in nets], axis=0).astype(float)
        share = counts / counts.sum(axis=1, keepdims=True)
        measured = np.mean([net[std] for net in nets], axis=0)
        scale = 1.0
        if std == "gradient_std":
            scale = float(np.sqrt(np.mean([net["output_gradient"] for net in nets])))
        predicted = scale * np.array(entry["predicted"][std])
        for layer, color in enumerate(_layer_colors(data["depth"])):
            label = f"layer {layer + 1}: std {measured[layer]:.3g}, theory {predicted[layer]:.3g}"
            axes.plot(unit * CENTRES, share[layer], color=color, label=label, linewidth=1.3)
        axes.set(ylabel="share", title=f"tanh, {entry['scheme']}", ylim=(0.0, None))
        axes.legend(frameon=False, fontsize=7, loc="upper right")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel(labels[1])
    figure.suptitle(labels[0], fontsize=11)


def activations(figure, data: Mapping) -> None:
    """Fig. 6: with the standard initialization the peak at 0 grows from layer to layer.

    Examples
    --------
    >>> list(PICTURES)
    ['fig06-activations', 'fig07-gradients', 'fig02-saturation', 'fig11-learning']
    """
    words = "Activations at initialization (Fig. 6)", "activation"
    _histograms(figure, data, "activations", "activation_std", 1.0, words)


def gradients(figure, data: Mapping) -> None:
    """Fig. 7: with the standard initialization the peak at 0 grows towards the input."""
    top = f"dC/ds in standard deviations of layer {data['depth']}"
    words = "Back-propagated gradients at initialization (Fig. 7)", top
    _histograms(figure, data, "gradients", "gradient_std", GRADIENT_REACH, words)


def saturation(figure, data: Mapping) -> None:
    """Fig. 2: mean activation of the hidden layers of a sigmoid network, by learning rate."""
    panels = figure.subplots(1, len(data["saturation"]), sharey=True, squeeze=False)[0]
    for axes, entry in zip(panels, data["saturation"], strict=True):
        runs = [run for run in entry["runs"] if run["updates"]]
        length = min((len(run["updates"]) for run in runs), default=0)
        means = np.array([run["means"][:length] for run in runs])  # seeds, looks, layers
        for layer in range(means.shape[-1] if length else 0):
            color = _layer_colors(means.shape[-1])[layer]
            updates, values = runs[0]["updates"][:length], means[:, :, layer]
            axes.fill_between(updates, values.min(axis=0), values.max(axis=0), color=color, alpha=0.25, lw=0)
            axes.plot(updates, np.median(values, axis=0), color=color, label=f"layer {layer + 1}")
        axes.axhline(0.1, color="black", linewidth=0.8, linestyle=":")
        axes.set(xlabel="updates", title=f"learning rate {entry['lr']:g}", ylim=(0.0, 0.8))
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(axis="x", nbins=4)
    panels[0].set_ylabel("mean activation")
    panels[0].legend(frameon=False, fontsize=7, loc="upper left", ncols=2)
    figure.suptitle("Sigmoid, 4 hidden layers, first 10 % of the updates (Fig. 2)", fontsize=11)


def learning(figure, data: Mapping) -> None:
    """Figs. 11 and Table 1: the loss on images not seen before, and the test error beside the paper's."""
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1.0))
    names = list(CONFIGURATIONS)
    for k, name in enumerate(names):
        color = f"C{k}"
        runs = [run for run in data["trained"][name] if run["updates"]]
        length = min((len(run["updates"]) for run in runs), default=0)
        if length:
            losses = np.array([run["losses"][:length] for run in runs])
            updates = runs[0]["updates"][:length]
            left.fill_between(updates, losses.min(axis=0), losses.max(axis=0), color=color, alpha=0.2, lw=0)
            label = f"{name}, rate {data['rates'][name]:g}"
            left.plot(updates, np.median(losses, axis=0), color=color, label=label)
        errors = [100.0 * run["error"] for run in data["trained"][name]]
        right.plot(errors, [k] * len(errors), "o", color=color, ms=5, label="ours" if k == 0 else None)
        paper = CONFIGURATIONS[name][2]
        right.plot(
            [paper], [k], "x", color="black", ms=6, label="paper, 5 million updates" if k == 0 else None
        )
    left.set(xlabel="updates", ylabel="loss on new images", ylim=(0.0, 2.4))
    left.legend(frameon=False, fontsize=8, loc="lower left")
    right.axvline(CHANCE, color="black", linewidth=0.8, linestyle=":")
    right.text(CHANCE - 1.0, -0.45, "chance", ha="right", va="center", fontsize=8)
    right.set_yticks(range(len(names)), names)
    right.set(xlabel="test error [%]", xlim=(0.0, 90.0), ylim=(len(names) - 0.5, -0.7))
    right.legend(frameon=False, fontsize=8, loc="lower left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Training on Shapeset-3x2 (Fig. 11, Table 1)", fontsize=11)


#: name -> function of a figure and the data of a report
PICTURES = {
    "fig06-activations": activations,
    "fig07-gradients": gradients,
    "fig02-saturation": saturation,
    "fig11-learning": learning,
}
