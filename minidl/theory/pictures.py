"""Pictures of the theory: variance map, correlation map, edge of chaos, depth scales (needs matplotlib)."""

from __future__ import annotations

import math

import numpy as np

from minidl.errors import OptionError, unknown_name
from minidl.options import non_negative, positive
from minidl.pictures import check_picture
from minidl.theory.critical import edge_line, edge_of_chaos
from minidl.theory.function import as_function
from minidl.theory.maps import MeanField
from minidl.theory.predict import Layer, predict

__all__ = ["PICTURES", "plot"]


def plot(
    path: str,
    activation: object,
    sigma_b: float | None = None,
    sigma_w: float | None = None,
    kinds: tuple[str, ...] | None = None,
) -> None:
    """Draw pictures side by side into a file.

    Parameters
    ----------
    path : str
        File to write; the ending (.png, .svg, .pdf) decides the format.
    activation : str, Activation, callable or Function
    sigma_b : float, optional
        Standard deviation of the biases, >= 0; 0 by default.
    sigma_w : float, optional
        sqrt(fan_in Var(W)), > 0; by default the value on the edge of chaos if there is one, else the
        forward gain.
    kinds : tuple of str, optional
        Of "variance", "correlation", "phases", "depth", "layers"; the first four by default.

    Raises
    ------
    OptionError
        matplotlib is missing, a kind is unknown, or the file cannot have that ending.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot(f"{folder}/tanh.png", "tanh", sigma_b=0.2, kinds=("variance",))  # doctest: +SKIP
    """
    kinds = ("variance", "correlation", "phases", "depth") if kinds is None else tuple(kinds)
    for kind in kinds:
        if kind not in PICTURES:
            raise unknown_name("kinds", kind, PICTURES)
    function = as_function(activation)
    sigma_b = 0.0 if sigma_b is None else non_negative("sigma_b", sigma_b)
    sigma_w = _default_width(function, sigma_b) if sigma_w is None else positive("sigma_w", sigma_w)
    check_picture(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(kinds))
    rows = math.ceil(len(kinds) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for k, kind in enumerate(kinds):
        axes = figure.add_subplot(rows, columns, k + 1)
        PICTURES[kind](axes, MeanField(function, sigma_w**2, sigma_b**2))
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)


def _default_width(function, sigma_b: float) -> float:
    try:
        return edge_of_chaos(function, sigma_b=sigma_b).sigma_w
    except OptionError:
        return function.moments(1.0).second ** -0.5


def _title(field: MeanField) -> str:
    label = field.function.label
    return f"{label}, $\\sigma_w$ = {field.sigma_w2**0.5:.4g}, $\\sigma_b$ = {field.sigma_b2**0.5:.3g}"


def _staircase(axes, f, x: float, steps: int) -> None:
    """Draw the way of an iteration between a curve and the diagonal."""
    xs, ys = [x], [x]
    for _ in range(steps):
        y = f(x)
        xs += [x, y]
        ys += [y, y]
        x = y
    axes.plot(xs, ys, lw=0.8, color="tab:gray")


def _variance(axes, field: MeanField) -> None:
    """V(q) against q, with the way that q takes from two places."""
    q = field.q_star if 0.0 < field.q_star < 1e3 else 1.0
    grid = np.linspace(0.0, 2.5 * q, 60)
    axes.plot(grid, grid, lw=0.8, color="black", ls=":")
    axes.plot(grid, [field.variance_map(x) for x in grid], color="tab:blue")
    leaving = field.fixed.kind == "unstable"
    for start in (0.85 * q, 1.15 * q) if leaving else (0.15 * q, 2.2 * q):
        _staircase(axes, field.variance_map, start, 12)
    if 0.0 < field.q_star < 1e3:
        axes.plot([q], [q], "o", color="tab:red" if leaving else "tab:green")
    axes.set(xlabel="$q$", ylabel="$V(q)$", title=_title(field), xlim=(0, 2.5 * q), ylim=(0, 2.5 * q))


def _correlation(axes, field: MeanField) -> None:
    """C(c) against c, with the way from uncorrelated inputs."""
    grid = np.concatenate((np.linspace(-1.0, 0.9, 39), np.linspace(0.92, 1.0, 9)))
    axes.plot(grid, grid, lw=0.8, color="black", ls=":")
    axes.plot(grid, [field.correlation_map(c) for c in grid], color="tab:blue")
    _staircase(axes, field.correlation_map, 0.0, 15)
    axes.plot([field.c_star], [field.c_star], "o", color="tab:green")
    axes.set(xlabel="$c$", ylabel="$C(c)$", title=f"correlation map, $\\chi_1$ = {field.chi_1:.4g}")


def _phases(axes, field: MeanField) -> None:
    """The edge of chaos in the plane of sigma_b and sigma_w."""
    width, bias = field.sigma_w2**0.5, field.sigma_b2**0.5
    right, top = max(1.0, 1.5 * bias), 2.0 * width
    try:
        line = edge_line(field.function, n=120, q_range=(1e-4, 1e3))
    except OptionError:
        line = ()
    if line:
        x, y = [p.sigma_b for p in line], np.array([p.sigma_w for p in line])
        if len(line) == 1:  # chi_1 does not depend on q, but q grows without bound beside the point
            x, y = [0.0, right], np.repeat(y, 2)
        inside = [p.sigma_w for p in line if p.sigma_b <= right]
        top = max(top, 1.3 * max(inside, default=0.0))
        good = np.array([p.stable for p in line]) if len(line) > 1 else np.zeros(2, bool)
        shaded = good if good.any() else ~good  # where q repels, the phase depends on where it starts
        axes.fill_between(x, 0.0, y, where=shaded, color="tab:blue", alpha=0.12, lw=0)
        axes.fill_between(x, y, top, where=shaded, color="tab:orange", alpha=0.15, lw=0)
        axes.plot(x, np.where(good, y, np.nan), color="black")
        axes.plot(x, np.where(good, np.nan, y), color="black", ls=":")
        axes.text(0.62 * right, 0.2 * top, "ordered", color="tab:blue")
        axes.text(0.62 * right, 0.85 * top, "chaotic", color="tab:orange")
    axes.plot([bias], [width], "*", color="tab:red", ms=10, clip_on=False)
    title = "edge of chaos (dotted: q leaves it)" if line else "no edge of chaos"
    axes.set(xlabel="$\\sigma_b$", ylabel="$\\sigma_w$", title=title, xlim=(0, right), ylim=(0, top))


def _depth(axes, field: MeanField) -> None:
    """xi_q and xi_c against sigma_w."""
    width = field.sigma_w2**0.5
    grid = np.linspace(0.6 * width, 1.5 * width, 31)
    fields = [MeanField(field.function, w * w, field.sigma_b2) for w in grid]
    for name, values, style in (
        (r"$\xi_c$", [f.xi_c for f in fields], {"color": "tab:blue"}),
        (r"$\xi_q$", [f.xi_q for f in fields], {"color": "tab:orange", "ls": "--"}),
    ):
        axes.plot(grid, np.where(np.isfinite(values), values, np.nan), label=name, **style)
    axes.axvline(width, color="tab:red", lw=0.8, ls=":")
    title = f"depth scales, $\\sigma_b$ = {field.sigma_b2**0.5:.3g}"
    axes.set(xlabel="$\\sigma_w$", ylabel="layers", yscale="log", title=title)
    axes.legend(frameon=False)


def _layers(axes, field: MeanField, n_layers: int = 30, width: int = 300, n_nets: int = 10) -> None:
    """Predicted lines and simulated points: q, c and squared gradients in a stack of layers."""
    stack = [Layer(width, width, field.sigma_w2 / width, field.sigma_b2, field.function)] * n_layers
    prediction = predict(stack, q0=1.0, c0=0.0)
    q, c, g = _simulate(field, n_layers, width, n_nets)
    layers = np.arange(1, n_layers + 1)
    for predicted, measured, color, name in (
        (prediction.q, q, "tab:blue", "$q$"),
        (prediction.c, c, "tab:green", "$c$"),
        (prediction.gradient, g, "tab:orange", "gradient$^2$"),
    ):
        axes.plot(layers, predicted, color=color, label=name)
        axes.plot(layers, measured, ".", ms=4, color=color)
    axes.set(xlabel="layer", yscale="log", title=_title(field))
    axes.legend(frameon=False)


def _simulate(field: MeanField, n_layers: int, width: int, n_nets: int):
    """Return q, c and squared gradients of random networks in float64, means over the networks."""
    rng = np.random.default_rng(0)
    q, c, g = np.zeros((3, n_nets, n_layers))
    for net in range(n_nets):
        x = np.linalg.qr(rng.normal(size=(width, 2)))[0].T * math.sqrt(width)  # two orthogonal inputs
        weights, slopes = [], []
        for layer in range(n_layers):
            weights.append(rng.normal(size=(width, width)) * math.sqrt(field.sigma_w2 / width))
            z = x @ weights[-1] + rng.normal(size=width) * math.sqrt(field.sigma_b2)
            q[net, layer] = np.mean(z**2)
            c[net, layer] = z[0] @ z[1] / math.sqrt(z[0] @ z[0] * (z[1] @ z[1]))
            slopes.append(field.function.slope(z[0]))
            x = field.function.value(z)
        gradient = rng.normal(size=width)
        g[net, -1] = gradient @ gradient
        for layer in range(n_layers - 1, 0, -1):
            gradient = weights[layer] @ gradient * slopes[layer - 1]
            g[net, layer - 1] = gradient @ gradient
        g[net] /= g[net, -1]
    return q.mean(axis=0), c.mean(axis=0), g.mean(axis=0)


#: kind -> function that draws it
PICTURES = {
    "variance": _variance,
    "correlation": _correlation,
    "phases": _phases,
    "depth": _depth,
    "layers": _layers,
}
