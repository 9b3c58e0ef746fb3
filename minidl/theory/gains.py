"""The gains of an activation: what keeps a signal, a gradient or a standard deviation at its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from minidl.errors import OptionError
from minidl.options import significant
from minidl.theory.function import Function, as_function

__all__ = ["Gains", "gains"]


@dataclass(frozen=True)
class Gains:
    """Gaussian moments of an activation at variance 1, and the gains that follow from them.

    The word "gain" means three different things in the literature. All of them are here; the first is
    the one that initializers use.

    Attributes
    ----------
    mean, second_moment, slope_moment : float
        E phi, E phi^2 and E phi'^2.
    forward : float
        1 / sqrt(E phi^2): keeps the second moment of the pre-activations.
    backward : float
        1 / sqrt(E phi'^2): keeps the squared gradients.
    std : float
        1 / Std phi: makes the outputs have variance 1. It does *not* keep the pre-activations of the
        next layer where the mean is not 0, since a layer sees the second moment.
    chi_1 : float
        E phi'^2 / E phi^2: factor on the squared gradients per layer, with the forward gain.
    chi_q : float
        Slope of the variance map at its fixed point 1, with the forward gain. Above 1 that point
        repels: in a deep network the signal leaves it.

    Notes
    -----
    The squares of the gains are rounded to 10 significant digits, so that weights scaled by them do not
    depend on the last bits of a libm.
    """

    mean: float
    second_moment: float
    slope_moment: float
    forward: float
    backward: float
    std: float
    chi_1: float
    chi_q: float


def gains(
    activation: object,
    *,
    derivative: Callable | None = None,
    kinks: Iterable[float] | None = None,
) -> Gains:
    r"""Return the moments and gains of an activation.

    .. math:: \mathrm{forward} = 1/\sqrt{E\varphi(z)^2}, \quad
              \mathrm{backward} = 1/\sqrt{E\varphi'(z)^2}, \quad
              \mathrm{std} = 1/\sqrt{E\varphi^2 - (E\varphi)^2}, \quad z \sim N(0, 1)

    Parameters
    ----------
    activation : str, Activation, callable or Function
    derivative : callable, optional
        phi' of a callable; see :class:`minidl.theory.Function`.
    kinks : iterable of float, optional
        Where phi' of a callable jumps.

    Returns
    -------
    Gains

    Raises
    ------
    OptionError
        The name is unknown, the callable is not usable, or the activation is constant.

    References
    ----------
    He, Zhang, Ren, Sun, *Delving deep into rectifiers*, ICCV 2015, arXiv:1502.01852 (the forward and
    the backward gain of relu).

    Examples
    --------
    >>> relu = gains("relu")
    >>> round(relu.forward, 9), relu.chi_1
    (1.414213562, 1.0)
    >>> round(gains("gelu").forward, 9)
    1.533530441
    >>> import numpy as np
    >>> gains(np.cos).mean  # e^(-1/2)
    0.6065306597126...
    """
    if derivative is None and kinks is None:
        function = as_function(activation)
    elif not callable(activation) or isinstance(activation, Function):
        raise OptionError("derivative and kinks belong to a callable; this activation brings its own.")
    else:
        function = Function(activation, derivative, kinks)
    m = function.moments(1.0)
    variance = m.second - m.mean**2
    if not (m.second > 0.0 and m.slope > 0.0 and variance > 1e-24 * m.second):
        raise OptionError(f"{function.label}: is constant where a Gaussian reaches; it has no gain.")
    return Gains(
        mean=m.mean,
        second_moment=m.second,
        slope_moment=m.slope,
        forward=_gain(m.second),
        backward=_gain(m.slope),
        std=_gain(variance),
        chi_1=m.slope / m.second,
        chi_q=m.growth / m.second,
    )


def _gain(moment: float) -> float:
    return math.sqrt(significant(1.0 / moment))
