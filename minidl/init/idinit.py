"""IDInit: identities that go round, and branches that begin near zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.init.base import Initializer
from minidl.init.checks import check_fans, check_largest, check_matrix
from minidl.init.measured import measured_verdict
from minidl.init.registry import register
from minidl.options import positive

__all__ = ["IDInit"]


@register("id_init")
@register("idinit")
@dataclass(frozen=True, repr=False)
class IDInit(Initializer):
    r"""The identity matrix, continued in a rectangular weight, and nearly zero at the end of a branch.

    .. math:: W_{ij} = \tau \text{ if } i \equiv j \bmod m, \text{ else } 0, \quad m = \min(n_{in}, n_{out})

    for input i and output j. A layer that widens repeats its inputs instead of adding units that are zero,
    one that narrows adds inputs up instead of dropping some. The last layer of a residual branch has epsilon
    in place of tau: the block passes its input on, to within 1e-6, and yet no unit of the branch is without
    gradient.

    Parameters
    ----------
    tau : float
        Finite and > 0.
    epsilon : float
        For the last layer of a residual branch; finite and > 0.

    Raises
    ------
    OptionError
        A value is outside its range.

    Notes
    -----
    The kernel of a convolution is filled as the matrix of shape (fan_in, outputs): the outputs take turns
    among channels and positions of the window. Here epsilon has the pattern of tau; the small values that
    the paper adds against dead units and the noise for convolutions are left out. The seed changes nothing.

    References
    ----------
    Pan, Wang, Wu, Wang, Zhang, Xu, *IDInit: a universal and stable initialization method for neural network
    training*, ICLR 2025, arXiv:2503.04626.

    Examples
    --------
    >>> IDInit().init((2, 5), rng=0)
    array([[1., 0., 1., 0., 1.],
           [0., 1., 0., 1., 0.]], dtype=float32)
    """

    tau: float = 1.0
    epsilon: float = 1e-6
    formula: ClassVar[str] = (
        "W[i, j] = tau where i = j modulo min(n_in, n_out); epsilon at the end of a branch"
    )
    assumes: ClassVar[str] = (
        "residual blocks, and an optimizer with momentum, which leaves the symmetric start"
    )
    fails: ClassVar[str] = (
        "repeated units stay equal under plain gradient descent without noise; a narrowing layer multiplies "
        "q by n_in / n_out; maps of negative eigenvalues are learnt slowly"
    )
    paper: ClassVar[str] = (
        "Pan et al. 2025, IDInit: a universal and stable initialization method for neural network training, "
        "ICLR, arXiv:2503.04626"
    )
    distribution: ClassVar[str] = "deterministic"
    blockwise: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("IDInit(tau=0.5, epsilon=1e-3)",)

    def __post_init__(self):
        self._set(tau=positive("tau", self.tau), epsilon=positive("epsilon", self.epsilon))

    def resolve(self, spec):
        if spec.ends_branch:
            return IDInit(self.epsilon, self.epsilon), "the end of a residual branch"
        return self, "given"

    def fill_weight(self, spec, stream, weight):
        Initializer.fill_weight(self.resolve(spec)[0], spec, stream, weight)

    def fill(self, view, stream, fan_in=None, fan_out=None):
        check_matrix(self, view)
        if view.size:
            check_largest(self, self.tau, view.dtype)
            n_in, n_out = view.shape
            apart = np.arange(n_in)[:, None] - np.arange(n_out)
            view[...] = self.tau * (apart % min(n_in, n_out) == 0)

    def variance(self, fan_in, fan_out):
        """Return the mean square of the elements of a dense weight, tau^2 / min(fan_in, fan_out)."""
        check_fans(fan_in, fan_out)
        return self.tau * self.tau / min(fan_in, fan_out)

    def bound(self, fan_in=None, fan_out=None):
        """Return tau."""
        return self.tau

    def suits(self, activation, depth=10, limit=1e3):
        """Judge by measurement a plain network of equal widths, which is one of identities."""
        return measured_verdict(activation, np.array([[self.tau]]), "identities", depth, limit)
