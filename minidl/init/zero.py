"""ZerO: nothing but zeros and ones, up to a factor; no random numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_fans, check_largest, check_matrix
from minidl.init.constant import Zeros
from minidl.init.identity import center
from minidl.init.measured import measured_verdict
from minidl.init.registry import register
from minidl.options import positive

__all__ = ["ZerO", "hadamard"]


def hadamard(rows: int, columns: int) -> np.ndarray:
    r"""Return the upper left part of a Hadamard matrix: element (i, j) is -1 to the number of common bits.

    The whole matrix, for :math:`2^m` rows and columns, is :math:`H_m = \begin{pmatrix} H_{m-1} & H_{m-1} \\
    H_{m-1} & -H_{m-1} \end{pmatrix}`; its rows are orthogonal (Sylvester 1867).

    Examples
    --------
    >>> hadamard(4, 3)
    array([[ 1.,  1.,  1.],
           [ 1., -1.,  1.],
           [ 1.,  1., -1.],
           [ 1., -1., -1.]])
    """
    common = np.arange(rows)[:, None] & np.arange(columns)
    for shift in (32, 16, 8, 4, 2, 1):  # the lowest bit becomes the parity of all
        common ^= common >> shift
    return 1.0 - 2.0 * (common & 1)


@register("zer_o")
@register("zeros_and_ones")
@dataclass(frozen=True, repr=False)
class ZerO(Initializer):
    r"""Identity where a layer does not widen, a part of a Hadamard matrix where it does.

    .. math:: W = \mathrm{gain} \cdot \begin{cases}
              \text{the diagonal } I & n_{out} \le n_{in} \\
              I_{n_{out} \times p} \, H / \sqrt p \; I_{p \times n_{in}}, \quad p = 2^{\lceil \log_2 n_{out}
              \rceil} & n_{out} > n_{in} \end{cases}

    The last layer of a residual branch is 0, so that a block passes its input on. A kernel of a convolution
    has this matrix at the centre of its window. The identity alone would leave the new units of a widening
    layer at zero, all alike; the Hadamard matrix gives each of them a mixture of its own.

    Parameters
    ----------
    gain : float
        Finite and > 0. The code of the authors divides by :math:`\sqrt p`, as here; Algorithm 1 of the paper
        has :math:`c = 2^{-(m - 1) / 2} = \sqrt{2 / p}` for the widening layers, a factor of :math:`\sqrt 2`.

    Raises
    ------
    OptionError
        The gain is outside its range.

    Notes
    -----
    The columns of a widening W are orthonormal only if n_out is a power of 2; else its singular values
    spread, from 1/8 to 1 for 65 inputs and 66 outputs. The seed changes nothing.

    References
    ----------
    Zhao, Schäfer, Anandkumar, *ZerO initialization: initializing neural networks with only zeros and ones*,
    TMLR 2022, arXiv:2110.12661.

    Examples
    --------
    >>> ZerO(gain=2.0).init((2, 4), rng=0)
    array([[ 1.,  1.,  1.,  1.],
           [ 1., -1.,  1., -1.]], dtype=float32)
    """

    gain: float = 1.0
    formula: ClassVar[str] = (
        "W = gain I (n_out <= n_in), gain H / sqrt(p) with p = 2^ceil(log2 n_out) else; 0 at the end of a "
        "branch"
    )
    assumes: ClassVar[str] = "residual blocks, which make units differ from each other in training"
    fails: ClassVar[str] = (
        "a plain stack begins as a diagonal and trains along matrices of low rank; a widening layer shrinks "
        "q by n_in / p"
    )
    paper: ClassVar[str] = (
        "Zhao, Schäfer, Anandkumar 2022, ZerO initialization: initializing neural networks with only zeros "
        "and ones, arXiv:2110.12661"
    )
    distribution: ClassVar[str] = "deterministic"
    blockwise: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("ZerO(gain=0.5)",)

    def __post_init__(self):
        self._set(gain=positive("gain", self.gain))

    def resolve(self, spec):
        return (Zeros(), "the end of a residual branch") if spec.ends_branch else (self, "given")

    def fill_weight(self, spec, stream, weight):
        if spec.ends_branch:
            weight[...] = 0.0
        else:
            super().fill_weight(spec, stream, weight)

    def fill_kernel(self, kernel, stream, fan_in, fan_out):
        kernel[...] = 0.0
        self.fill(center(kernel).T, stream)

    def fill(self, view, stream, fan_in=None, fan_out=None):
        check_matrix(self, view)
        if not view.size:
            return
        check_largest(self, self.gain, view.dtype)
        n_in, n_out = view.shape
        if n_out <= n_in:
            view[...] = self.gain * np.eye(n_in, n_out)
        else:
            view[...] = self.gain / math.sqrt(_power(n_out)) * hadamard(n_in, n_out)

    def variance(self, fan_in, fan_out):
        """Return the mean square of the elements of a dense weight outside of the end of a branch."""
        check_fans(fan_in, fan_out)
        return self.gain * self.gain / (fan_in if fan_out <= fan_in else _power(fan_out))

    def bound(self, fan_in, fan_out):
        """Return the largest absolute value of an element of a dense weight."""
        return self.gain / (1.0 if fan_out <= fan_in else math.sqrt(_power(fan_out)))

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by measurement a plain network of equal widths, which is one of identities."""
        return measured_verdict(activation, np.array([[self.gain]]), "identities", depth, limit)


def _power(n: int) -> int:
    """Return the smallest power of 2 that is at least n."""
    return 1 << (int(n) - 1).bit_length()
