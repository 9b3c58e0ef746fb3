"""The choice of an initializer from the activation and the place of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl.init.base import Initializer, Rule
from minidl.init.registry import parse_call, register
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import He, LeCun, VarianceScaling, Xavier
from minidl.options import non_negative

__all__ = ["Auto", "auto"]

# Piecewise linear activations, with their default slope below 0.
_SLOPES = {"relu": 0.0, "relu6": 0.0, "leaky_relu": 0.01, "prelu": 0.25}

# E[act(z)^2] for standard normal z, by quadrature (10 digits).
_SECOND_MOMENTS = {
    "celu": 0.6449454175,
    "gelu": 0.4252214826,
    "gelu_tanh": 0.4251937110,
    "hard_swish": 0.3315673751,
    "log_sigmoid": 0.9212459089,
    "mish": 0.4523421924,
    "quick_gelu": 0.4219528069,
    "relu_squared": 1.5,
    "silu": 0.3557755198,
    "softplus": 0.9212459089,
    "swish": 0.3557755198,
}

# The half of it below 0 for elu with alpha = 1; it grows with alpha^2.
_ELU_BELOW_ZERO = 0.1449454175

# Activations that are near a straight line at 0, with 1 / act'(0).
_GAINS = {
    "arctan": 1.0,
    "erf": 0.8862269254527580,  # sqrt(pi) / 2
    "hard_sigmoid": 6.0,
    "hard_tanh": 1.0,
    "identity": 1.0,
    "linear": 1.0,
    "sigmoid": 4.0,
    "softsign": 1.0,
    "tanh": 1.0,
}

# Parameters at their default may be written out.
_DEFAULTS = {"celu": 1.0}


def auto(spec: LayerSpec) -> tuple[Initializer, str]:
    """Choose the initializer of a layer.

    ============================================  ==============================================
    layer                                         choice
    ============================================  ==============================================
    the last one (``role="output"``)              LeCun normal
    relu, relu6, leaky_relu, prelu                He normal with the slope of the activation
    relu_squared, gelu, gelu_tanh, quick_gelu,    normal, variance 1 / (E[act(z)^2] fan_in)
    silu, mish, elu, celu, hard_swish, softplus,
    log_sigmoid
    selu                                          LeCun normal
    identity, tanh, softsign, arctan, erf,        Xavier uniform with gain 1 / act'(0)
    hard_tanh, sigmoid, hard_sigmoid
    lecun_tanh                                    Xavier uniform
    sine                                          uniform up to sqrt(6 / fan_in) / w0
    any other                                     LeCun normal
    ============================================  ==============================================

    Biases start at 0.

    Parameters
    ----------
    spec : LayerSpec
        ``spec.activation`` may carry a parameter: ``"leaky_relu(0.2)"``.

    Returns
    -------
    initializer : Initializer
    reason : str
        One sentence.

    References
    ----------
    He et al. 2015, arXiv:1502.01852; Glorot, Bengio 2010, AISTATS; Klambauer et al. 2017,
    arXiv:1706.02515; Sitzmann et al. 2020, arXiv:2006.09661.

    Examples
    --------
    >>> auto(LayerSpec("0", (784, 256), activation="relu"))[0]
    He()
    >>> auto(LayerSpec("1", (256, 10), activation="relu", role="output"))[0]
    LeCun()
    """
    if spec.role == "output":
        return LeCun(), "output layer: unit variance in, unit variance out"
    name, args, kwargs = parse_call("activation", spec.activation)
    values = [*args, *kwargs.values()]
    plain = not values or values == [_DEFAULTS.get(name)]
    if name in _SLOPES and len(values) <= 1:
        initializer = He(slope=_parameter(values, _SLOPES[name]))
        return initializer, f"{name} keeps {1 / initializer.scale:.4g} of the second moment"
    moment = _SECOND_MOMENTS.get(name) if plain else None
    if name == "elu" and len(values) <= 1:
        moment = 0.5 + _ELU_BELOW_ZERO * _parameter(values, 1.0) ** 2
    if moment is not None:
        return (
            VarianceScaling(1.0 / moment, "fan_in", "normal"),
            f"{name} turns the second moment 1 into {moment:.4g}",
        )
    if name == "selu":
        return LeCun(), "selu keeps mean 0, variance 1"
    if name in _GAINS and plain:
        gain = _GAINS[name]
        return Xavier(gain=gain), f"{name} has the slope {1 / gain:.4g} at 0"
    if name == "lecun_tanh":
        return Xavier(), "lecun_tanh is scaled to give unit variance for unit variance"
    w0_squared = _parameter(values, 1.0) ** 2 if name in ("sine", "sin") and len(values) <= 1 else 0
    if w0_squared > 0.0:
        return (
            VarianceScaling(2.0 / w0_squared, "fan_in", "uniform"),
            "sine keeps its arcsine distribution from layer to layer",
        )
    return LeCun(), f"no rule for the activation {spec.activation!r}: variance kept as if linear"


def _parameter(values: list, default: float) -> float:
    """Return the only parameter of an activation, checked as its own table would."""
    return non_negative("parameter of the activation", values[0]) if values else default


@register("auto")
@dataclass(frozen=True, repr=False)
class Auto(Rule):
    """Chooses per layer, by the rules of :func:`auto`; ``net.init_plan()`` shows the choices.

    Examples
    --------
    >>> initializer, reason = Auto().resolve(LayerSpec("0", (8, 8), activation="selu"))
    >>> initializer
    LeCun()
    """

    formula: ClassVar[str] = "by activation and place of the layer; net.init_plan() shows the choices"
    assumes: ClassVar[str] = "a plain stack of layers, and data of about mean 0 and variance 1"
    fails: ClassVar[str] = "an activation that it does not know is treated as if it were linear"
    paper: ClassVar[str] = "none (the rules of the papers that the documentation of auto() cites)"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = ("Auto()",)

    def resolve(self, spec):
        return auto(spec)
