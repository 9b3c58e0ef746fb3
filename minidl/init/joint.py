"""The weight by one initializer, the bias by another: by its law, or by what it does to a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_arrays
from minidl.init.registry import get, register
from minidl.init.streams import as_stream
from minidl.init.weight_of import WeightOf

__all__ = ["Pair", "Split"]


@register("pair")
@dataclass(frozen=True, repr=False)
class Pair(WeightOf):
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

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of an element of the bias."""
        return self.bias.variance(fan_in, fan_out)

    def resolve(self, spec):
        weight, reason = self.weight.resolve(spec)
        return Pair(weight, self.bias), reason


@register("split")
@dataclass(frozen=True, repr=False)
class Split(WeightOf):
    """The weight as one initializer makes it, the bias as another one does for the same layer.

    Unlike a :class:`Pair`, whose `bias` is a rule for the numbers of a vector, both are rules for a layer:
    ``Split(Orthogonal(), EdgeOfChaos(...))`` has the biases that go with the edge of chaos. What is known
    about the law is that of the weight.

    Parameters
    ----------
    weight, bias : Initializer, str, ndarray or callable
        As for :func:`get`.

    Examples
    --------
    >>> from minidl.init import Normal
    >>> split = Split("he_normal", Pair("lecun_normal", Normal(0.2)))
    >>> split.variance(200, 10), round(split.bias_variance(200, 10), 6)
    (0.01, 0.04)
    """

    weight: Initializer
    bias: Initializer
    formula: ClassVar[str] = "the weight by one rule for layers, the bias by another"
    assumes: ClassVar[str] = "that weight and bias are independent in both rules"
    fails: ClassVar[str] = "joint rules, whose bias fits their own weight only"
    paper: ClassVar[str] = "none (a combination)"
    examples: ClassVar[tuple[str, ...]] = ("Split(He(), Pair(LeCun(), Normal(0.1)))",)

    def __post_init__(self):
        self._set(weight=get(self.weight), bias=get(self.bias))

    def resolve(self, spec):
        weight, reason = self.weight.resolve(spec)
        return Split(weight, self.bias.resolve(spec)[0]), reason

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        made = None if bias is None else np.empty_like(bias, order="C")
        if made is not None:
            self.bias.init_layer(spec, seed, np.empty(spec.shape, weight.dtype), made)
        self.weight.init_layer(spec, seed, weight)
        if bias is not None:
            bias[...] = made

    def check_network(self, specs):
        super().check_network(specs)
        self.bias.check_network(specs)

    def bias_variance(self, fan_in, fan_out):
        """Return the variance of an element of the bias."""
        return self.bias.bias_variance(fan_in, fan_out)

    def lr_multipliers(self, spec):
        """Return for each role that of its rule."""
        rules = {"weight": self.weight, "bias": self.bias}
        return {role: rule.lr_multipliers(spec).get(role, 1.0) for role, rule in rules.items()}
