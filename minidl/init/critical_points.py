"""Points at which signals and gradients keep their size: of an activation, and of it less its mean."""

from __future__ import annotations

import functools
from typing import NamedTuple

from minidl.errors import OptionError
from minidl.options import significant

__all__ = ["Point", "doubly_critical_point", "edge"]

DEFAULT_SIGMA_B = 0.2
# A centered point should bring q back fast: above it there is a second fixed point, which repels, and the
# fluctuations of a narrow net must not reach it. At chi_q = 0.9 softplus nets of width 128 do, at 0.81 not.
ATTRACTS = 0.81
TIDY = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0)


class Point(NamedTuple):
    """A critical point; numbers that decide weights have 10 significant digits.

    Examples
    --------
    >>> edge("tanh", 0.2, None, False).sigma_w2
    1.700796372
    """

    sigma_w2: float
    sigma_b2: float
    q: float
    chi_q: float
    #: what will go wrong in a deep network
    warning: str = ""


@functools.lru_cache(maxsize=256)
def edge(activation: str, sigma_b: float | None, q: float | None, centered: bool) -> Point:
    """Return the point of the edge of chaos for sigma_b or q; by default sigma_b = 0.2, or 0 if it must be.

    Examples
    --------
    >>> edge("relu", None, None, False).sigma_b2
    0.0
    >>> round(edge("relu", None, 1.0, True).sigma_b2, 10)  # 1 / pi
    0.3183098862
    """
    from minidl.theory import edge_of_chaos

    default = sigma_b is None and q is None
    if centered:
        return _centered_default(activation) if default else _centered_edge(activation, sigma_b, q)
    try:
        return _point(edge_of_chaos(activation, DEFAULT_SIGMA_B if default else sigma_b, q))
    except OptionError:
        if not default:
            raise
    return _point(edge_of_chaos(activation, sigma_b=0.0))


def _centered_default(activation: str) -> Point:
    """Return the point for sigma_b = 0.2, or the first one beyond that attracts well."""
    try:
        point = _centered_edge(activation, sigma_b=DEFAULT_SIGMA_B)
    except OptionError:  # linear
        return _centered_edge(activation, sigma_b=0.0)
    beyond = (_centered_edge(activation, q=q) for q in TIDY if q > point.q)
    return next((p for p in (point, *beyond) if p.chi_q <= ATTRACTS), point)


@functools.lru_cache(maxsize=64)
def doubly_critical_point(activation: str) -> Point:
    """Return the point where both susceptibilities are 1.

    Examples
    --------
    >>> round(doubly_critical_point("gelu").sigma_w2, 6)
    1.983058
    """
    from minidl.theory import doubly_critical

    found = doubly_critical(activation)
    # half-stable is the best that such a point can be; at q = 0 it may repel
    return _point(found, repels=found.q == 0.0 and not found.stable)


def _point(found, repels: bool | None = None) -> Point:
    """Return the point that theory found, with what will go wrong there."""
    repels = not found.stable if repels is None else repels
    saturates = found.sigma_w2 > 100.0
    warning = " ".join(found.notes) if repels or saturates else ""
    if repels:
        warning += " Take Critical(activation), or EdgeOfChaos(activation, centered=True)."
    elif saturates:
        warning += " Take EdgeOfChaos(activation, centered=True)."
    return Point(found.sigma_w2, found.sigma_b2, found.q, found.chi_q, warning)


def _centered_edge(activation: str, sigma_b: float | None = None, q: float | None = None) -> Point:
    r"""Return the point of the edge of chaos of phi - E phi.

    The variance that the biases need, q - Var phi / E phi'^2, is never negative; it grows from 0 at
    q = 0, and the smallest q that gives sigma_b^2 is taken.
    """
    from minidl.theory.critical import SEARCH
    from minidl.theory.function import as_function
    from minidl.theory.roots import find_root

    function = as_function(activation)

    def needed(q):
        m = function.moments(q)
        return q - (m.second - m.mean**2) / m.slope if m.slope > 0.0 else 0.0

    if all(needed(x) < 1e-11 * x for x in (0.37, 1.0, 7.0)):  # a straight line
        if sigma_b:
            raise OptionError(f"sigma_b={sigma_b:g}: {function.label} is linear, and needs sigma_b=0.")
        return Point(significant(1.0 / function.moments(1.0).slope), 0.0, 1.0 if q is None else q, 1.0)
    sigma_b2 = None if sigma_b is None else sigma_b * sigma_b
    if q is None and sigma_b2 == 0.0:
        q = 0.0
    elif q is None:
        above = next((i for i, x in enumerate(SEARCH) if needed(x) >= sigma_b2), None)
        if not above:
            raise OptionError(f"sigma_b={sigma_b:g}: no variance q of {function.label} needs such biases.")
        q = find_root(lambda x: needed(x) - sigma_b2, float(SEARCH[above - 1]), float(SEARCH[above]))
    m = function.moments(q)
    if not m.slope > 1e-10:
        raise OptionError(f"{function.label}: is flat at q={q:g}; it has no edge of chaos there.")
    if sigma_b2 is None:
        sigma_b2 = significant(needed(q)) if needed(q) > 1e-11 * q else 0.0
    chi_q = _centered_slope(function, q) / m.slope if q else 1.0
    warning = ""
    if chi_q > 1.0 + 1e-8:
        warning = f"q = {q:.4g} repels (chi_q = {chi_q:.4g} > 1): a deep network leaves this point."
    return Point(significant(1.0 / m.slope), sigma_b2, q, chi_q, warning)


def _centered_slope(function, q: float) -> float:
    """Return d/dq E(phi - m)^2 = E (phi - m) phi' x / q, with m held at its value for q."""
    from minidl.theory.quadrature import gaussian_mean

    m = function.moments(q).mean

    def integrand(x):
        return (function.value(x) - m) * function.slope(x) * x / q

    return gaussian_mean(integrand, q, function.kinks)
