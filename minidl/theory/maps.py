"""Mean-field theory of a stack of equal layers: variance map, correlation map, what they lead to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from minidl.errors import out_of_range
from minidl.options import non_negative, number, positive
from minidl.theory.function import Function, as_function
from minidl.theory.roots import find_root

__all__ = ["FixedPoint", "MeanField"]

SMALLEST, LARGEST = 1e-12, 1e12  # beyond them q counts as 0 or infinite
AT_INFINITY = 1e18  # where limits for infinite q are taken
MARGINAL = 1e-8  # |slope - 1| below which a slope counts as 1: parameters have 10 digits
FLAT = 1e-9  # relative change of q per layer that counts as none
STEP = 1.5  # of the search for fixed points


@dataclass(frozen=True)
class FixedPoint:
    """Where the variance of the pre-activations goes.

    Attributes
    ----------
    q : float
        0 and inf are possible.
    slope : float
        chi_q, the derivative of the variance map there.
    kind : str
        "stable" (attracts from both sides), "half-stable" (from one side), "unstable" (repels),
        "marginal" (every q near it is a fixed point, as for relu), "zero" or "infinity".
    stable : bool
        Whether it attracts from both sides.
    note : str
        One sentence.

    Examples
    --------
    >>> MeanField("tanh", 1.3).fixed_point().kind
    'stable'
    """

    q: float
    slope: float
    kind: str
    note: str

    @property
    def stable(self) -> bool:
        return self.kind == "stable"


class MeanField:
    r"""A stack of equal, infinitely wide layers, z = W phi(z_before) + b.

    Weights are independent with mean 0 and variance sigma_w2 / fan_in, biases with variance sigma_b2.
    The variance q of the pre-activations and the correlation c of those of two inputs follow

    .. math:: q' = V(q) = \sigma_w^2 E\varphi(\sqrt q z)^2 + \sigma_b^2, \qquad
              c' = (\sigma_w^2 E\varphi(u_1)\varphi(u_2) + \sigma_b^2) / q',

    and the squared norm of gradients shrinks by :math:`\chi = \sigma_w^2 E\varphi'(\sqrt q z)^2` per layer
    on the way back.

    Parameters
    ----------
    activation : str, Activation, callable or Function
    sigma_w2 : float
        fan_in * Var(W), > 0.
    sigma_b2 : float
        Var(b), >= 0.
    q0 : float
        Variance from which the stack starts, > 0. Only where there are several fixed points does it
        matter for the attributes below.

    Attributes
    ----------
    q_star, chi_q : float
        The fixed point of q that is reached from q0, and the slope of the variance map there.
    chi_1 : float
        chi at q_star: the factor on squared gradients per layer, and the slope of the correlation map at
        c = 1.
    phase : str
        "ordered" (chi_1 < 1: inputs become alike, gradients vanish), "chaotic" (chi_1 > 1: like inputs
        become unlike, gradients explode) or "critical".
    c_star : float
        The correlation that pairs of inputs approach.
    xi_q, xi_c : float
        Depth scales: the distances to q_star and c_star fall like e^(-l / xi). inf where the decay is
        slower than exponential; 0 where one layer suffices.
    xi_gradient : float
        1 / \|ln chi_1\|: layers over which squared gradients change by a factor of e.
    notes : tuple of str
        What a user must know: points that repel, signals that vanish or explode.

    Raises
    ------
    OptionError
        A number is out of range, or the activation is unknown.

    References
    ----------
    Poole, Lahiri, Raghu, Sohl-Dickstein, Ganguli, *Exponential expressivity in deep neural networks
    through transient chaos*, NeurIPS 2016, arXiv:1606.05340. Schoenholz, Gilmer, Ganguli,
    Sohl-Dickstein, *Deep information propagation*, ICLR 2017, arXiv:1611.01232.

    Examples
    --------
    >>> theory = MeanField("tanh", 2.0, 0.05)
    >>> theory.phase, round(theory.q_star, 4), round(theory.c_star, 4), round(theory.xi_c, 1)
    ('chaotic', 0.7218, 0.7441, 25.2)
    """

    def __init__(self, activation: object, sigma_w2: float, sigma_b2: float = 0.0, q0: float = 1.0):
        self.function: Function = as_function(activation)
        self.sigma_w2 = positive("sigma_w2", sigma_w2)
        self.sigma_b2 = non_negative("sigma_b2", sigma_b2)
        self.q0 = positive("q0", q0)

    def __repr__(self) -> str:
        return f"MeanField({self.function.label}, sigma_w2={self.sigma_w2:g}, sigma_b2={self.sigma_b2:g})"

    # --- the maps --------------------------------------------------------------------------------

    def variance_map(self, q: float) -> float:
        """Return V(q), the variance one layer later.

        Examples
        --------
        >>> MeanField("relu", 2.0, 0.1).variance_map(3.0)
        3.1
        """
        q = _variance(q)
        return self.sigma_w2 * self.function.moments(q).second + self.sigma_b2

    def variance_slope(self, q: float) -> float:
        """Return V'(q) = sigma_w2 E[phi phi' x] / q."""
        return self.sigma_w2 * self.function.moments(_variance(q)).growth

    def correlation_map(self, c: float, q: float | None = None) -> float:
        """Return the correlation one layer later, for two inputs of the same variance.

        Parameters
        ----------
        c : float
            From -1 to 1.
        q : float, optional
            Variance of the pre-activations; q_star by default.

        Examples
        --------
        >>> round(MeanField("relu", 2.0).correlation_map(0.0, 1.0), 12)  # 1 / pi
        0.318309886184
        """
        c = number("c", c, "a correlation from -1 to 1", lambda x: -1.0 <= x <= 1.0)
        q = self._where if q is None else _variance(q)
        if c == 1.0:
            return 1.0
        q = q or 1e-24
        return _clip((self.sigma_w2 * self.function.pair(c, q) + self.sigma_b2) / self.variance_map(q))

    def correlation_slope(self, c: float, q: float | None = None) -> float:
        """Return the derivative of the correlation map at c; q as there."""
        c = number("c", c, "a correlation from -1 to 1", lambda x: -1.0 <= x <= 1.0)
        q = self._where if q is None else _variance(q)
        q = q or 1e-24
        return self.sigma_w2 * self.function.slope_pair(c, q) * q / self.variance_map(q)

    def chi(self, q: float | None = None) -> float:
        """Return the factor on squared gradients per layer, sigma_w2 E phi'^2, at q (default q_star)."""
        q = self._where if q is None else _variance(q)
        return self.sigma_w2 * self.function.moments(q).slope

    def trajectory(self, n_layers: int, q0: float | None = None) -> list[float]:
        """Return q of n_layers layers after q0; it stops early where q leaves (1e-12, 1e12).

        Examples
        --------
        >>> MeanField("relu", 1.0).trajectory(3, 1.0)
        [1.0, 0.5, 0.25, 0.125]
        """
        q = self.q0 if q0 is None else positive("q0", q0)
        found = [q]
        while len(found) <= n_layers and SMALLEST < q < LARGEST:
            q = self.variance_map(q)
            found.append(q)
        return found

    # --- fixed points ----------------------------------------------------------------------------

    def fixed_point(self, q0: float | None = None) -> FixedPoint:
        """Return the fixed point of the variance map that is reached from q0.

        If q0 itself is a fixed point that repels, it is returned, as "unstable".

        Examples
        --------
        >>> MeanField("gelu", 2.35171).fixed_point(1.1).kind
        'infinity'
        >>> MeanField("relu", 2.0).fixed_point(0.7)
        FixedPoint(q=0.7, slope=1.0, kind='marginal', note='every q is a fixed point.')
        """
        q0 = self.q0 if q0 is None else positive("q0", q0)

        def excess(q):
            return self.variance_map(q) / q - 1.0

        start = excess(q0)
        if abs(start) < FLAT:
            return self._classify(q0)
        up = start > 0.0
        step = STEP if up else 1.0 / STEP
        before, q, e = (q0, start), q0, start
        while SMALLEST < q < LARGEST:
            q *= step
            e, previous = excess(q), (q / step, e)
            if abs(e) < FLAT and (excess(q * step) > 0.0) == up:
                break  # the map has joined the diagonal, as that of tanh does near 0
            if (e > 0.0) != up:
                return self._classify(find_root(excess, *sorted((previous[0], q))))
            touch = _touch(excess, before, previous, (q, e))
            if touch is not None:
                return self._classify(touch)
            before = previous
        if up:
            text = "q grows without bound."
            return FixedPoint(math.inf, self.variance_slope(AT_INFINITY), "infinity", text)
        slope = self.variance_slope(0.0)
        how = "exponentially" if slope < 1.0 - MARGINAL else "like a power of the depth"
        return FixedPoint(0.0, slope, "zero", f"the signal vanishes, {how}.")

    def _classify(self, q: float) -> FixedPoint:
        slope = self.variance_slope(q)
        if slope > 1.0 + MARGINAL:
            text = f"q = {q:.6g} repels (slope {slope:.4g} > 1): in a deep network q leaves it."
            return FixedPoint(q, slope, "unstable", text)
        if slope < 1.0 - MARGINAL:
            if slope < -1.0:
                return FixedPoint(q, slope, "unstable", f"q oscillates around {q:.6g} and leaves it.")
            return FixedPoint(q, slope, "stable", f"q goes to {q:.6g} from both sides.")
        nearby = [self.variance_map(k * q) / (k * q) - 1.0 for k in (0.5, 2.0)]
        if max(map(abs, nearby)) < MARGINAL:
            return FixedPoint(q, slope, "marginal", "every q is a fixed point.")
        below, above = (self.variance_map(k * q) / (k * q) - 1.0 for k in (0.9, 1.1))
        if below > 0.0 > above:
            return FixedPoint(q, slope, "stable", f"q goes to {q:.6g} from both sides, slowly.")
        if below < 0.0 < above:
            return FixedPoint(q, slope, "unstable", f"q = {q:.6g} repels, slowly, on both sides.")
        good, bad = ("below", "above") if below > 0.0 else ("above", "below")
        text = f"q = {q:.6g} attracts, slowly, from {good} and repels {bad}."
        return FixedPoint(q, slope, "half-stable", text)

    def correlation_fixed_point(self) -> float:
        """Return the correlation that pairs of different inputs approach at q_star.

        The correlation map is convex on [0, 1], so there is one such point: 1 if chi_1 <= 1, else the one
        below 1.

        Examples
        --------
        >>> MeanField("tanh", 4.0).correlation_fixed_point()  # odd activation, no bias
        0.0
        """
        return self.c_star

    # --- what follows from them ------------------------------------------------------------------

    @cached_property
    def fixed(self) -> FixedPoint:
        """The fixed point reached from q0."""
        return self.fixed_point()

    @property
    def q_star(self) -> float:
        return self.fixed.q

    @property
    def _where(self) -> float:
        """q_star, or a number in its place if it is infinite."""
        return min(self.q_star, AT_INFINITY)

    @property
    def chi_q(self) -> float:
        return self.fixed.slope

    @cached_property
    def chi_1(self) -> float:
        return self.chi()

    @property
    def phase(self) -> str:
        if abs(self.chi_1 - 1.0) < MARGINAL:
            return "critical"
        return "ordered" if self.chi_1 < 1.0 else "chaotic"

    @cached_property
    def c_star(self) -> float:
        if self.correlation_slope(1.0) <= 1.0 + MARGINAL:  # chi_1, unless q goes to 0 or infinity
            return 1.0

        def excess(c):
            return self.correlation_map(c) - c

        if excess(0.0) < 1e-13:
            return 0.0
        for k in range(1, 40):  # below 1 the map lies under the diagonal, perhaps only very near 1
            high = 1.0 - 0.5**k
            if excess(high) < 0.0:
                return find_root(excess, max(0.0, 1.0 - 2.0 * 0.5**k), high, 1e-9)
        return 1.0

    @property
    def xi_q(self) -> float:
        return depth_scale(self.chi_q)

    @cached_property
    def xi_c(self) -> float:
        return depth_scale(self.correlation_slope(self.c_star))

    @property
    def xi_gradient(self) -> float:
        return math.inf if self.phase == "critical" else abs(1.0 / math.log(self.chi_1))

    @property
    def notes(self) -> tuple[str, ...]:
        found = []
        if self.fixed.kind not in ("stable", "marginal"):
            found.append(self.fixed.note)
        if self.phase == "ordered":
            found.append(f"squared gradients shrink by {self.chi_1:.4g} per layer; inputs become alike.")
        elif self.phase == "chaotic":
            found.append(f"squared gradients grow by {self.chi_1:.4g} per layer.")
        return tuple(found)


def _variance(q: float) -> float:
    """Return q if the moments can be computed there."""
    q = non_negative("q", q)
    if q > 1e60:
        raise out_of_range("q", q, "a variance up to 1e60")
    return q


def _clip(c: float) -> float:
    return min(1.0, max(-1.0, c))


def depth_scale(slope: float) -> float:
    """Return the number of layers in which a distance that shrinks by `slope` per layer falls by e."""
    slope = abs(slope)
    if slope >= 1.0 - MARGINAL:
        return math.inf
    return -1.0 / math.log(slope) if slope > 1e-300 else 0.0


def _touch(f: Callable, *three: tuple[float, float]) -> float | None:
    """Return where f comes within 1e-8 of 0 without changing its sign, if between these three points.

    At a doubly critical point the variance map touches the diagonal; parameters rounded to 10 digits
    lift it off by as much.
    """
    (a, fa), (b, fb), (d, fd) = three
    if not (abs(fb) <= abs(fa) and abs(fb) <= abs(fd) and abs(fb) < 0.05) or a == b:
        return None
    from scipy.optimize import minimize_scalar

    low, high = sorted((a, d))
    found = minimize_scalar(
        lambda q: abs(f(q)), bounds=(low, high), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x) if found.fun < MARGINAL else None
