"""Weights of a given spectral norm: the condition for learning features at any width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.init.base import Initializer
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.options import positive

__all__ = ["Spectral"]


@register("spectral")
@dataclass(frozen=True, repr=False)
class Spectral(Initializer):
    r"""Normal weights whose largest singular value is about sqrt(fan_out / fan_in).

    .. math:: \mathrm{std}(W) = \mathrm{scale}\,
              \frac{\sqrt{n_{out} / n_{in}}}{\sqrt{n_{in}} + \sqrt{n_{out}}}, \qquad
              \|W\|_2 \approx \mathrm{scale} \sqrt{n_{out} / n_{in}}

    since a normal matrix has the norm std (sqrt(n_in) + sqrt(n_out)) for large n. The paper writes it up to a
    constant, :math:`\Theta(n_{in}^{-1/2} \min(1, \sqrt{n_{out} / n_{in}}))`. Updates must obey the same
    condition, which for SGD means the learning rate times :math:`n_{out} / n_{in}` for a weight and
    :math:`n_{out}` for a bias, a matrix with one input: see ``lr_multipliers``. The best learning rate
    then does not depend on the width.

    Parameters
    ----------
    scale : float
        > 0. With 1 the condition holds as it stands; a square layer has half of LeCun's standard
        deviation then.

    References
    ----------
    Yang, Simon, Bernstein, *A spectral condition for feature learning*, 2023, arXiv:2310.17813.

    Examples
    --------
    >>> weight = Spectral().init((400, 100), rng=0)
    >>> bool(abs(np.linalg.norm(weight, 2) - 0.5) < 0.02)
    True
    """

    scale: float = 1.0
    formula: ClassVar[str] = "std(W) = scale sqrt(fan_out / fan_in) / (sqrt(fan_in) + sqrt(fan_out)), normal"
    assumes: ClassVar[str] = (
        "wide layers, SGD with the factors on the learning rate, a depth that stays fixed"
    )
    fails: ClassVar[str] = (
        "deep plain nets at scale=1: the squared signal falls to 1/4 per square layer, to 1/8 with relu; "
        "Adam needs other factors"
    )
    paper: ClassVar[str] = (
        "Yang, Simon, Bernstein 2023, A spectral condition for feature learning, arXiv:2310.17813"
    )
    examples: ClassVar[tuple[str, ...]] = ("Spectral()", "Spectral(scale=2.0)")
    mode: ClassVar[str] = "none"
    distribution: ClassVar[str] = "normal"

    def __post_init__(self):
        self._set(scale=positive("scale", self.scale))

    def law(self, fan_in, fan_out):
        n_in, n_out = positive("fan_in", fan_in), positive("fan_out", fan_out)
        return Normal(self.scale * math.sqrt(n_out / n_in) / (math.sqrt(n_in) + math.sqrt(n_out)))

    def lr_multipliers(self, spec):
        """Return the factors fan_out / fan_in and fan_out."""
        return {"weight": spec.fan_out / max(spec.fan_in, 1), "bias": float(spec.fan_out)}
