"""The edge of chaos: where gradients neither vanish nor explode, for any activation."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from minidl.errors import OptionError
from minidl.options import count, non_negative, number, positive, significant
from minidl.theory.function import Function, as_function
from minidl.theory.maps import MARGINAL, depth_scale
from minidl.theory.roots import find_root

__all__ = ["CriticalPoint", "doubly_critical", "edge_line", "edge_of_chaos"]

SEARCH = np.geomspace(1e-10, 1e5, 61)  # variances that are looked at before roots are bracketed
SATURATED = 100.0  # sigma_w^2 above which a point is of no practical use


@dataclass(frozen=True)
class CriticalPoint:
    """A point (sigma_w, sigma_b) on the edge of chaos, where chi_1 = 1.

    Attributes
    ----------
    sigma_w2, sigma_b2 : float
        fan_in * Var(W) and Var(b); sigma_w2 is rounded to 10 significant digits, as is sigma_b2.
    sigma_w, sigma_b : float
        Their square roots.
    q : float
        The variance of the pre-activations at which it is critical; 0 where the signal must be small.
    chi_q : float
        Slope of the variance map there.
    xi_q : float
        Layers in which the distance to q falls by a factor of e; inf if it does not fall exponentially.
    xi_c : float
        inf, as on the whole edge.
    stable : bool
        Whether q attracts or all q serve alike; else a deep network leaves the point, see `notes`.
    notes : tuple of str

    Examples
    --------
    >>> point = edge_of_chaos("tanh", sigma_b=0.2)
    >>> point.sigma_w2, point.stable
    (1.700796372, True)
    """

    activation: str
    sigma_w2: float
    sigma_b2: float
    q: float
    chi_q: float
    stable: bool
    notes: tuple[str, ...] = ()

    @property
    def sigma_w(self) -> float:
        return math.sqrt(self.sigma_w2)

    @property
    def sigma_b(self) -> float:
        return math.sqrt(self.sigma_b2)

    @property
    def xi_q(self) -> float:
        return depth_scale(self.chi_q)

    @property
    def xi_c(self) -> float:
        return math.inf


def edge_of_chaos(activation: object, sigma_b: float | None = None, q: float | None = None) -> CriticalPoint:
    r"""Return the point of the edge of chaos for a given bias, or for a given variance.

    .. math:: \sigma_w^2 = 1 / E\varphi'(\sqrt q z)^2, \qquad
              \sigma_b^2 = q - \sigma_w^2 E\varphi(\sqrt q z)^2

    Given q these are the two numbers; given sigma_b, q is the root of the second equation.

    Parameters
    ----------
    activation : str, Activation, callable or Function
    sigma_b : float, optional
        Standard deviation of the biases, >= 0.
    q : float, optional
        Variance of the pre-activations, > 0. Give one of the two.

    Returns
    -------
    CriticalPoint

    Raises
    ------
    OptionError
        There is no such point (softplus has none at all; relu and its kind only sigma_b = 0), or not
        exactly one of sigma_b and q is given.

    References
    ----------
    Schoenholz et al., ICLR 2017, arXiv:1611.01232. Hayou, Doucet, Rousseau, *On the impact of the
    activation function on deep neural networks training*, ICML 2019, arXiv:1902.06853.

    Examples
    --------
    >>> round(edge_of_chaos("tanh", sigma_b=0.2).sigma_w, 5)
    1.30415
    >>> edge_of_chaos("relu", sigma_b=0.0).sigma_w2
    2.0
    """
    function = as_function(activation)
    if (sigma_b is None) == (q is None):
        raise OptionError(f"sigma_b={sigma_b!r}, q={q!r}: give one of them, for example sigma_b=0.2.")
    if q is not None:
        q = number("q", q, "a variance from 1e-12 to 1e12", lambda x: 1e-12 <= x <= 1e12)
        point = _at(function, q)
        if point is None:
            raise OptionError(
                f"{function.label}: at q={q:g} the edge of chaos would need a negative bias variance, "
                f"{_bias_variance(function, q):.4g}."
            )
        return point
    target = non_negative("sigma_b", sigma_b)
    target *= target
    if _homogeneous(function):
        if target > 0.0:
            raise OptionError(
                f"sigma_b={sigma_b:g}: the edge of chaos of {function.label} is a single point, sigma_b=0, "
                f"sigma_w2={_at(function, 1.0).sigma_w2:.6g}."
            )
        return _at(function, 1.0)
    if target == 0.0 and _has_slope_at_zero(function):
        return _at_zero(function)
    before, difference = None, -target
    for q in SEARCH:
        previous, difference = difference, _bias_variance(function, q) - target
        if difference >= 0.0 and (before is not None or difference == 0.0):
            if previous < 0.0:
                q = find_root(lambda x: _bias_variance(function, x) - target, before, q)
            return _at(function, float(q), target)
        before = float(q)
    reached = [b for b in (_bias_variance(function, q) for q in SEARCH) if b >= 0.0]
    if not reached:
        raise OptionError(
            f"{function.label}: has no edge of chaos. For every q the biases would need a negative variance; "
            "subtract the mean from the activation, or use its gain."
        )
    raise OptionError(
        f"sigma_b={sigma_b:g}: {function.label} has no edge of chaos there, only for sigma_b from "
        f"{math.sqrt(min(reached)):.3g} to {math.sqrt(max(reached)):.3g}."
    )


def edge_line(
    activation: object, n: int = 50, q_range: tuple[float, float] = (1e-3, 100.0)
) -> tuple[CriticalPoint, ...]:
    """Return points of the edge of chaos, in the order of growing q.

    Parameters
    ----------
    activation : str, Activation, callable or Function
    n : int
        How many variances, >= 2, evenly spaced on a logarithmic scale. Those that would need a negative
        bias variance are left out.
    q_range : (float, float)
        The smallest and the largest.

    Returns
    -------
    tuple of CriticalPoint
        A single one for relu and its kind.

    Raises
    ------
    OptionError
        The edge has no point in that range.

    Examples
    --------
    >>> line = edge_line("tanh", n=5)
    >>> [round(point.sigma_w2, 3) for point in line]
    [1.002, 1.035, 1.478, 4.583, 18.83]
    """
    function = as_function(activation)
    low, high = positive("q_range[0]", q_range[0]), positive("q_range[1]", q_range[1])
    if low >= high:
        raise OptionError(f"q_range={q_range!r}: expected a smaller number first.")
    if _homogeneous(function):
        return (_at(function, 1.0),)
    variances = np.geomspace(low, high, count("n", n, minimum=2))
    points = tuple(p for p in (_at(function, float(q)) for q in variances) if p is not None)
    if not points:
        raise OptionError(
            f"{function.label}: has no edge of chaos for q from {low:g} to {high:g}: the biases would need "
            "a negative variance."
        )
    return points


def doubly_critical(activation: object) -> CriticalPoint:
    r"""Return the point where both susceptibilities are one: :math:`\chi_1 = \chi_q = 1`.

    There neither gradients nor the variance grow or shrink exponentially. Activations like gelu have one
    at a q > 0, which attracts from one side only, and slowly; smooth odd ones like tanh have it in the
    limit q = 0, at sigma_b = 0 and sigma_w = 1 / phi'(0); relu and its kind have it for every q.

    Returns
    -------
    CriticalPoint

    Raises
    ------
    OptionError
        The activation has no such point.

    References
    ----------
    Roberts, Yaida, Hanin, *The principles of deep learning theory*, 2022, arXiv:2106.10165.

    Examples
    --------
    >>> point = doubly_critical("gelu")
    >>> round(point.q, 6), round(point.sigma_w2, 6), round(point.sigma_b2, 6)
    (3.561553, 1.983058, 0.172922)
    >>> doubly_critical("tanh").q
    0.0
    """
    function = as_function(activation)
    if _homogeneous(function):
        return _at(function, 1.0)

    def excess(q):
        m = function.moments(q)
        return m.growth / m.slope - 1.0

    # near q = 0 and for large q the difference can be too small for a sign that means something
    grid = [(float(q), excess(q)) for q in SEARCH if 1e-4 <= q <= 1e4]
    grid = [(q, e) for q, e in grid if abs(e) > 1e-9]
    for (low, before), (high, after) in itertools.pairwise(grid):
        if before * after < 0.0:
            point = _at(function, find_root(excess, low, high), double=True)
            if point is not None:
                return point
    if _has_slope_at_zero(function) and abs(excess(0.0)) < MARGINAL:
        return _at_zero(function)
    raise OptionError(f"{function.label}: has no point where both susceptibilities are 1.")


def _bias_variance(function: Function, q: float) -> float:
    """Return the bias variance that the edge needs at q; it may be negative."""
    m = function.moments(q)
    if not m.slope > 0.0:
        return -math.inf
    return float(q - m.second / m.slope)


def _has_slope_at_zero(function: Function) -> bool:
    """Whether phi(0) = 0 and phi'(0) is not 0 on both sides."""
    near, nearer = function.moments(1e-20).slope, function.moments(1e-24).slope
    return function.at_zero == 0.0 and nearer > 0.5 * near > 0.0


def _homogeneous(function: Function) -> bool:
    """Whether the activation is linear on either side of 0, so that every q is critical with no bias."""
    return all(abs(_bias_variance(function, q)) < 1e-11 * q for q in (1e-3, 0.37, 1.0, 2.9, 7.0))


def _at(
    function: Function, q: float, sigma_b2: float | None = None, double: bool = False
) -> CriticalPoint | None:
    """Return the critical point at q, or None if the biases would need a negative variance."""
    m = function.moments(q)
    if sigma_b2 is None:
        sigma_b2 = _bias_variance(function, q)
        if sigma_b2 < -1e-11 * q:
            return None
        sigma_b2 = significant(sigma_b2) if sigma_b2 > 1e-11 * q else 0.0
    chi_q = 1.0 if double else m.growth / m.slope
    sigma_w2 = significant(1.0 / m.slope)
    notes = []
    homogeneous = _homogeneous(function)
    if homogeneous:
        notes.append("every q is a fixed point.")
    elif double:
        notes.append("q attracts from one side only, and slowly.")
    elif chi_q > 1.0 + MARGINAL:
        notes.append(f"q = {q:.4g} repels (chi_q = {chi_q:.4g} > 1): a deep network leaves this point.")
    if sigma_w2 > SATURATED:
        notes.append(f"sigma_w = {math.sqrt(sigma_w2):.4g} saturates the units: of no practical use.")
    stable = homogeneous or (not double and chi_q < 1.0 - MARGINAL)
    return CriticalPoint(function.label, sigma_w2, sigma_b2, float(q), chi_q, stable, tuple(notes))


def _at_zero(function: Function) -> CriticalPoint:
    """Return the point sigma_b = 0 of an activation with phi(0) = 0, whose q is 0."""
    m = function.moments(0.0)
    sigma_w2 = significant(1.0 / m.slope)
    # on which side of the diagonal the variance map lies just above 0
    grows = function.moments(1e-4).second > 1e-4 / sigma_w2
    text = "q = 0 repels: the signal grows." if grows else "q falls to 0, like a power of the depth."
    return CriticalPoint(function.label, sigma_w2, 0.0, 0.0, m.growth / m.slope, not grows, (text,))
