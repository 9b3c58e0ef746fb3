"""The correction for narrow layers: the logarithm of the signal takes an unbiased random walk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init.by_activation import ByActivation, canonical
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.options import positive, significant

__all__ = ["RandomWalk"]


@register("random_walk")
@dataclass(frozen=True, repr=False)
class RandomWalk(ByActivation):
    r"""He's or LeCun's variance, corrected so that the *logarithm* of the signal keeps its mean.

    .. math:: W \sim N\!\left(0, \frac{g^2}{\mathrm{fan\_in}}\right), \qquad
              g_{\mathrm{linear}} = e^{1/(2N)}, \qquad
              g_{\mathrm{relu}} = \sqrt 2\, e^{1.2 / (\max(N, 6) - 2.4)}

    In a layer of N units the squared length of a signal is multiplied by :math:`g^2 \chi^2_N / N`, whose mean
    is :math:`g^2` but whose logarithm has the mean :math:`\log g^2 - 1/N` to leading order. Over depth
    the logarithms add up: with g = 1 a typical signal shrinks, though its mean square does not. The constants
    for relu are the paper's fit. Its layers are square; here N is fan_out, the number of terms in the
    squared length of what comes out.

    Parameters
    ----------
    activation : {"identity", "relu"}, optional
        None: that of each layer.

    Raises
    ------
    OptionError
        Another activation: the paper has no formula for it.

    References
    ----------
    Sussillo, Abbott, *Random walk initialization for training very deep feedforward networks*, 2014,
    arXiv:1412.6558.

    Examples
    --------
    >>> round(100 * RandomWalk("relu").variance(100, 100), 6)  # He has 2
    2.04979
    """

    activation: str | None = None
    formula: ClassVar[str] = (
        "Var(W) = g^2 / fan_in, N = fan_out, g = exp(1 / 2N), for relu sqrt(2) exp(1.2 / (max(N, 6) - 2.4))"
    )
    assumes: ClassVar[str] = "square layers of linear units or relu, biases of 0"
    fails: ClassVar[str] = (
        "no difference for wide layers (2 % at 100 units); the walk itself remains: std sqrt(depth / N)"
    )
    paper: ClassVar[str] = (
        "Sussillo, Abbott 2014, Random walk initialization for training very deep feedforward networks, "
        "arXiv:1412.6558"
    )
    examples: ClassVar[tuple[str, ...]] = ("RandomWalk()", "RandomWalk('relu')", "RandomWalk('identity')")
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "normal"

    def __post_init__(self):
        self._set(activation=canonical(self.activation))
        if self.activation not in (None, "identity", "relu"):
            raise OptionError(
                f"activation={self.activation!r}: the random walk is known for 'identity' and 'relu' only. "
                "Gain(activation) has the same variance without the correction for narrow layers."
            )

    def choose(self, spec):
        chosen = RandomWalk("identity" if spec.role == "output" else spec.activation)
        return chosen, f"unbiased random walk of the log of the signal, {chosen.activation}"

    def gain(self, n: int) -> float:
        """Return g for n units."""
        n = positive("fan_out", n)
        if self.need_activation() == "identity":
            return math.exp(0.5 / n)
        return math.sqrt(2.0) * math.exp(1.2 / (max(n, 6.0) - 2.4))

    def law(self, fan_in, fan_out):
        std = self.gain(fan_out) / math.sqrt(positive("fan_in", fan_in))
        return Normal(significant(std))
