"""The choice of an initializer from the activation, the depth and the place of a layer."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.errors import OptionError
from minidl.init.base import Initializer, Rule
from minidl.init.critical import Critical, EdgeOfChaos
from minidl.init.gain import Gain
from minidl.init.mirrored import Mirrored, odd_slope
from minidl.init.orthogonal import SemiOrthogonal
from minidl.init.registry import register
from minidl.init.residual import DepthScaled, Fixup
from minidl.init.siren import Siren
from minidl.init.spec import LayerSpec
from minidl.init.variance_scaling import He, LeCun, Xavier

__all__ = ["Auto", "auto"]

#: Weight layers up to which a network is shallow: the classic schemes do as well as any there.
SHALLOW = 3
#: Frequency from which a sine net is made for coordinates, as SIREN is.
HIGH_FREQUENCY = 5.0
#: Biases of deep elu networks, smaller than those of tanh: nearer to the line through 0 they train faster.
SMALL_BIAS = 0.05
#: Second moment of the data that deep networks are prepared for: that of standardized features.
DATA = 1.0

Choice = tuple[Initializer, str]


def auto(spec: LayerSpec) -> Choice:
    """Choose the initializer of a layer.

    Shallow is a network of at most three weight layers. Activations with act(z) - act(-z) = c z for all z can
    be mirrored: relu and those in its row.

    ================================  ===============================  =================================
    activation                        shallow, or with normalization   deep
    ================================  ===============================  =================================
    relu, leaky_relu                  He normal with the slope         mirrored, of orthogonal matrices,
    gelu, silu, hard_swish,           Gain: normal, variance           if widths are even; else as mish
    softplus, log_sigmoid             1 / (E[act(z)^2] fan_in)
    identity                          Xavier uniform                   orthogonal
    tanh, softsign, arctan, sine      Xavier uniform, over act'(0)     orthogonal, on the edge of chaos
    elu, celu                         Gain                             the same with smaller biases
    sine(w0), w0 >= 5                 SIREN                            SIREN
    sigmoid, hard_sigmoid             centered edge of chaos           orthogonal, on the centered edge
    selu                              LeCun normal                     orthogonal
    relu6                             He normal                        orthogonal, on the edge of chaos
    mish, any other                   Gain                             the same; centered if q repels
    the output layer                  LeCun normal                     as the layer before it
    ================================  ===============================  =================================

    Residual branches: Fixup without normalization, 1 / sqrt(branches) in their last layer with it. Layers
    without a bias cannot be centered: sigmoid then takes Xavier with gain 4, the others their doubly critical
    point. Deep networks are prepared for data with second moment 1, such as standardized features.

    Parameters
    ----------
    spec : LayerSpec
        ``spec.activation`` may carry a parameter: ``"leaky_relu(0.2)"``.

    Returns
    -------
    initializer : Initializer
    reason : str
        One sentence.

    Notes
    -----
    The table of README.md in this folder compares these choices with others by training.

    References
    ----------
    He et al. 2015, arXiv:1502.01852; Glorot, Bengio 2010, AISTATS; Klambauer et al. 2017,
    arXiv:1706.02515; Sitzmann et al. 2020, arXiv:2006.09661; Balduzzi et al. 2017, arXiv:1702.08591; Poole et
    al. 2016, arXiv:1606.05340; Zhang et al. 2019, arXiv:1901.09321.

    Examples
    --------
    >>> auto(LayerSpec("0", (784, 256), activation="relu"))[0]
    He()
    >>> auto(LayerSpec("9", (256, 256), "in_out", "tanh", "tanh", index=9, depth=30))[0]
    EdgeOfChaos(activation='tanh', base='orthogonal', q0=1.0)
    >>> auto(LayerSpec("1", (256, 10), activation="relu", role="output"))[0]
    LeCun()
    """
    plain = spec.norm is None and not spec.residual_branches
    choice = _deep(spec) if plain and spec.depth > SHALLOW else _shallow(spec)
    if spec.branch_pos is None or spec.role == "output":
        return choice
    rule = Fixup(choice[0]) if spec.norm is None else DepthScaled(choice[0])
    return rule.resolve(spec)


# --- the two halves of the table ------------------------------------------------------------------


def _shallow(spec: LayerSpec) -> Choice:
    name = spec.activation
    kind = _kind(spec.input_activation if spec.role == "output" else name)
    if kind == "squashing" and spec.norm is None and spec.use_bias:
        return EdgeOfChaos(centered=True, q0=DATA).resolve(spec)
    if spec.role == "output":
        return LeCun(), "output layer: unit variance in, unit variance out"
    act = activations.get(name) if kind != "unknown" else None
    if kind == "unknown":
        return LeCun(), f"no rule for the activation {name!r}: variance kept as if linear"
    if kind == "selu":
        return LeCun(), "selu keeps mean 0, variance 1"
    if kind == "siren":
        return Siren(act.params[0]).resolve(spec)
    if act.name in ("relu", "relu6", "leaky_relu"):
        he = He(slope=act.params[0] if act.params else 0.0)
        return he, f"{act.name} keeps {1.0 / he.scale:.4g} of the second moment"
    if kind in ("linear", "odd", "squashing"):
        slope = float(activations.derivative(act, 0.0))
        return Xavier(gain=1.0 / slope), f"{name} has the slope {slope:.4g} at 0"
    gain = Gain(name)
    return gain, f"{name} turns the second moment 1 into {1.0 / gain.variance(1, 1):.4g}"


def _deep(spec: LayerSpec) -> Choice:
    before = spec.input_activation
    kind = _kind(before if spec.role == "output" else spec.activation)
    inputs = spec.index > 0 and _is_mirrored(before, spec.kernel_shape[1])
    outputs = spec.role != "output" and _is_mirrored(spec.activation, spec.n_outputs)
    if (inputs or outputs) and spec.groups == 1:
        return _mirrored(spec, inputs, outputs)
    if kind in ("siren", "unknown"):
        return _shallow(spec)
    if kind == "linear":
        return SemiOrthogonal(), "deep linear network: orthogonal matrices keep lengths at any depth"
    if kind == "selu":
        return SemiOrthogonal(), "selu keeps mean 0, variance 1; orthogonal matrices keep them best"
    centered = kind == "squashing" or not _edge_attracts(before if spec.role == "output" else spec.activation)
    if spec.role == "output" and not centered:
        return SemiOrthogonal(gain=before), f"output layer: unit variance out of {before}"
    if spec.use_bias or not centered:
        sigma_b = SMALL_BIAS if _is_elu(spec.activation) else None
        return EdgeOfChaos(None, sigma_b, None, "orthogonal", centered, DATA).resolve(spec)
    try:
        return Critical(q0=DATA).resolve(spec)
    except OptionError:  # no such point
        return _shallow(spec)


def _mirrored(spec: LayerSpec, inputs: bool, outputs: bool) -> Choice:
    before = spec.input_activation
    if inputs:
        base, slope = SemiOrthogonal(), round(odd_slope(before) - 1.0, 9)
    else:  # the data, or a layer of odd width
        base, slope = SemiOrthogonal() if spec.index == 0 else SemiOrthogonal(gain=before), 0.0
    pairs = before if inputs else spec.activation
    return Mirrored(base, slope, inputs=inputs, outputs=outputs), f"{pairs} in pairs: exactly linear at first"


# --- kinds of activations -------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _kind(name: str) -> str:
    """Return "linear", "odd", "siren", "squashing", "selu", "other", or "unknown"."""
    try:
        act = activations.get(name)
    except OptionError:
        return "unknown"
    if act.name in activations.OUTPUT_FUNCTIONS:
        return "unknown"
    if act.name == "selu":
        return "selu"
    if act.name == "sine" and act.params[0] >= HIGH_FREQUENCY:
        return "siren"
    z = np.linspace(0.05, 8.0, 160)
    up, down = activations.forward(act, z), activations.forward(act, -z)
    if np.allclose(up, -down, rtol=0.0, atol=1e-12):
        return "linear" if np.ptp(up / z) < 1e-12 else "odd"
    bounded = np.isfinite(act.output_range).all()
    symmetric = np.allclose(up + down, up[0] + down[0], rtol=0.0, atol=1e-12)
    return "squashing" if bounded and symmetric else "other"


@functools.lru_cache(maxsize=256)
def _edge_attracts(name: str) -> bool:
    """Whether the edge of chaos has a point near which q stays, without taking means off."""
    try:
        return not EdgeOfChaos(name).point.warning
    except OptionError:
        return False


def _is_elu(name: str) -> bool:
    return _kind(name) != "unknown" and activations.get(name).name in ("elu", "celu")


def _is_mirrored(name: str, width: int) -> bool:
    """Whether units of this activation can stand in pairs whose difference is linear."""
    return width % 2 == 0 and _kind(name) == "other" and odd_slope(name) is not None


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

    formula: ClassVar[str] = "by activation, depth and place of the layer; net.init_plan() shows the choices"
    assumes: ClassVar[str] = "a plain stack of layers, and data of about mean 0 and variance 1"
    fails: ClassVar[str] = "an activation that it does not know is treated as if it were linear"
    paper: ClassVar[str] = "none (the rules of the papers that the documentation of auto() cites)"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = ("Auto()",)

    def resolve(self, spec):
        return auto(spec)
