"""Convolutions that are isometries: an orthogonal matrix at the centre of the window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import ShapeError
from minidl.init.identity import center
from minidl.init.orthogonal import HaarWeights
from minidl.init.registry import register
from minidl.init.spec import LayerSpec

__all__ = ["DeltaOrthogonal"]


@register("delta_orthogonal")
@dataclass(frozen=True, repr=False)
class DeltaOrthogonal(HaarWeights):
    r"""An orthogonal matrix at the centre of the window of a convolution, zeros elsewhere.

    .. math:: W[:, :, k // 2, \dots] = \mathrm{gain} \cdot Q, \quad Q^T Q = I

    with Q of shape (outputs, inputs), uniform over all such matrices. The convolution then keeps the length
    of its input, whatever the input is, while the kernels of :class:`Orthogonal` do so on average only. A
    dense weight is that of :class:`Orthogonal`.

    Parameters
    ----------
    gain : float or str
        Finite and > 0; or the name of an activation, as for :class:`Orthogonal`.

    Raises
    ------
    OptionError
        The gain is neither.
    ShapeError
        A convolution has fewer outputs than inputs (in a group), with a window of more than one position:
        it cannot keep lengths.

    Notes
    -----
    The centre is that of :class:`Dirac`. The mean square of the elements of a kernel is gain^2 / fan_out;
    `law` and `cdf` are those of a dense weight.

    References
    ----------
    Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington, *Dynamical isometry and a mean field theory of
    CNNs: how to train 10,000-layer vanilla convolutional neural networks*, ICML 2018, arXiv:1806.05393.

    Examples
    --------
    >>> import numpy as np
    >>> w = DeltaOrthogonal().init((4, 3, 5, 5), rng=0, dtype="float64", layout="oihw")
    >>> tap = w[:, :, 2, 2]
    >>> bool(np.allclose(tap.T @ tap, np.eye(3))), bool(np.count_nonzero(w) == tap.size)
    (True, True)
    """

    formula: ClassVar[str] = "W[:, :, k // 2, ...] = gain Q, Q Haar with Q^T Q = I, all else 0"
    assumes: ClassVar[str] = "at least as many outputs as inputs, odd windows, and a stride of 1"
    fails: ClassVar[str] = (
        "fewer outputs than inputs are refused; relu: no isometry; the neighbours of a pixel play no part at "
        "first, so a single layer that should look at them is better served by Orthogonal"
    )
    paper: ClassVar[str] = (
        "Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington 2018, Dynamical isometry and a mean field "
        "theory of CNNs, arXiv:1806.05393"
    )
    examples: ClassVar[tuple[str, ...]] = ("DeltaOrthogonal(gain='tanh')", "DeltaOrthogonal(gain=2.0)")

    def check_network(self, specs):
        for spec in specs:
            _check(spec)

    def fill_weight(self, spec, stream, weight):
        _check(spec)
        super().fill_weight(spec, stream, weight)

    def fill_kernel(self, kernel, stream, fan_in, fan_out):
        kernel[...] = 0.0
        self.fill(center(kernel).T, stream, fan_in, fan_out)


def _check(spec: LayerSpec) -> None:
    n_out, n_in, *window = spec.kernel_shape
    if math.prod(window) > 1 and n_out // spec.groups < n_in:
        raise ShapeError(
            f"layer {spec.path!r}: DeltaOrthogonal needs at least as many outputs as inputs (of a group), "
            f"got {n_in} inputs and {n_out // spec.groups} outputs. Use Orthogonal."
        )
