"""Mirrored or looks-linear weights: a relu network that is exactly linear at first."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.errors import OptionError, ShapeError
from minidl.init.base import Initializer
from minidl.init.checks import narrow
from minidl.init.layouts import KERNEL_AXES
from minidl.init.orthogonal import Orthogonal
from minidl.init.registry import get, register
from minidl.init.spec import LayerSpec
from minidl.options import flag, non_negative

__all__ = ["Mirrored", "odd_slope"]

ORTHOGONAL = Orthogonal()


@functools.lru_cache(maxsize=256)  # auto asks for each layer
def odd_slope(activation: str) -> float | None:
    """Return c if act(z) - act(-z) = c z for all z, else None.

    Examples
    --------
    >>> odd_slope("relu"), odd_slope("leaky_relu(0.5)"), odd_slope("gelu"), odd_slope("tanh")
    (1.0, 1.5, 1.0, None)
    """
    z = np.linspace(0.05, 8.0, 160)
    slope = (activations.forward(activation, z) - activations.forward(activation, -z)) / z
    return round(float(slope[0]), 9) if np.ptp(slope) < 1e-9 else None


@register("mirrored")
@register("looks_linear")
@dataclass(frozen=True, repr=False)
class Mirrored(Initializer):
    r"""Units in pairs of opposite weights, so that the network is a product of matrices at first.

    With a matrix M for each layer, the weights, of shape (outputs, inputs), are

    .. math:: \begin{pmatrix} M \\ -M \end{pmatrix} \text{ first}, \quad
              \begin{pmatrix} M & -M \\ -M & M \end{pmatrix} \text{ between}, \quad
              \begin{pmatrix} M & -M \end{pmatrix} \text{ last}.

    Unit k and unit k + n/2 have the pre-activations z and -z, and the next layer sees
    :math:`\mathrm{relu}(z) - \mathrm{relu}(-z) = z`. Nothing is lost from layer to layer, at any depth: with
    orthogonal M all lengths and angles are kept, which no independent relu weights can do. The same
    identity holds for every activation of the form z s(z) with s(z) + s(-z) = 1: gelu, silu, hard_swish; for
    softplus; and for leaky_relu with the slope a up to the factor 1 + a, see `slope`.

    Parameters
    ----------
    base : Initializer or str
        Fills M, by the shape of M.
    slope : float
        Slope a of a leaky relu below 0; M is divided by 1 + a where its inputs are mirrored.
    inputs, outputs : bool, optional
        Whether the inputs or outputs of the layer come in mirrored pairs. By default the role of the layer
        decides: the data and the output of the network do not, all that is between them does.

    Raises
    ------
    OptionError
        The activation before the layer does not fit, the layer has groups, or a layer before it is filled
        by another scheme.
    ShapeError
        A mirrored width is odd.

    Notes
    -----
    The bias is 0. The variance is that of a layer in the middle, unless `inputs` and `outputs` say otherwise.

    References
    ----------
    Balduzzi, Frean, Leary, Lewis, Ma, McWilliams, *The shattered gradients problem: if resnets are the
    answer, then what is the question?*, ICML 2017, arXiv:1702.08591. Burkholz, Dubatovka, *Initialization of
    ReLUs for dynamical isometry*, NeurIPS 2019, arXiv:1806.06362.

    Examples
    --------
    >>> Mirrored("identity").init((4, 4), rng=0)
    array([[ 1.,  0., -1., -0.],
           [ 0.,  1., -0., -1.],
           [-1., -0.,  1.,  0.],
           [-0., -1.,  0.,  1.]], dtype=float32)
    """

    base: Initializer = ORTHOGONAL
    slope: float = 0.0
    inputs: bool | None = None
    outputs: bool | None = None
    formula: ClassVar[str] = "W = [[M, -M], [-M, M]], first [M; -M], last [M, -M]; M by the base"
    assumes: ClassVar[str] = "act(z) - act(-z) = (1 + slope) z: relu, leaky_relu, gelu, silu; even widths"
    fails: ClassVar[str] = (
        "odd widths; at first half of the units repeat the other half, and the network is no more than a "
        "linear map"
    )
    paper: ClassVar[str] = "Balduzzi et al. 2017, The shattered gradients problem, arXiv:1702.08591"
    distribution: ClassVar[str] = "mirrored"
    examples: ClassVar[tuple[str, ...]] = (
        "Mirrored('lecun_normal', slope=0.2)",
        "Mirrored(inputs=False, outputs=True)",
    )

    def __post_init__(self):
        self._set(base=get(self.base), slope=non_negative("slope", self.slope))
        for name in ("inputs", "outputs"):
            if getattr(self, name) is not None:
                self._set(**{name: flag(name, getattr(self, name))})

    def resolve(self, spec):
        # An only layer, the output, reads the data.
        first = spec.role == "input" or (spec.role == "output" and spec.depth == 1)
        inputs = not first if self.inputs is None else self.inputs
        outputs = spec.role != "output" if self.outputs is None else self.outputs
        return replace(self, inputs=inputs, outputs=outputs), "given"

    def check_network(self, specs):
        if self.inputs is None:
            indices = sorted(spec.index for spec in specs)
            for expected, index in enumerate(indices):
                if index != expected:
                    path = next(spec.path for spec in specs if spec.index == index)
                    raise OptionError(
                        f"layer {path!r}: Mirrored reads pairs of units, but the layer before is filled by "
                        "another scheme. Use it for all layers up to this one, or pass inputs=False."
                    )
        for spec in specs:
            self._check(spec)
            self._check_activation(spec)

    def _check(self, spec: LayerSpec) -> None:
        here = self.resolve(spec)[0]
        n_out, n_in, *_ = spec.kernel_shape
        for what, mirrored, n in (("inputs", here.inputs, n_in), ("outputs", here.outputs, n_out)):
            if mirrored and n % 2:
                raise ShapeError(
                    f"layer {spec.path!r}: Mirrored needs an even number of {what}, got {n}. Choose an even "
                    "width."
                )
        if spec.groups > 1:
            raise OptionError(
                f"layer {spec.path!r}: Mirrored needs groups=1, got {spec.groups}: both units of a pair must "
                "reach the same outputs."
            )

    def _check_activation(self, spec: LayerSpec) -> None:
        if self.resolve(spec)[0].inputs:
            verdict = self.suits(spec.input_activation)
            if not verdict:
                raise OptionError(f"layer {spec.path!r}: {verdict.reason}")

    def init_layer(self, spec, seed, weight, bias=None):
        self._check_activation(spec)
        super().init_layer(spec, seed, weight, bias)

    def fill_weight(self, spec, stream, weight):
        self._check(spec)
        if weight.size:
            kernel = np.empty(spec.kernel_shape, weight.dtype)
            self.resolve(spec)[0].fill_kernel(kernel, stream, spec.fan_in, spec.fan_out)
            spec.axes.store(kernel, weight)

    def fill_kernel(self, kernel, stream, fan_in, fan_out):
        inputs, outputs = self._pairs()
        n_out, n_in, *window = kernel.shape
        shape = (n_out // (1 + outputs), n_in // (1 + inputs), *window)
        m = self.base.init(shape, stream, np.float64, layout="oi" + KERNEL_AXES[: len(window)])
        if inputs:
            m /= 1.0 + self.slope
            m = np.concatenate([m, -m], axis=1)
        if outputs:
            m = np.concatenate([m, -m], axis=0)
        kernel[...] = narrow(self, m, kernel.dtype)

    def fill(self, view, stream, fan_in, fan_out):
        inputs, outputs = self._pairs()
        if view.ndim != 2 or (inputs and len(view) % 2) or (outputs and view.shape[1] % 2):
            raise ShapeError(f"{self!r} fills matrices of even widths, got shape {view.shape}.")
        if view.size:
            kernel = np.empty(view.shape[::-1], view.dtype)
            self.fill_kernel(kernel, stream, fan_in, fan_out)
            view[...] = kernel.T

    @property
    def mirrored(self) -> tuple[bool, bool]:
        """Whether inputs and outputs come in pairs, for a layer that it was resolved for."""
        return self._pairs()

    def _pairs(self) -> tuple[bool, bool]:
        """Return whether inputs and outputs are mirrored; without a layer, as in the middle of a network."""
        return self.inputs is not False, self.outputs is not False

    def _fans(self, fan_in: int, fan_out: int) -> tuple[int, int]:
        """Return the fans of M."""
        inputs, outputs = self._pairs()
        return fan_in // (1 + inputs), fan_out // (1 + outputs)

    def _factor(self) -> float:
        return 1.0 / (1.0 + self.slope) if self._pairs()[0] else 1.0

    def variance(self, fan_in, fan_out):
        """Return the variance of an element of M, which is that of all elements if M has mean 0."""
        return self._factor() ** 2 * self.base.variance(*self._fans(fan_in, fan_out))

    def bound(self, fan_in, fan_out):
        """Return the bound of the elements of M."""
        return self._factor() * self.base.bound(*self._fans(fan_in, fan_out))

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by the identity act(z) - act(-z) = (1 + slope) z; where it holds, any depth will do."""
        from minidl.theory import Verdict

        c = odd_slope(activation)
        if c is None:
            return Verdict(
                False, f"{activation}(z) - {activation}(-z) is not linear, so Mirrored does not apply."
            )
        if abs(c - (1.0 + self.slope)) > 1e-6:
            return Verdict(
                False,
                f"{activation}(z) - {activation}(-z) = {c:.6g} z needs Mirrored(slope={c - 1.0:.6g}).",
            )
        return Verdict(
            True, f"{activation}(z) - {activation}(-z) = {c:.6g} z: the network is linear at first."
        )
