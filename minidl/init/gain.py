"""Gains: of any activation as a scheme, and as users write them, a number or the name of an activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl import activations
from minidl.init.by_activation import ByActivation, canonical, output_layer
from minidl.init.registry import register
from minidl.init.variance_scaling import VarianceScaling
from minidl.options import choice, positive, significant

__all__ = ["Gain", "check_gain", "gain_value"]


def check_gain(gain: object) -> float | str:
    """Return a finite number > 0 as a float, the name of an activation as it is, else raise OptionError.

    Examples
    --------
    >>> check_gain(2), check_gain("relu")
    (2.0, 'relu')
    """
    if isinstance(gain, str):
        activations.get(gain)
        return gain
    return positive("gain", gain)


def gain_value(gain: float | str) -> float:
    """Return the number: of an activation the forward gain 1 / sqrt(E act(z)^2), z ~ N(0, 1).

    Examples
    --------
    >>> round(gain_value("relu") ** 2, 9)
    2.0
    """
    if isinstance(gain, str):
        from minidl.theory import gains

        return gains(gain).forward
    return gain


KINDS = ("forward", "backward", "std")


@register("gain")
@dataclass(frozen=True, repr=False)
class Gain(ByActivation):
    r"""Variance scaling by the gain of an activation, whichever it is.

    .. math:: \mathrm{Var}(W) = \frac{\mathrm{gain}^2}{n}, \quad
              \mathrm{forward}: \frac{1}{\sqrt{E\varphi(z)^2}}, \quad
              \mathrm{backward}: \frac{1}{\sqrt{E\varphi'(z)^2}}, \quad
              \mathrm{std}: \frac{1}{\sqrt{\mathrm{Var}\,\varphi(z)}}, \quad z \sim N(0, 1)

    He is the member for relu, LeCun the one for a linear layer. See :func:`minidl.theory.gains`.

    Parameters
    ----------
    activation : str, optional
        None: the activation of each layer, and LeCun normal for the last one.
    kind : {"forward", "backward", "std"}
        What it keeps: the second moment of the pre-activations, the squared gradient, or the variance of the
        outputs (which the next layer does not see where their mean is not 0).
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
    distribution : {"normal", "uniform", "truncated_normal"}

    Raises
    ------
    OptionError
        An argument is unknown.

    References
    ----------
    He, Zhang, Ren, Sun, *Delving deep into rectifiers*, ICCV 2015, arXiv:1502.01852, for relu; Bingham,
    Miikkulainen, *AutoInit: analytic signal-preserving weight initialization for neural networks*, 2021,
    arXiv:2109.08958, for any.

    Examples
    --------
    >>> Gain("relu").std(200, 10), Gain("identity").std(100, 10)
    (0.1, 0.1)
    >>> round(100 * Gain("tanh", kind="backward").variance(100, 10), 9)
    2.153302649
    """

    activation: str | None = None
    kind: str = "forward"
    mode: str = "fan_in"
    distribution: str = "normal"
    assumes: ClassVar[str] = "wide layers whose pre-activations have variance 1; biases of 0"
    fails: ClassVar[str] = (
        "deep nets of gelu, silu, mish or hard_swish: variance 1 repels, so the signal leaves it; sigmoid "
        "and softplus, whose mean makes all inputs alike: there take EdgeOfChaos(centered=True)"
    )
    paper: ClassVar[str] = (
        "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852; Bingham, Miikkulainen "
        "2021, AutoInit, arXiv:2109.08958"
    )
    examples: ClassVar[tuple[str, ...]] = (
        "Gain()",
        "Gain('gelu')",
        "Gain('tanh', kind='backward', mode='fan_out', distribution='uniform')",
        "Gain('sigmoid', kind='std', mode='fan_geo', distribution='truncated_normal')",
    )

    def __post_init__(self):
        self._set(activation=canonical(self.activation))
        choice("kind", self.kind, KINDS)
        VarianceScaling(1.0, self.mode, self.distribution)  # checks both

    @property
    def formula(self) -> str:
        """The rule in one line."""
        if self.activation is None:
            return f"Var(W) = (the {self.kind} gain of the activation)^2 / {self.mode}"
        return self._scaling().formula

    def choose(self, spec):
        if spec.role == "output":
            return output_layer()
        chosen = Gain(spec.activation, self.kind, self.mode, self.distribution)
        return chosen, f"{self.kind} gain^2 of {chosen.activation}: {chosen._scaling().scale:.4g}"

    def _scaling(self) -> VarianceScaling:
        from minidl.theory import gains

        gain = getattr(gains(self.need_activation()), self.kind)
        return VarianceScaling(significant(gain * gain), self.mode, self.distribution)

    def law(self, fan_in, fan_out):
        return self._scaling().law(fan_in, fan_out)
