"""A multiple of another initializer's weights, by a number or by a power of the depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.checks import check_arrays, narrow
from minidl.init.constant import Constant
from minidl.init.distributions import Normal, TruncatedNormal, Uniform
from minidl.init.law import Law
from minidl.init.registry import get, register, register_value
from minidl.init.spec import LayerSpec
from minidl.options import finite, non_negative, positive, significant

__all__ = ["Changed", "DepthPower", "Scaled"]


@register_value
@dataclass(frozen=True)
class DepthPower:
    """The number ``scale * depth ** power``, known once a layer says how deep its network is.

    The depth is ``spec.residual_branches``, and in a plain network ``spec.depth``.

    Parameters
    ----------
    power : float
        Finite.
    scale : float
        Finite and > 0.

    Examples
    --------
    >>> DepthPower(-0.5).of(LayerSpec("0", (8, 8), residual_branches=16, branch_pos=0, branch_layers=2))
    0.25
    """

    power: float
    scale: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "power", finite("power", self.power))
        object.__setattr__(self, "scale", positive("scale", self.scale))

    def of(self, spec: LayerSpec) -> float:
        """Return the number for the network of a layer, rounded to 10 digits."""
        return significant(self.scale * float(spec.residual_branches or spec.depth) ** self.power)

    def to_dict(self) -> dict:
        """Return JSON-able data."""
        return {"name": "DepthPower", "power": self.power, "scale": self.scale}


@dataclass(frozen=True, repr=False)
class Changed(Initializer):
    """What the schemes share that draw from `base` and then change the numbers of the weight.

    A subclass has the field `base` and defines ``change(values, spec, fan_in, fan_out)``. The numbers are
    drawn and changed in float64 and rounded once; the bias is that of the base.
    """

    def change(self, values: np.ndarray, spec: LayerSpec | None, fan_in: int, fan_out: int) -> np.ndarray:
        """Return the changed numbers; a vector outside of a layer has no spec."""
        raise NotImplementedError

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        values = np.empty(spec.shape)
        biases = None if bias is None else np.empty_like(bias, order="C")
        self.base.init_layer(spec, seed, values, biases)
        weight[...] = self._changed(values, spec, spec.fan_in, spec.fan_out, weight.dtype)
        if bias is not None:
            bias[...] = biases

    def fill_weight(self, spec, stream, weight):
        values = np.empty(spec.shape)
        self.base.fill_weight(spec, stream, values)
        weight[...] = self._changed(values, spec, spec.fan_in, spec.fan_out, weight.dtype)

    def fill(self, view, stream, fan_in, fan_out):
        values = np.empty(view.shape)
        self.base.fill(values, stream, fan_in, fan_out)
        view[...] = self._changed(values, None, fan_in, fan_out, view.dtype)

    def _changed(self, values, spec, fan_in, fan_out, dtype):
        if not values.size:
            return values
        return narrow(self, self.change(values, spec, fan_in, fan_out), dtype)

    def check_network(self, specs):
        self.base.check_network(specs)

    def bias_variance(self, fan_in, fan_out):
        """Return that of the base."""
        return self.base.bias_variance(fan_in, fan_out)

    def lr_multipliers(self, spec):
        """Return those of the base."""
        return self.base.lr_multipliers(spec)


@register("scaled")
@dataclass(frozen=True, repr=False)
class Scaled(Changed):
    """The weight of another initializer times a factor; the bias is left as it is.

    Parameters
    ----------
    factor : float or DepthPower
        Finite and >= 0. A :class:`DepthPower` needs to see the layer, so that nothing is known of the
        elements before :meth:`resolve`.
    base : Initializer, str, ndarray or callable
        As for :func:`get`.

    Raises
    ------
    OptionError
        The factor is outside its range, or a number gets too large for the dtype.

    Examples
    --------
    >>> from minidl.init import He
    >>> Scaled(0.25, He()).law(200, 10)
    Normal(std=0.025)
    >>> branch = LayerSpec("3", (64, 64), residual_branches=25, branch_pos=1, branch_layers=2)
    >>> Scaled(DepthPower(-0.5), "he_normal").resolve(branch)[0]
    Scaled(0.2, He())
    """

    factor: float | DepthPower
    base: Initializer
    formula: ClassVar[str] = "W = factor times the weight of base"
    assumes: ClassVar[str] = "what its base assumes"
    fails: ClassVar[str] = "factor 0 in a hidden layer: nothing is learnt below"
    paper: ClassVar[str] = "none (a combination)"
    distribution: ClassVar[str] = "that of the base"
    examples: ClassVar[tuple[str, ...]] = (
        "Scaled(0.5, He())",
        "Scaled(DepthPower(-0.5, scale=2.0), LeCun())",
    )

    def __post_init__(self):
        self._set(base=get(self.base))
        if not isinstance(self.factor, DepthPower):
            self._set(factor=non_negative("factor", self.factor))

    def __repr__(self):
        return f"Scaled({self.factor!r}, {self.base!r})"

    def resolve(self, spec):
        base, reason = self.base.resolve(spec)
        if isinstance(self.factor, float):
            return Scaled(self.factor, base), reason
        depth = "residual branches" if spec.residual_branches else "layers"
        number_of = spec.residual_branches or spec.depth
        factor = self.factor.of(spec)
        return Scaled(factor, base), f"{reason}; times {factor:.4g} for {number_of} {depth}"

    def change(self, values, spec, fan_in, fan_out):
        if spec is None:
            return self._number() * values
        return (self.factor if isinstance(self.factor, float) else self.factor.of(spec)) * values

    def _number(self) -> float:
        if isinstance(self.factor, float):
            return self.factor
        raise OptionError(
            f"{self!r}: the factor depends on the depth of a network, which a shape does not tell. Use "
            "init_layer(spec, ...), or resolve(spec)[0]."
        )

    def variance(self, fan_in, fan_out):
        """Return factor^2 times the variance of the base."""
        factor = self._number()
        return factor * factor * self.base.variance(fan_in, fan_out)

    def bound(self, fan_in, fan_out):
        """Return factor times the bound of the base."""
        factor = self._number()
        return factor * self.base.bound(fan_in, fan_out) if factor else 0.0

    def law(self, fan_in, fan_out):
        factor = self._number()
        return _scaled(self.base.law(fan_in, fan_out), factor)

    def cdf(self, fan_in, fan_out):
        """Return that of the base at x / factor."""
        factor = self._number()
        if not factor:
            return Constant(0.0).cdf()
        cdf = self.base.cdf(fan_in, fan_out)
        return lambda x: cdf(np.asarray(x) / factor)


def _scaled(law: Law, factor: float) -> Law:
    """Return the law of factor times an element."""
    if factor == 0.0:
        return Constant(0.0)
    if type(law) is Uniform:
        return Uniform(factor * law.low, factor * law.high)
    if type(law) is Normal:
        return Normal(factor * law.sigma, factor * law.mean)
    if type(law) is TruncatedNormal:
        return TruncatedNormal(factor * law.sigma, factor * law.mean, law.cut, law.std_is)
    if hasattr(law, "value"):
        return Constant(factor * law.value)
    raise OptionError(f"{law!r}: a multiple of it has no name; variance, bound and cdf are known.")
