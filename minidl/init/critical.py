"""Weights and biases on the edge of chaos, where gradients neither vanish nor explode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init import registry
from minidl.init.base import Initializer
from minidl.init.by_activation import ByActivation, canonical, output_layer
from minidl.init.centered import Centered, centered_function, fill_centered, input_mean
from minidl.init.constant import Zeros
from minidl.init.critical_points import Point, doubly_critical_point, edge
from minidl.init.distributions import Normal
from minidl.init.joint import Pair
from minidl.init.registry import register
from minidl.init.variance_scaling import LAWS, VarianceScaling
from minidl.options import choice, flag, non_negative, positive, significant

__all__ = ["Critical", "EdgeOfChaos"]

BASES = (*LAWS, "orthogonal")


@dataclass(frozen=True, repr=False)
class _AtPoint(ByActivation):
    """What the critical schemes share; a subclass has the fields activation and base, and `point`."""

    mode: ClassVar[str] = "fan_in"
    centered = False

    def __post_init__(self):
        choice("base", self.base, BASES)
        self._set(activation=canonical(self.activation))
        if self.q0 is not None:
            self._set(q0=positive("q0", self.q0))
        if self.activation is not None:
            _ = self.point  # an activation without such a point fails here, not in the network

    @property
    def distribution(self) -> str:
        """The law of the weights, "haar" for orthogonal ones."""
        return "haar" if self.base == "orthogonal" else self.base

    @property
    def sigma_w2(self) -> float:
        """fan_in Var(W)."""
        return self.point.sigma_w2

    @property
    def sigma_b2(self) -> float:
        """Var(b)."""
        return self.point.sigma_b2

    def resolve(self, spec):
        chosen, reason = super().resolve(spec)
        return chosen.at_first(spec, reason) if isinstance(chosen, _AtPoint) else (chosen, reason)

    def at_first(self, spec, reason: str) -> tuple[Initializer, str]:
        """Return what fills a layer: the first one takes the data to q, which the others then keep."""
        _, sigma_b2, q, *_ = self.point
        if spec.role != "input" or self.q0 is None or not q > sigma_b2 > 0.0:
            return self, reason  # the point has no q of its own: it is 0, or any will do
        sigma_w2 = significant((q - sigma_b2) / self.q0)
        weight = self.weights(spec.fan_in, spec.fan_out, sigma_w2)
        reason = f"first layer: takes data of second moment {self.q0:g} to q = {q:.4g} of {self.activation}"
        return Pair(weight, Normal(math.sqrt(sigma_b2))), reason

    def weights(self, fan_in: int, fan_out: int, sigma_w2: float | None = None) -> Initializer:
        """Return the initializer of the weight: mean 0, variance sigma_w2 / fan_in."""
        self.need_activation()
        sigma_w2 = self.sigma_w2 if sigma_w2 is None else sigma_w2
        if self.base != "orthogonal":
            return VarianceScaling(sigma_w2, "fan_in", self.base)
        # an orthogonal matrix has the variance gain^2 / max(fan_in, fan_out)
        gain = math.sqrt(sigma_w2 * max(fan_in, fan_out) / fan_in) if fan_in else 1.0
        return registry.get(f"orthogonal(gain={gain!r})")

    def fill_weight(self, spec, stream, weight):
        self.weights(spec.fan_in, spec.fan_out).fill_weight(spec, stream, weight)

    def fill(self, view, stream, fan_in, fan_out):
        self.weights(fan_in, fan_out).fill(view, stream, fan_in, fan_out)

    def law(self, fan_in, fan_out):
        return self.weights(fan_in, fan_out).law(fan_in, fan_out)

    def variance(self, fan_in, fan_out):
        """Return sigma_w2 / fan_in."""
        self.need_activation()
        return VarianceScaling(self.sigma_w2).variance(fan_in, fan_out)

    def bias_law(self, fan_in, fan_out):
        self.need_activation()
        return Normal(math.sqrt(self.sigma_b2)) if self.sigma_b2 else None

    @property
    def problem(self) -> str:
        """What goes wrong at the point: q repels, or the units saturate."""
        return self.point.warning


@register("edge_of_chaos")
@register("eoc")
@dataclass(frozen=True, repr=False)
class EdgeOfChaos(_AtPoint):
    r"""Weights and biases on the edge of chaos of an activation.

    .. math:: W \sim N(0, \sigma_w^2 / \mathrm{fan\_in}), \quad b \sim N(0, \sigma_b^2), \qquad
              \sigma_w^2 = \frac{1}{E\varphi'(\sqrt q z)^2}, \quad
              \sigma_b^2 = q - \sigma_w^2 E\varphi(\sqrt q z)^2

    so that the pre-activations keep the variance q from layer to layer and the squared gradients their size.
    The line of such pairs is parametrized by q or by sigma_b. relu and its kind have a single point,
    sigma_b = 0; sigmoid has none that is of use, and softplus none at all. Every activation has them if it is
    centered:

    .. math:: \sigma_b^2 = q - \sigma_w^2 \mathrm{Var}\,\varphi(\sqrt q z) \ge 0

    by the Poincaré inequality :math:`\mathrm{Var}\,\varphi(\sqrt q z) \le q\, E\varphi'(\sqrt q z)^2`, with
    equality for straight lines only. The mean is then taken off by the biases, see :class:`Centered`.

    Parameters
    ----------
    activation : str, optional
        None: the activation of each layer, and LeCun normal for the last one.
    sigma_b : float, optional
        Standard deviation of the biases, >= 0 (before the mean is taken off). By default 0.2, or 0 where that
        is the only possibility; if centered, more where 0.2 gives a q that attracts badly (gelu, silu,
        softplus).
    q : float, optional
        Instead of it: the variance of the pre-activations, > 0.
    base : {"normal", "uniform", "truncated_normal", "orthogonal"}
        The law of the weights; their variance is the same.
    centered : bool
        Whether the biases take the mean off the inputs of the layer.
    q0 : float, optional
        Second moment of the data, 1 if they are standardized. If it is given, the first layer takes the data
        to q at once, with the variance (q - sigma_b^2) / (q0 fan_in), instead of being drawn like the others.

    Attributes
    ----------
    point : Point
        sigma_w2, sigma_b2, q, chi_q, warning. chi_q > 1 means that q repels: a deep network leaves the
        point (gelu, silu; not if centered). ``check_network`` warns then.

    Raises
    ------
    OptionError
        The activation has no such point, sigma_b and q are both given, or an argument is out of range.

    References
    ----------
    Poole et al., NeurIPS 2016, arXiv:1606.05340; Schoenholz et al., *Deep information propagation*,
    ICLR 2017, arXiv:1611.01232; Hayou, Doucet, Rousseau, ICML 2019, arXiv:1902.06853.

    Examples
    --------
    >>> eoc = EdgeOfChaos("tanh", sigma_b=0.2)
    >>> eoc.sigma_w2, round(eoc.point.q, 5)
    (1.700796372, 0.51208)
    >>> EdgeOfChaos("sigmoid", sigma_b=0.4, centered=True).sigma_w2 / 16  # the same network
    1.70079637...
    """

    activation: str | None = None
    sigma_b: float | None = None
    q: float | None = None
    base: str = "normal"
    centered: bool = False
    q0: float | None = None
    assumes: ClassVar[str] = "wide plain layers of one activation; no dropout, which has no edge of chaos"
    fails: ClassVar[str] = (
        "gelu, silu and mish at small sigma_b: q repels, unless centered; sigmoid without centered=True: "
        "sigma_w = 10; narrow nets, where the gradient fluctuates like exp(depth / width)"
    )
    paper: ClassVar[str] = (
        "Poole, Lahiri, Raghu, Sohl-Dickstein, Ganguli 2016, Exponential expressivity in deep neural "
        "networks through transient chaos, arXiv:1606.05340; Schoenholz, Gilmer, Ganguli, Sohl-Dickstein "
        "2017, Deep information propagation, arXiv:1611.01232"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "EdgeOfChaos(q0=0.5)",
        "EdgeOfChaos('tanh')",
        "EdgeOfChaos('elu', sigma_b=0.1, base='uniform')",
        "EdgeOfChaos('arctan', q=1.5, base='truncated_normal')",
        "EdgeOfChaos('sigmoid', centered=True)",
    )

    def __post_init__(self):
        if self.sigma_b is not None and self.q is not None:
            raise OptionError(f"sigma_b={self.sigma_b!r}, q={self.q!r}: give one of them, the other follows.")
        if self.sigma_b is not None:
            self._set(sigma_b=non_negative("sigma_b", self.sigma_b))
        if self.q is not None:
            self._set(q=positive("q", self.q))
        self._set(centered=flag("centered", self.centered))
        super().__post_init__()

    @property
    def formula(self) -> str:
        """The rule in one line."""
        if self.activation is None:
            return "Var(W) = 1 / (E[act'(sqrt(q) z)^2] fan_in), b ~ N(0, sigma_b^2)"
        mean = ", minus the mean of the inputs" if self.centered else ""
        return f"Var(W) = {self.sigma_w2:.6g} / fan_in, b ~ N(0, {self.sigma_b2:.6g}){mean}"

    @property
    def point(self) -> Point:
        """The point on the edge."""
        return edge(self.need_activation(), self.sigma_b, self.q, self.centered)

    def choose(self, spec):
        if spec.role == "output":
            return self._output(spec)
        chosen = EdgeOfChaos(spec.activation, self.sigma_b, self.q, self.base, self.centered, self.q0)
        of = f"centered {chosen.activation}" if self.centered else chosen.activation
        return chosen, f"edge of chaos of {of}, q = {chosen.point.q:.4g}, chi_q = {chosen.point.chi_q:.3g}"

    def _output(self, spec) -> tuple[Initializer, str]:
        chosen, reason = output_layer()
        if not self.centered:
            return chosen, reason
        before = edge(canonical(spec.input_activation), self.sigma_b, self.q, True)
        return Centered(chosen, before.q), f"{reason}, without the mean"

    def input_offset(self, spec) -> float:
        """Return what the bias takes off every input of this layer."""
        return input_mean(spec, self.point.q) if self.centered else 0.0

    def init_layer(self, spec, seed, weight, bias=None):
        if self.centered and self.resolve(spec)[0] is self:
            bias_law = self.bias_law(spec.fan_in, spec.fan_out) or Zeros()
            plain = Pair(self.weights(spec.fan_in, spec.fan_out), bias_law)
            fill_centered(plain, spec, seed, weight, bias, self.input_offset(spec))
        else:
            super().init_layer(spec, seed, weight, bias)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge wide hidden layers of an activation, whose mean is taken off if the scheme is centered."""
        if not self.centered or self.activation is None:
            return super().suits(activation, depth, limit)
        from minidl.theory import verdict

        function = centered_function(activation, self.point.q)
        return verdict(function, self.sigma_w2, self.sigma_b2, depth, limit)


@register("critical")
@register("doubly_critical")
@dataclass(frozen=True, repr=False)
class Critical(_AtPoint):
    r"""The point where both susceptibilities are one: neither q nor the gradient moves exponentially.

    .. math:: \chi_1 = \sigma_w^2 E\varphi'(\sqrt q z)^2 = 1, \qquad
              \chi_q = \frac{d}{dq} \sigma_w^2 E\varphi(\sqrt q z)^2 = 1

    For gelu (sigma_w^2 = 1.983, sigma_b = 0.416), silu and mish this is the one point of the edge of
    chaos that does not repel; for tanh it is (1, 0), and for relu (2, 0).

    Parameters
    ----------
    activation : str, optional
        None: the activation of each layer, and LeCun normal for the last one.
    base : {"normal", "uniform", "truncated_normal", "orthogonal"}
        The law of the weights; their variance is the same.
    q0 : float, optional
        Second moment of the data, 1 if they are standardized. If it is given, the first layer takes the data
        to q at once, with the variance (q - sigma_b^2) / (q0 fan_in), instead of being drawn like the others.

    Attributes
    ----------
    point : Point
        sigma_w2, sigma_b2, q, chi_q.

    Raises
    ------
    OptionError
        The activation has no such point (sigmoid, softplus), or an argument is unknown.

    References
    ----------
    Roberts, Yaida, Hanin, *The principles of deep learning theory*, 2022, arXiv:2106.10165.

    Examples
    --------
    >>> gelu = Critical("gelu")
    >>> round(gelu.sigma_w2, 6), round(gelu.sigma_b2, 6), round(gelu.point.q, 6)
    (1.983058, 0.172922, 3.561553)
    >>> Critical("relu").variance(200, 10)
    0.01
    """

    activation: str | None = None
    base: str = "normal"
    q0: float | None = None
    assumes: ClassVar[str] = "wide plain layers of one activation"
    fails: ClassVar[str] = (
        "q attracts from one side only, and slowly: with gelu, silu and mish from below; silu's is 14.3, so "
        "its units start far from 0"
    )
    paper: ClassVar[str] = (
        "Roberts, Yaida, Hanin 2022, The principles of deep learning theory, arXiv:2106.10165"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "Critical(q0=0.5)",
        "Critical('gelu')",
        "Critical('tanh', base='uniform')",
    )

    @property
    def formula(self) -> str:
        """The rule in one line."""
        if self.activation is None:
            return "Var(W) = sigma_w^2 / fan_in, b ~ N(0, sigma_b^2), both susceptibilities 1"
        return f"Var(W) = {self.sigma_w2:.6g} / fan_in, b ~ N(0, {self.sigma_b2:.6g})"

    @property
    def point(self) -> Point:
        """The doubly critical point."""
        return doubly_critical_point(self.need_activation())

    def choose(self, spec):
        if spec.role == "output":
            return output_layer()
        chosen = Critical(spec.activation, self.base, self.q0)
        return chosen, f"both susceptibilities of {chosen.activation} are 1 at q = {chosen.point.q:.4g}"
