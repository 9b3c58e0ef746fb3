"""Weights that pass their inputs on: the identity matrix, and its convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import ShapeError
from minidl.init.base import Initializer
from minidl.init.checks import check_fans, check_largest, check_matrix
from minidl.init.measured import measured_verdict
from minidl.init.registry import register
from minidl.options import positive

__all__ = ["Dirac", "Identity", "center"]


def center(kernel: np.ndarray) -> np.ndarray:
    """Return a view of the centre tap of a kernel, shape (outputs, inputs): index k // 2 of each window axis.

    Examples
    --------
    >>> center(np.arange(6.0).reshape(1, 2, 3))
    array([[1., 4.]])
    """
    return kernel[(slice(None), slice(None), *(k // 2 for k in kernel.shape[2:]))]


@dataclass(frozen=True, repr=False)
class _Eye(Initializer):
    """What Identity and Dirac share."""

    gain: float = 1.0
    distribution: ClassVar[str] = "deterministic"
    blockwise: ClassVar[bool] = True

    def __post_init__(self):
        self._set(gain=positive("gain", self.gain))

    def fill(self, view, stream, fan_in=None, fan_out=None):
        check_matrix(self, view)
        check_largest(self, self.gain, view.dtype)
        view[...] = 0.0
        np.einsum("ii->i", view[: min(view.shape), : min(view.shape)])[...] = self.gain

    def variance(self, fan_in, fan_out):
        """Return the mean square of the elements, gain^2 / max(fan_in, fan_out)."""
        check_fans(fan_in, fan_out)
        return self.gain * self.gain / max(fan_in, fan_out)

    def bound(self, fan_in=None, fan_out=None):
        """Return the gain."""
        return self.gain

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by measurement a plain network, in which each unit is a chain of its own."""
        return measured_verdict(activation, np.array([[self.gain]]), "identities", depth, limit)


@register("identity")
@register("eye")
@dataclass(frozen=True, repr=False)
class Identity(_Eye):
    """The identity matrix times a gain; of a rectangular weight the diagonal.

    Parameters
    ----------
    gain : float
        Finite and > 0.

    Raises
    ------
    OptionError
        The gain is outside its range.
    ShapeError
        The weight is that of a convolution with a window of more than one position: see :class:`Dirac`.

    References
    ----------
    Le, Jaitly, Hinton, *A simple way to initialize recurrent networks of rectified linear units*, 2015,
    arXiv:1504.00941. Hardt, Ma, *Identity matters in deep learning*, ICLR 2017, arXiv:1611.04231.

    Examples
    --------
    >>> Identity(2.0).init((2, 3), rng=0)
    array([[2., 0., 0.],
           [0., 2., 0.]], dtype=float32)
    """

    formula: ClassVar[str] = "W = gain I, the diagonal of a rectangular weight"
    assumes: ClassVar[str] = "layers that need not mix their inputs at first: linear, residual, or recurrent"
    fails: ClassVar[str] = (
        "nothing is mixed; outputs beyond n_in are zero and stay equal to each other, inputs beyond n_out "
        "are lost; relu keeps only what is positive"
    )
    paper: ClassVar[str] = (
        "Le, Jaitly, Hinton 2015, A simple way to initialize recurrent networks of rectified linear units, "
        "arXiv:1504.00941"
    )
    examples: ClassVar[tuple[str, ...]] = ("Identity(gain=0.5)",)

    def fill_weight(self, spec, stream, weight):
        if math.prod(spec.kernel_shape[2:]) > 1:
            raise ShapeError(
                f"layer {spec.path!r}: Identity fills matrices, not the kernel of a convolution of shape "
                f"{spec.shape}. Use Dirac, whose convolution is the identity."
            )
        super().fill_weight(spec, stream, weight)


@register("dirac")
@dataclass(frozen=True, repr=False)
class Dirac(_Eye):
    """The kernel whose convolution is the identity: channel i goes to channel i, times a gain.

    The only elements that are not zero are at the centre of the window, index k // 2 of an axis of k, as in
    PyTorch; with padding k // 2 and odd k the convolution passes its input on. In a grouped convolution
    this holds for each group. A dense weight gets the identity matrix.

    Parameters
    ----------
    gain : float
        Finite and > 0.

    Raises
    ------
    OptionError
        The gain is outside its range.

    Notes
    -----
    The ``delta_orthogonal`` of JAX has its centre at (k - 1) // 2: for even k one index earlier.

    References
    ----------
    Zagoruyko, Komodakis, *DiracNets: training very deep neural networks without skip-connections*, 2017,
    arXiv:1706.00388.

    Examples
    --------
    >>> Dirac().init((2, 2, 3), rng=0, layout="oiw")
    array([[[0., 1., 0.],
            [0., 0., 0.]],
           [[0., 0., 0.],
            [0., 1., 0.]]], dtype=float32)
    """

    formula: ClassVar[str] = "W[i, i, k // 2, ...] = gain, all else 0"
    assumes: ClassVar[str] = "a convolution that may pass its input on at first; odd windows"
    fails: ClassVar[str] = (
        "nothing is mixed; channels beyond the inputs are zero and stay equal to each other; an even window "
        "shifts the image by half a pixel"
    )
    paper: ClassVar[str] = (
        "Zagoruyko, Komodakis 2017, DiracNets: training very deep neural networks without skip-connections, "
        "arXiv:1706.00388"
    )
    examples: ClassVar[tuple[str, ...]] = ("Dirac(gain=0.5)",)

    def fill_kernel(self, kernel, stream, fan_in, fan_out):
        kernel[...] = 0.0
        self.fill(center(kernel).T, stream)
