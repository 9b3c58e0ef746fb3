"""A rule for the weight with a rule for the bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_arrays
from minidl.init.registry import get, register
from minidl.init.streams import as_stream

__all__ = ["Pair"]


@register("pair")
@dataclass(frozen=True, repr=False)
class Pair(Initializer):
    """One initializer for the weight, another one for the bias.

    Parameters
    ----------
    weight, bias : Initializer, str, ndarray or callable
        As for :func:`get`. The bias has the fans of its layer, so that ``bias="lecun_uniform"``
        has the variance 1 / fan_in.

    Notes
    -----
    ``init`` and what is known about the law (``variance``, ``cdf``, ...) are those of the weight.

    Examples
    --------
    >>> Pair(weight="he_normal", bias="normal(0.2)")
    Pair(weight=He(), bias=Normal(std=0.2))

    The default of ``torch.nn.Linear``, weight and bias uniform up to 1 / sqrt(fan_in):

    >>> from minidl.init import VarianceScaling
    >>> uniform = VarianceScaling(1 / 3, distribution="uniform")
    >>> torch_default = Pair(weight=uniform, bias=uniform)
    >>> round(torch_default.bound(fan_in=100, fan_out=10), 12)
    0.1
    """

    weight: Initializer
    bias: Initializer
    assumes: ClassVar[str] = "what its two parts assume"
    fails: ClassVar[str] = "where one of its parts fails"
    paper: ClassVar[str] = "none (a combination)"
    examples: ClassVar[tuple[str, ...]] = (
        "Pair('he_normal', 'normal(0.2)')",
        "Pair('xavier_uniform', bias='lecun_uniform')",
    )

    def __post_init__(self):
        self._set(weight=get(self.weight), bias=get(self.bias))

    @property
    def formula(self) -> str:
        """Those of the two parts."""
        return f"weight: {self.weight.formula}; bias: by {self.bias!r}"

    @property
    def mode(self) -> str:
        """The fan that the weight is divided by."""
        return self.weight.mode

    @property
    def distribution(self) -> str:
        """That of the weight."""
        return self.weight.distribution

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        chosen, _ = self.weight.resolve(spec)
        # The bias is made aside first: if either rule fails, neither parameter has changed.
        made = None if bias is None else np.empty_like(bias, order="C")
        if made is not None and made.size:
            stream = as_stream(seed).child(spec.path, "bias")
            self.bias.fill(made, stream, spec.fan_in, spec.fan_out)
        chosen.init_layer(spec, seed, weight)
        if bias is not None:
            bias[...] = made

    def fill_weight(self, spec, stream, weight):
        self.weight.fill_weight(spec, stream, weight)

    def fill(self, view, stream, fan_in, fan_out):
        self.weight.fill(view, stream, fan_in, fan_out)

    def law(self, fan_in, fan_out):
        return self.weight.law(fan_in, fan_out)

    def variance(self, fan_in, fan_out):
        """Return the variance of an element of the weight."""
        return self.weight.variance(fan_in, fan_out)

    def lr_multipliers(self, spec):
        """Return those that the rule of the weight requires."""
        return self.weight.lr_multipliers(spec)

    def check_network(self, specs):
        self.weight.check_network(specs)

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of an element of the bias."""
        return self.bias.variance(fan_in, fan_out)

    def resolve(self, spec):
        weight, reason = self.weight.resolve(spec)
        return Pair(weight, self.bias), reason
