"""The variance-scaling family: variance = scale / fan. Xavier, He and LeCun are its members."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.init.base import Initializer
from minidl.init.checks import check_fans
from minidl.init.distributions import Normal, TruncatedNormal, Uniform
from minidl.init.law import Law
from minidl.init.registry import register
from minidl.options import choice, finite, positive

__all__ = ["He", "LeCun", "VarianceScaling", "Xavier"]

#: mode -> the number that divides the scale
FANS = {
    "fan_in": lambda fan_in, fan_out: float(fan_in),
    "fan_out": lambda fan_in, fan_out: float(fan_out),
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2.0,
    "fan_geo": lambda fan_in, fan_out: math.sqrt(fan_in * fan_out),
}
_FORMULAS = {
    "fan_in": "fan_in",
    "fan_out": "fan_out",
    "fan_avg": "((fan_in + fan_out) / 2)",
    "fan_geo": "sqrt(fan_in fan_out)",
}


def _uniform(variance: float) -> Law:
    bound = math.sqrt(3.0 * variance)  # U(-a, a) has the variance a^2 / 3
    return Uniform(-bound, bound)


#: distribution -> the law of mean 0 with that variance
LAWS = {
    "uniform": _uniform,
    "normal": lambda variance: Normal(math.sqrt(variance)),
    "truncated_normal": lambda variance: TruncatedNormal(math.sqrt(variance)),
}


@dataclass(frozen=True, repr=False)
class FanScaling(Initializer):
    """What the family shares: a subclass has `scale`, `mode` and `distribution`, fields or not."""

    def __post_init__(self):
        choice("mode", self.mode, FANS)
        choice("distribution", self.distribution, LAWS)

    @property
    def formula(self) -> str:
        """The rule in one line."""
        distribution = self.distribution.replace("_", " ")
        return f"Var(W) = {self.scale:.6g} / {_FORMULAS[self.mode]}, {distribution}"

    def variance(self, fan_in, fan_out):
        """Return scale / fan."""
        check_fans(fan_in, fan_out)
        return self.scale / FANS[self.mode](fan_in, fan_out)

    def law(self, fan_in, fan_out):
        return LAWS[self.distribution](self.variance(fan_in, fan_out))


@register("variance_scaling")
@dataclass(frozen=True, repr=False)
class VarianceScaling(FanScaling):
    r"""Mean 0 and variance scale / fan.

    .. math:: \mathrm{Var}(W) = \mathrm{scale} / n

    where n is fan_in, fan_out, their mean (fan_avg) or their geometric mean (fan_geo). If the
    inputs of a layer have the second moment :math:`q`, its pre-activations have
    :math:`\mathrm{fan\_in} \cdot \mathrm{Var}(W) \cdot q`: scale over fan_in with
    :math:`\mathrm{scale} = 1/E[\varphi(z)^2]` keeps q from layer to layer.

    Parameters
    ----------
    scale : float
        Finite and > 0.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
    distribution : {"normal", "uniform", "truncated_normal"}
        Each has the variance above: the uniform bound is :math:`\sqrt{3 \mathrm{Var}}`, and the
        truncated normal law (cut at 2) is widened to make up for the cut.

    Raises
    ------
    OptionError
        A value is outside its range.

    Examples
    --------
    >>> VarianceScaling(3.0, mode="fan_avg", distribution="uniform").bound(5, 13)
    1.0
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"
    assumes: ClassVar[str] = "inputs of mean 0 or weights of mean 0, and a scale that fits the activation"
    fails: ClassVar[str] = (
        "a scale other than 1 / E[act(z)^2]: the signal grows or shrinks by their ratio in each layer"
    )
    paper: ClassVar[str] = (
        "none (the family of LeCun 1998, Glorot 2010 and He 2015; as VarianceScaling in Keras and JAX)"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "VarianceScaling()",
        "VarianceScaling(0.5, mode='fan_avg', distribution='truncated_normal')",
        "VarianceScaling(3.0, mode='fan_geo', distribution='uniform')",
        "VarianceScaling(2.0, mode='fan_out')",
    )

    def __post_init__(self):
        self._set(scale=positive("scale", self.scale))
        super().__post_init__()


@register("xavier")
@register("glorot")
@dataclass(frozen=True, repr=False)
class Xavier(FanScaling):
    r"""Xavier or Glorot: a compromise between the forward and the backward pass.

    .. math:: \mathrm{Var}(W) = \mathrm{gain}^2\, \frac{2}{\mathrm{fan\_in} + \mathrm{fan\_out}}

    For activations that are near the identity at 0: tanh, softsign. With relu the signal halves per
    layer.

    Parameters
    ----------
    distribution : {"uniform", "normal", "truncated_normal"}
    gain : float
        Factor on the standard deviation, finite and > 0.

    References
    ----------
    Glorot, Bengio, *Understanding the difficulty of training deep feedforward neural networks*,
    AISTATS 2010.

    Examples
    --------
    >>> Xavier().bound(100, 50)
    0.2
    """

    distribution: str = "uniform"
    gain: float = 1.0
    mode: ClassVar[str] = "fan_avg"
    assumes: ClassVar[str] = (
        "an activation that is odd and near the identity at 0, units in that linear range, and layers of "
        "about equal width"
    )
    fails: ClassVar[str] = (
        "relu: the second moment halves in each layer; a layer with fan_in far from fan_out keeps neither "
        "the signal nor the gradient"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "Xavier()",
        "Xavier('normal', gain=1.5)",
        "Xavier('truncated_normal')",
    )
    paper: ClassVar[str] = (
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural "
        "networks, AISTATS"
    )

    def __post_init__(self):
        self._set(gain=positive("gain", self.gain))
        positive("gain squared", self.scale)
        super().__post_init__()

    @property
    def scale(self) -> float:
        """gain^2."""
        return self.gain * self.gain


@register("he")
@register("kaiming")
@dataclass(frozen=True, repr=False)
class He(FanScaling):
    r"""He or Kaiming: keeps the second moment of a signal that goes through relu.

    .. math:: \mathrm{Var}(W) = \frac{2}{(1 + \mathrm{slope}^2)\, n}

    since :math:`E[\mathrm{relu}(z)^2] = E[z^2]/2` for symmetric z. With fan_in the forward signal keeps its
    size, with fan_out the gradient.

    Parameters
    ----------
    distribution : {"normal", "uniform", "truncated_normal"}
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
    slope : float
        Of the activation below 0: 0 for relu, 0.01 for leaky_relu.

    References
    ----------
    He, Zhang, Ren, Sun, *Delving deep into rectifiers*, ICCV 2015, arXiv:1502.01852.

    Examples
    --------
    >>> He().variance(200, 10)
    0.01
    """

    distribution: str = "normal"
    mode: str = "fan_in"
    slope: float = 0.0
    assumes: ClassVar[str] = "relu, or the given slope below 0, and pre-activations symmetric about 0"
    fails: ClassVar[str] = (
        "activations that damp more than relu, gelu and silu among them: the signal decays; very deep or "
        "narrow relu nets: units die and all inputs come to look alike"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "He()",
        "He('uniform', slope=0.5)",
        "He('truncated_normal', mode='fan_out')",
        "He(mode='fan_geo')",
    )
    paper: ClassVar[str] = "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852"

    def __post_init__(self):
        self._set(slope=finite("slope", self.slope))
        positive("2 / (1 + slope^2)", self.scale)
        super().__post_init__()

    @property
    def scale(self) -> float:
        """2 / (1 + slope^2)."""
        return 2.0 / (1.0 + self.slope * self.slope)


@register("lecun")
@dataclass(frozen=True, repr=False)
class LeCun(FanScaling):
    r"""LeCun: unit variance in, unit variance out.

    .. math:: \mathrm{Var}(W) = 1 / \mathrm{fan\_in}

    For linear outputs, for selu, and for the scaled tanh of the paper.

    Parameters
    ----------
    distribution : {"normal", "uniform", "truncated_normal"}

    References
    ----------
    LeCun, Bottou, Orr, Müller, *Efficient BackProp*, 1998. Klambauer, Unterthiner, Mayr,
    Hochreiter, *Self-normalizing neural networks*, NeurIPS 2017, arXiv:1706.02515.

    Examples
    --------
    >>> LeCun().std(100, 10)
    0.1
    """

    distribution: str = "normal"
    scale: ClassVar[float] = 1.0
    mode: ClassVar[str] = "fan_in"
    assumes: ClassVar[str] = "inputs of mean 0 and variance 1, and an activation that keeps them so"
    fails: ClassVar[str] = "relu: the second moment halves in each layer; tanh decays as well, but slowly"
    paper: ClassVar[str] = (
        "LeCun, Bottou, Orr, Müller 1998, Efficient BackProp; for selu: Klambauer, Unterthiner, Mayr, "
        "Hochreiter 2017, Self-normalizing neural networks, arXiv:1706.02515"
    )
    examples: ClassVar[tuple[str, ...]] = ("LeCun()", "LeCun('uniform')", "LeCun('truncated_normal')")


for _scheme, _names in {
    He: ("he", "kaiming"),
    Xavier: ("xavier", "glorot"),
    LeCun: ("lecun",),
}.items():
    for _name in _names:
        for _distribution in LAWS:
            register(f"{_name}_{_distribution}", functools.partial(_scheme, _distribution))
