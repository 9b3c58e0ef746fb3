"""The neural-tangent parametrization, in weights of the usual kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init.by_activation import ByActivation, canonical, output_layer
from minidl.init.distributions import Normal
from minidl.init.registry import register
from minidl.options import non_negative, positive

__all__ = ["NTK"]


@register("ntk")
@dataclass(frozen=True, repr=False)
class NTK(ByActivation):
    r"""The network of the neural-tangent parametrization, and the learning rates that train it alike.

    That parametrization draws standard normal numbers and scales in the forward pass:

    .. math:: z = \frac{\sigma_w}{\sqrt n}\, \omega^T x + \sigma_b\, \beta, \qquad \omega, \beta \sim N(0, 1),
              \quad n = \mathrm{fan\_in}

    With :math:`W = \sigma_w \omega / \sqrt n` and :math:`b = \sigma_b \beta` this is a usual layer with
    :math:`W \sim N(0, \sigma_w^2 / n)`. Gradients follow from the chain rule,
    :math:`\partial L/\partial\omega = (\sigma_w / \sqrt n)\, \partial L/\partial W`, so a step of SGD on
    :math:`\omega` is

    .. math:: \Delta W = \frac{\sigma_w}{\sqrt n} \Delta\omega
              = -\eta\, \frac{\sigma_w^2}{n}\, \frac{\partial L}{\partial W}, \qquad
              \Delta b = -\eta\, \sigma_b^2\, \frac{\partial L}{\partial b}.

    These are the factors of ``lr_multipliers``: with them SGD, with momentum or without, gives exactly the
    network that it gives on :math:`\omega, \beta`. (Not Adam, whose steps do not scale with the gradient, and
    not weight decay.) The learning rate must then be of the order of the width times what is usual.

    Parameters
    ----------
    activation : str, optional
        sigma_w is its forward gain. None, and no `sigma_w`: the activation of each layer, with sigma_w = 1
        for the last one.
    sigma_w : float, optional
        > 0; instead of an activation.
    sigma_b : float
        >= 0. With 0 the biases stay 0, in training too.

    Raises
    ------
    OptionError
        Activation and sigma_w are both given, or a number is out of range.

    References
    ----------
    Jacot, Gabriel, Hongler, *Neural tangent kernel: convergence and generalization in neural networks*,
    NeurIPS 2018, arXiv:1806.07572.

    Examples
    --------
    >>> from minidl.init import LayerSpec
    >>> ntk = NTK("relu", sigma_b=0.1)
    >>> ntk.std(200, 10)
    0.1
    >>> {role: round(x, 9) for role, x in ntk.lr_multipliers(LayerSpec("0", (200, 10))).items()}
    {'weight': 0.01, 'bias': 0.01}
    """

    activation: str | None = None
    sigma_w: float | None = None
    sigma_b: float = 0.1
    formula: ClassVar[str] = (
        "W ~ N(0, sigma_w^2 / fan_in), b ~ N(0, sigma_b^2), learning rates x sigma_w^2 / fan_in, sigma_b^2"
    )
    assumes: ClassVar[str] = "SGD with the factors on the learning rate"
    fails: ClassVar[str] = (
        "features hardly move in wide nets (the lazy regime); Adam and weight decay do not carry over"
    )
    paper: ClassVar[str] = "Jacot, Gabriel, Hongler 2018, Neural tangent kernel, arXiv:1806.07572"
    examples: ClassVar[tuple[str, ...]] = ("NTK()", "NTK('relu')", "NTK(sigma_w=1.5, sigma_b=0.0)")
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "normal"

    def __post_init__(self):
        self._set(activation=canonical(self.activation), sigma_b=non_negative("sigma_b", self.sigma_b))
        if self.sigma_w is not None:
            self._set(sigma_w=positive("sigma_w", self.sigma_w))
            if self.activation is not None:
                raise OptionError(
                    f"activation={self.activation!r}, sigma_w={self.sigma_w!r}: give one of them; sigma_w "
                    "follows from the activation."
                )

    def resolve(self, spec):
        return (self, "given") if self.sigma_w is not None else super().resolve(spec)

    def choose(self, spec):
        if spec.role == "output":
            return NTK(sigma_w=1.0, sigma_b=self.sigma_b), output_layer()[1]
        chosen = NTK(spec.activation, None, self.sigma_b)
        return chosen, f"sigma_w = {chosen.scale():.4g}, the forward gain of {chosen.activation}"

    def scale(self) -> float:
        """Return sigma_w."""
        if self.sigma_w is not None:
            return self.sigma_w
        from minidl.theory import gains

        return gains(self.need_activation()).forward

    def law(self, fan_in, fan_out):
        return Normal(self.scale() / math.sqrt(positive("fan_in", fan_in)))

    def bias_law(self, fan_in, fan_out):
        return Normal(self.sigma_b) if self.sigma_b else None

    def lr_multipliers(self, spec):
        """Return the factors sigma_w^2 / fan_in and sigma_b^2."""
        chosen = self.resolve(spec)[0]
        fan_in = max(spec.fan_in, 1)
        sigma_w, sigma_b = chosen.scale(), chosen.sigma_b
        return {"weight": sigma_w * sigma_w / fan_in, "bias": sigma_b * sigma_b}
