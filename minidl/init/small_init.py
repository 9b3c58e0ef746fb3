"""SmallInit, for the layers of transformers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.init.base import Initializer
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.options import count, positive

__all__ = ["SmallInit"]


@register("small_init")
@dataclass(frozen=True, repr=False)
class SmallInit(Initializer):
    r"""Xavier's variance for a layer from d to 4 d units, used for all layers of a block.

    .. math:: W \sim N\!\left(0, \frac{2}{d + 4d}\right) = N\!\left(0, \frac{2}{5d}\right)

    In a transformer whose normalization comes before each layer the square matrices of the attention
    start smaller than Xavier has them, by a factor of sqrt(2/5), as small as those of the d x 4d layers.

    Parameters
    ----------
    dim : int, optional
        d, the width of the model. None: the smaller one of fan_in and fan_out, which is d for layers of
        d x d, d x 4d and 4d x d.

    References
    ----------
    Nguyen, Salazar, *Transformers without tears: improving the normalization of self-attention*, 2019,
    arXiv:1910.05895.

    Examples
    --------
    >>> SmallInit().std(1000, 4000), SmallInit().std(1000, 1000)
    (0.02, 0.02)
    """

    dim: int | None = None
    formula: ClassVar[str] = "Var(W) = 2 / (5 d), d the width of the model"
    assumes: ClassVar[str] = "residual blocks with a normalization before each layer"
    fails: ClassVar[str] = (
        "plain deep nets: the squared signal falls to 2/5 per linear layer, to 1/5 with relu"
    )
    paper: ClassVar[str] = "Nguyen, Salazar 2019, Transformers without tears, arXiv:1910.05895"
    examples: ClassVar[tuple[str, ...]] = ("SmallInit()", "SmallInit(dim=512)")
    mode: ClassVar[str] = "none"
    distribution: ClassVar[str] = "normal"

    def __post_init__(self):
        if self.dim is not None:
            self._set(dim=count("dim", self.dim, minimum=1))

    def law(self, fan_in, fan_out):
        dim = self.dim or min(positive("fan_in", fan_in), positive("fan_out", fan_out))
        return Normal(math.sqrt(0.4 / dim))
