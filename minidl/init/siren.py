"""Sinusoidal representation networks: first, hidden and last layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl import activations
from minidl.errors import OptionError
from minidl.init.base import WIDE, Rule
from minidl.init.distributions import Uniform
from minidl.init.joint import Pair
from minidl.init.registry import register
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import VarianceScaling
from minidl.options import positive

__all__ = ["Siren"]


@register("siren")
@dataclass(frozen=True, repr=False)
class Siren(Rule):
    r"""Weights for networks of sin(w0 z), for functions of coordinates in [-1, 1].

    .. math:: \mathrm{first:}\ W \sim U\!\left(\pm\frac{1}{\mathrm{fan\_in}}\right), \qquad
              \mathrm{others:}\ W \sim U\!\left(\pm\frac{\sqrt{6 / \mathrm{fan\_in}}}{w_0}\right), \qquad
              b \sim U\!\left(\pm\frac{1}{\sqrt{\mathrm{fan\_in}}}\right)

    with w0 from the activation of the layer, ``"sine(30)"``, and for the last layer from that of its input.
    If the inputs of a hidden layer follow the arcsine law of sin(uniform phase), whose second moment is 1/2,
    then :math:`w_0 z` has the variance 1 and is nearly normal, and its sine is nearly arcsine again. The
    first layer spreads coordinates over w0 radians. Biases are those of the authors' code, which
    leaves PyTorch's.

    Parameters
    ----------
    w0_first : float, optional
        Frequency of the first layer, > 0: its weights are made larger by w0_first / w0. None: w0, as in the
        paper, where it is 30.

    Raises
    ------
    OptionError
        A hidden layer has another activation than sine, or the last one has no sine before it.

    References
    ----------
    Sitzmann, Martel, Bergman, Lindell, Wetzstein, *Implicit neural representations with periodic activation
    functions*, NeurIPS 2020, arXiv:2006.09661.

    Examples
    --------
    >>> first = LayerSpec("0", (2, 256), activation="sine(30)", role="input", depth=3)
    >>> Siren().resolve(first)[0].weight
    Uniform(low=-0.5, high=0.5)
    >>> hidden = LayerSpec("1", (600, 256), activation="sine(10)", input_activation="sine(10)")
    >>> round(Siren().resolve(hidden)[0].weight.bound(600, 256), 12)
    0.01
    """

    w0_first: float | None = None
    formula: ClassVar[str] = (
        "first W ~ U(-1 / fan_in, 1 / fan_in), others W ~ U(-a, a), a = sqrt(6 / fan_in) / w0"
    )
    assumes: ClassVar[str] = "coordinates in [-1, 1], sine activations of frequency w0 (30 in the paper)"
    fails: ClassVar[str] = "too large a w0 fits noise, too small a one blurs; other activations are refused"
    paper: ClassVar[str] = (
        "Sitzmann, Martel, Bergman, Lindell, Wetzstein 2020, Implicit neural representations with periodic "
        "activation functions, arXiv:2006.09661"
    )
    examples: ClassVar[tuple[str, ...]] = ("Siren()", "Siren(w0_first=60.0)")
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "uniform"

    def __post_init__(self):
        if self.w0_first is not None:
            self._set(w0_first=positive("w0_first", self.w0_first))

    def resolve(self, spec):
        w0 = _frequency(spec)
        bias = VarianceScaling(1.0 / 3.0, distribution="uniform")
        if spec.role != "input":
            weight = VarianceScaling(2.0 / (w0 * w0), distribution="uniform")
            return Pair(weight, bias), f"keeps the arcsine law of sin({w0:g} z)"
        first = w0 if self.w0_first is None else self.w0_first
        bound = first / w0 / positive("fan_in", spec.fan_in)
        return Pair(Uniform(-bound, bound), bias), f"first layer: frequencies up to {first:g}"

    def check_network(self, specs):
        for spec in specs:
            _frequency(spec)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge hidden layers of a sine by mean-field theory; any other activation is refused."""
        from minidl.theory import Verdict

        try:
            hidden = self.resolve(LayerSpec("suits", (WIDE, WIDE), activation=activation))[0]
        except OptionError:
            return Verdict(False, f"{activations.get(activation)}: Siren is for sine only.")
        return hidden.suits(activation, depth, limit)


def _frequency(spec: LayerSpec) -> float:
    """Return w0 of the sine that a layer belongs to."""
    name = spec.input_activation if spec.role == "output" else spec.activation
    found = activations.get(name)
    if found.name != "sine":
        where = "its input went through" if spec.role == "output" else "it has"
        raise OptionError(
            f"layer {spec.path!r}: Siren is for sine activations, such as 'sine(30)'; {where} {str(found)!r}."
        )
    return found.params[0]
