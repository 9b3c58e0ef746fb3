"""What selu needs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import InitWarning
from minidl.init.by_activation import canonical
from minidl.init.outlook import HOPELESS, SHALLOW
from minidl.init.registry import register
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import FanScaling

__all__ = ["Selu"]


@register("selu")
@register("self_normalizing")
@dataclass(frozen=True, repr=False)
class Selu(FanScaling):
    r"""LeCun's variance for self-normalizing networks, and a warning where selu is not.

    .. math:: \mathrm{Var}(W) = 1 / \mathrm{fan\_in}

    The two constants of selu are those for which a mean of 0 and a variance of 1 are a fixed point that
    attracts, with this variance: E selu(z) = 0 and E selu(z)^2 = 1. The squared gradient grows by 1.0716 per
    layer. It takes standardized inputs, and alpha dropout in place of dropout, which moves the mean.

    Parameters
    ----------
    distribution : {"normal", "uniform", "truncated_normal"}

    Warns
    -----
    InitWarning
        From ``check_network``: a hidden layer has another activation.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter, *Self-normalizing neural networks*, NeurIPS 2017,
    arXiv:1706.02515.

    Examples
    --------
    >>> Selu().std(100, 10)
    0.1
    >>> bool(Selu().suits("selu")), bool(Selu().suits("relu"))
    (True, False)
    """

    distribution: str = "normal"
    scale: ClassVar[float] = 1.0
    mode: ClassVar[str] = "fan_in"
    assumes: ClassVar[str] = "selu, standardized inputs, alpha dropout, no skip connections"
    fails: ClassVar[str] = "other activations; inputs that are not standardized; ordinary dropout"
    paper: ClassVar[str] = (
        "Klambauer, Unterthiner, Mayr, Hochreiter 2017, Self-normalizing neural networks, arXiv:1706.02515"
    )
    examples: ClassVar[tuple[str, ...]] = ("Selu()", "Selu('truncated_normal')")

    def check_network(self, specs):
        """Warn for each other activation of the hidden layers, with what will happen."""
        others: dict[str, list[LayerSpec]] = {}
        for spec in specs:
            if spec.role != "output" and canonical(spec.activation) != "selu":
                others.setdefault(canonical(spec.activation), []).append(spec)
        for activation, layers in others.items():
            if len(layers) > SHALLOW and not self.suits(activation, len(layers), HOPELESS):
                continue  # the network warns of that
            warnings.warn(
                f"layers {layers[0].path} to {layers[-1].path}, {self!r}: mean 0 and variance 1 are kept by "
                "selu only. "
                f"{self.suits(activation).reason}",
                InitWarning,
                stacklevel=2,
            )
