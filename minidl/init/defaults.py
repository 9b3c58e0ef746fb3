"""What other libraries do when nobody asks: the defaults of torch.nn.Linear and of scikit-learn's MLPs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.init.by_activation import ByActivation, canonical
from minidl.init.distributions import Uniform
from minidl.init.registry import register
from minidl.init.weight_and_bias import WeightAndBias
from minidl.options import positive

__all__ = ["SklearnDefault", "TorchDefault"]


@register("torch_default")
@register("torch_linear")
@dataclass(frozen=True, repr=False)
class TorchDefault(WeightAndBias):
    r"""The default of ``torch.nn.Linear``: weight and bias uniform up to 1 / sqrt(fan_in).

    .. math:: W, b \sim U(-1/\sqrt{\mathrm{fan\_in}},\ 1/\sqrt{\mathrm{fan\_in}})

    PyTorch's source says ``kaiming_uniform_(a=sqrt(5))``, which is the same; the variance is
    1 / (3 fan_in), a sixth of what relu needs. A layer without inputs gets the bias 0, as there.

    Examples
    --------
    >>> TorchDefault().bound(100, 10)
    0.1
    >>> bool(TorchDefault().suits("relu"))
    False
    """

    formula: ClassVar[str] = "W, b ~ U(-1 / sqrt(fan_in), 1 / sqrt(fan_in))"
    assumes: ClassVar[str] = "shallow networks, or normalization after each layer"
    fails: ClassVar[str] = (
        "deep plain networks: with relu the squared signal and the squared gradient fall to a sixth per "
        "layer, and only the bias keeps the signal from vanishing"
    )
    paper: ClassVar[str] = "torch.nn.Linear; LeCun, Bottou, Orr, Müller 1998, Efficient BackProp"
    examples: ClassVar[tuple[str, ...]] = ("TorchDefault()",)
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "uniform"

    def law(self, fan_in, fan_out):
        bound = 1.0 / math.sqrt(positive("fan_in", fan_in))
        return Uniform(-bound, bound)

    def bias_law(self, fan_in, fan_out):
        return self.law(fan_in, fan_out)


@register("sklearn_default")
@register("sklearn")
@dataclass(frozen=True, repr=False)
class SklearnDefault(ByActivation):
    r"""The default of scikit-learn's ``MLPClassifier`` and ``MLPRegressor``.

    .. math:: W, b \sim U(-a, a), \quad a = \sqrt{\frac{c}{\mathrm{fan\_in} + \mathrm{fan\_out}}}

    with c = 2 for the logistic sigmoid and 6 for every other activation: Xavier uniform, and for the
    bias as well. The sigmoid, which needs larger weights than tanh, gets smaller ones.

    Parameters
    ----------
    activation : str, optional
        That of the hidden layers, which scikit-learn also applies to the last one. None: the layer's own
        activation, and for the last layer that of its input.

    Examples
    --------
    >>> SklearnDefault("sigmoid").bound(100, 100), SklearnDefault("relu").variance(100, 100)
    (0.1, 0.01)
    """

    activation: str | None = None
    formula: ClassVar[str] = "W, b ~ U(-a, a), a = sqrt(c / (fan_in + fan_out)), c = 2 for sigmoid, else 6"
    assumes: ClassVar[str] = "one or two hidden layers"
    fails: ClassVar[str] = "deep networks: relu halves the squared signal per layer, sigmoid loses it at once"
    paper: ClassVar[str] = (
        "sklearn.neural_network, after Glorot, Bengio 2010, Understanding the difficulty of training deep "
        "feedforward neural networks, AISTATS"
    )
    examples: ClassVar[tuple[str, ...]] = ("SklearnDefault()", "SklearnDefault('sigmoid')")
    mode: ClassVar[str] = "fan_avg"
    distribution: ClassVar[str] = "uniform"

    def __post_init__(self):
        self._set(activation=canonical(self.activation))

    def choose(self, spec):
        activation = spec.input_activation if spec.role == "output" else spec.activation
        chosen = SklearnDefault(activation)
        return chosen, f"scikit-learn's factor for {chosen.activation}"

    def law(self, fan_in, fan_out):
        factor = 2.0 if self.need_activation() == "sigmoid" else 6.0
        bound = math.sqrt(factor / (positive("fan_in", fan_in) + positive("fan_out", fan_out)))
        return Uniform(-bound, bound)

    def bias_law(self, fan_in, fan_out):
        return self.law(fan_in, fan_out)
