"""A draw of a scheme, to be looked at: as a histogram in text and as a picture."""

from __future__ import annotations

import itertools
import re
import textwrap
from dataclasses import dataclass

import numpy as np

from minidl.errors import MinidlError
from minidl.init.base import Initializer
from minidl.init.law import Law
from minidl.init.spec import LayerSpec
from minidl.pictures import check_picture

__all__ = ["DEFAULT_SHAPE", "Draw", "draw", "histogram", "plot"]

#: (fan_in, fan_out) of a draw.
DEFAULT_SHAPE = (784, 256)
# What a scheme is tried on when the user names no activation: the first that it serves.
_ACTIVATIONS = ("relu", "tanh", "sine(30.0)", "selu", "gelu", "sigmoid", "identity")
_BINS = 15


@dataclass(frozen=True)
class Draw:
    """What a scheme gave one layer.

    Attributes
    ----------
    spec : LayerSpec
    initializer : Initializer
        That filled the layer: the choice, if the scheme is a rule.
    reason : str
        Of the choice.
    weight, bias : ndarray of float64
    """

    spec: LayerSpec
    initializer: Initializer
    reason: str
    weight: np.ndarray
    bias: np.ndarray

    @property
    def law(self) -> Law | None:
        """The law of the elements of the weight; None if no formula gives it."""
        try:
            law = self.initializer.law(self.spec.fan_in, self.spec.fan_out)
        except MinidlError:
            return None
        return law if isinstance(law, Law) else None


def draw(
    x: Initializer, shape: tuple[int, int] | None = None, activation: str | None = None, seed: int = 0
) -> Draw:
    """Fill a hidden layer of a plain network of three, to be looked at.

    Parameters
    ----------
    x : Initializer
    shape : (int, int), optional
        (fan_in, fan_out); default (784, 256).
    activation : str, optional
        Default: the first of a few common ones that the scheme serves, relu before others.
    seed : int

    Raises
    ------
    OptionError, ShapeError
        The scheme serves no such layer.

    Examples
    --------
    >>> from minidl.init import He
    >>> draw(He(), (3, 2)).weight.shape
    (3, 2)
    """
    refused = None
    for name in (activation,) if activation is not None else _ACTIVATIONS:
        spec = LayerSpec(
            "1", shape or DEFAULT_SHAPE, activation=name, input_activation=name, index=1, depth=3
        )
        weight, bias = np.empty(spec.shape), np.empty(spec.n_outputs)
        try:
            chosen, reason = x.resolve(spec)
            x.start.init_layer(spec, seed, weight, bias)
        except MinidlError as error:
            refused = refused or error
            continue
        return Draw(spec, chosen, reason, weight, bias)
    raise refused


def histogram(shown: Draw, width: int = 40) -> str:
    """Return a histogram of the weight, with what its law expects, and its moments.

    Examples
    --------
    >>> from minidl.init import Ones
    >>> print(histogram(draw(Ones(), (2, 3))))
      1  100.0 %  ########################################
    mean 1 (law 1), std 0 (law 0), min 1, max 1 (bound 1)
    """
    values = shown.weight.ravel()
    if not values.size:
        return "no elements"
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _BINS:
        labels = [f"{value:.6g}" for value in distinct]
        shares, expected = counts / values.size, None
    else:
        edges = np.linspace(values.min(), values.max(), _BINS + 1)
        shares = np.histogram(values, edges)[0] / values.size
        labels = [f"{left:.3g} to {right:.3g}" for left, right in itertools.pairwise(edges)]
        expected = None if shown.law is None else np.diff(shown.law.cdf()(edges))
    longest = max(map(len, labels))
    lines = []
    for i, (label, share) in enumerate(zip(labels, shares, strict=True)):
        text = f"  {label:>{longest}}  {100 * share:5.1f} %"
        if expected is not None:
            text += f"  (law {100 * expected[i]:4.1f} %)"
        lines.append(f"{text}  {'#' * round(width * share / max(shares))}".rstrip())
    lines.append(_moments(shown))
    if np.ptp(shown.bias) or shown.bias.any():
        b = shown.bias
        lines.append(f"bias: mean {b.mean():.4g}, std {b.std():.4g}, min {b.min():.4g}, max {b.max():.4g}")
    return "\n".join(lines)


def _moments(shown: Draw) -> str:
    values, expected = shown.weight, _expected(shown)

    def beside(name, key):
        return "" if expected[key] is None else f" ({name} {expected[key]:.4g})"

    return (
        f"mean {values.mean():.4g}{beside('law', 'mean')}, "
        f"std {values.std():.4g}{beside('law', 'std')}, min {values.min():.4g}, "
        f"max {values.max():.4g}{beside('bound', 'bound')}"
    )


def _expected(shown: Draw) -> dict[str, float | None]:
    """Return mean, standard deviation and bound of an element, None where no formula gives them."""
    fans, found = (shown.spec.fan_in, shown.spec.fan_out), {}
    for name in ("std", "bound"):
        try:
            found[name] = float(getattr(shown.initializer, name)(*fans))
        except MinidlError:
            found[name] = None
    return {"mean": None if shown.law is None else shown.law.center(), **found}


def plot(shown: Draw, path: str) -> None:
    """Draw a histogram of the weight with the density of its law, and write it to a file (matplotlib).

    Parameters
    ----------
    shown : Draw
    path : str
        The ending says the format: .png, .svg, .pdf.

    Raises
    ------
    OptionError
        matplotlib is not installed, or does not know the format.

    Examples
    --------
    >>> from minidl.init import He
    >>> plot(draw(He()), "he.png")  # doctest: +SKIP
    """
    check_picture(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values, law = shown.weight.ravel(), shown.law
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")  # not pyplot: no window, no global state
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    distinct = np.unique(values)
    if len(distinct) <= _BINS:
        shares = [(values == value).mean() for value in distinct]
        axes.vlines(distinct, 0.0, shares, colors="C0", linewidth=3.0)
        axes.set_ylabel("share of the elements")
        axes.set_ylim(bottom=0.0)
    else:
        axes.hist(values, bins=80, density=True, color="C0", alpha=0.45, label="drawn")
        if law is not None:
            margin = 0.05 * np.ptp(values)
            x = np.linspace(values.min() - margin, values.max() + margin, 2001)
            density = np.diff(law.cdf()(x)) / np.diff(x)
            axes.plot((x[1:] + x[:-1]) / 2.0, density, color="C3", linewidth=1.5, label=_rounded_repr(law))
        axes.set_ylabel("density")
        figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize="small")
    axes.set_xlabel("weight")
    n_in, n_out = shown.spec.fan_in, shown.spec.fan_out
    title = textwrap.shorten(repr(shown.initializer), 60, placeholder=" ...")
    axes.set_title(f"{title}, fan_in={n_in}, fan_out={n_out}", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _rounded_repr(law: Law) -> str:
    """Return a law with four digits."""
    return re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: f"{float(number[0]):.4g}", repr(law))
