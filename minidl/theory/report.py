"""What theory knows of an activation, as text: the body of ``minidl theory``."""

from __future__ import annotations

import math

from minidl.errors import OptionError
from minidl.options import count, non_negative, positive
from minidl.theory.critical import CriticalPoint, doubly_critical, edge_line, edge_of_chaos
from minidl.theory.function import as_function
from minidl.theory.gains import gains
from minidl.theory.maps import MeanField
from minidl.theory.verdict import verdict

__all__ = ["report"]


def report(
    activation: object,
    sigma_b: float | None = None,
    sigma_w: float | None = None,
    q: float | None = None,
    depth: int = 50,
) -> str:
    """Return gains, critical points, depth scales and a verdict, as lines of text.

    Parameters
    ----------
    activation : str, Activation, callable or Function
    sigma_b : float, optional
        Standard deviation of the biases, >= 0.
    sigma_w : float, optional
        sqrt(fan_in Var(W)), > 0; without it, the value on the edge of chaos.
    q : float, optional
        Instead of sigma_b: the variance at which the edge of chaos is taken.
    depth : int
        For the verdict.

    Raises
    ------
    OptionError
        A number is out of range, or q comes with sigma_b or sigma_w.

    Examples
    --------
    >>> print(report("relu"))
    relu
      E phi, E phi^2, E phi'^2   0.398942, 0.5, 0.5
      forward gain               1.41421 (weights: gain / sqrt(fan_in))
      backward gain              1.41421
      1 / std gain               1.71286
      with the forward gain      squared gradients x 1 per layer, slope of the variance map 1
      doubly critical            sigma_w 1.41421, sigma_b 0, any q
    edge of chaos at sigma_b 0
      sigma_w, sigma_b           1.41421, 0
      q, chi_1, chi_q            1, 1, 1
      xi_q, xi_c                 inf, inf
      note                       every q is a fixed point.
      50 layers                  relu: after 50 layers q is 1, and squared gradients change by a factor of 1.
    """
    if q is not None and not (sigma_b is None and sigma_w is None):
        raise OptionError("q: cannot be combined with sigma_b or sigma_w; it chooses both.")
    depth = count("depth", depth, minimum=1)
    function = as_function(activation)
    sections = [function.label, *_gain_lines(function)]
    if sigma_w is None:
        title, lines = _critical_lines(function, sigma_b, q, depth)
    else:
        title, lines = _stack_lines(function, positive("sigma_w", sigma_w), sigma_b or 0.0, depth)
    return "\n".join([*sections, title, *lines, *_edge_lines(function)])


def _line(name: str, text: str) -> str:
    return f"  {name:<26} {text}"


def _numbers(*values: float) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _gain_lines(function) -> list[str]:
    g = gains(function)
    repels = "; q = 1 repels" if g.chi_q > 1.0 + 1e-8 else ""
    lines = [
        _line("E phi, E phi^2, E phi'^2", _numbers(g.mean, g.second_moment, g.slope_moment)),
        _line("forward gain", f"{g.forward:.6g} (weights: gain / sqrt(fan_in))"),
        _line("backward gain", f"{g.backward:.6g}"),
        _line("1 / std gain", f"{g.std:.6g}"),
        _line(
            "with the forward gain",
            f"squared gradients x {g.chi_1:.6g} per layer, slope of the variance map {g.chi_q:.6g}{repels}",
        ),
    ]
    try:
        point = doubly_critical(function)
        where = "any q" if point.stable and point.q > 0.0 else f"q {point.q:.6g}"
        text = f"sigma_w {point.sigma_w:.6g}, sigma_b {point.sigma_b:.6g}, {where}"
    except OptionError:
        text = "nowhere"
    return [*lines, _line("doubly critical", text)]


def _critical_lines(function, sigma_b, q, depth: int) -> tuple[str, list[str]]:
    """Lines about a point on the edge; without a number given, none is an answer too."""
    asked = sigma_b is not None or q is not None
    try:
        point = edge_of_chaos(function, sigma_b=0.0 if not asked else sigma_b, q=q)
    except OptionError as error:
        if asked:
            raise
        return "edge of chaos", [_line("none", str(error))]
    title = f"edge of chaos at q {q:g}" if q is not None else f"edge of chaos at sigma_b {point.sigma_b:g}"
    return title, [*_point_lines(point), _depth_line(function, point.sigma_w2, point.sigma_b2, depth)]


def _edge_lines(function) -> list[str]:
    """The edge of chaos as a table; nothing where it is a single point or does not exist."""
    try:
        points = edge_line(function, n=7, q_range=(0.1, 100.0))
    except OptionError:
        return []
    if len(points) == 1:
        return []
    rows = [f"    {'q':>8}  {'sigma_w':>8}  {'sigma_b':>8}  {'chi_q':>8}"]
    rows += [f"    {p.q:8.4g}  {p.sigma_w:8.5g}  {p.sigma_b:8.4g}  {p.chi_q:8.4g}" for p in points]
    return ["the edge, where squared gradients keep their size (q repels where chi_q > 1)", *rows]


def _point_lines(point: CriticalPoint) -> list[str]:
    return [
        _line("sigma_w, sigma_b", _numbers(point.sigma_w, point.sigma_b)),
        _line("q, chi_1, chi_q", _numbers(point.q, 1.0, point.chi_q)),
        _line("xi_q, xi_c", _numbers(point.xi_q, point.xi_c)),
        *(_line("note", note) for note in point.notes),
    ]


def _stack_lines(function, sigma_w: float, sigma_b: float, depth: int) -> tuple[str, list[str]]:
    sigma_b = non_negative("sigma_b", sigma_b)
    field = MeanField(function, sigma_w**2, sigma_b**2)
    trainable = "" if math.isinf(field.xi_c) else f" (trainable to about {6.0 * field.xi_c:.0f} layers)"
    lines = [
        _line("phase", field.phase),
        _line("q, chi_1, chi_q", _numbers(field.q_star, field.chi_1, field.chi_q)),
        _line("c", f"{field.c_star:.6g}"),
        _line("xi_q, xi_c", _numbers(field.xi_q, field.xi_c) + trainable),
        *(_line("note", note) for note in field.notes),
        _depth_line(function, sigma_w**2, sigma_b**2, depth),
    ]
    return f"sigma_w {sigma_w:g}, sigma_b {sigma_b:g}", lines


def _depth_line(function, sigma_w2: float, sigma_b2: float, depth: int) -> str:
    return _line(f"{depth} layers", verdict(function, sigma_w2, sigma_b2, depth).reason)
