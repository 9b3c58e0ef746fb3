"""Finite width: how far one network is from the mean, where a formula is known (linear and relu nets)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from minidl.errors import OptionError
from minidl.options import count
from minidl.theory.function import as_function

__all__ = ["FiniteWidth", "finite_width"]


@dataclass(frozen=True)
class FiniteWidth:
    """Fluctuations of the squared norm of a signal, over networks whose mean squared norm is constant.

    Attributes
    ----------
    mean_log : float
        E ln(\\|y_L\\|^2 / \\|y_0\\|^2), negative: the typical network shrinks although the mean does not.
    var_log : float
        Its variance; about the sum of 2 / n (linear) or 5 / n (relu).
    relative_variance : float
        Var of the squared norm over its squared mean: prod(1 + 2 / n) - 1, or prod(1 + 5 / n) - 1.
    death : float
        Probability that a whole layer outputs 0 (relu only). The logarithms are over networks in which
        that does not happen.
    gains : tuple of float
        Factor on the standard deviation of each layer's weights that makes the mean logarithm 0, to be
        multiplied with 1 (linear) or sqrt(2) (relu).

    Examples
    --------
    >>> round(finite_width([32], "relu").gains[0] * 2 ** 0.5, 3)
    1.474
    """

    mean_log: float
    var_log: float
    relative_variance: float
    death: float
    gains: tuple[float, ...]


def finite_width(widths: Iterable[int], activation: object = "relu") -> FiniteWidth:
    r"""Return how the squared norm fluctuates in layers of finite width.

    Weights are Gaussian with variance 1 / fan_in (identity) or 2 / fan_in (relu), no biases. Then the
    squared norm of the outputs of a layer of width n is that of its inputs, per unit, times

    .. math:: \chi^2_n / n \quad\text{(identity)}, \qquad
              2 \chi^2_k / n,\; k \sim \mathrm{Binomial}(n, 1/2) \quad\text{(relu)},

    independently of all other layers. Means and variances of the logarithm follow from digamma and
    trigamma functions: :math:`E\ln(\chi^2_k) = \psi(k/2) + \ln 2`, :math:`\mathrm{Var} = \psi'(k/2)`.

    Parameters
    ----------
    widths : iterable of int
        Numbers of units of the layers, >= 1 each; the number of inputs does not matter.
    activation : {"relu", "identity"}

    Returns
    -------
    FiniteWidth

    Raises
    ------
    OptionError
        For another activation, for which no formula is known, or no widths.

    References
    ----------
    Hanin, Rolnick, *How to start training: the effect of initialization and architecture*, NeurIPS 2018,
    arXiv:1803.01719. Sussillo, Abbott, *Random walk initialization for training very deep feedforward
    networks*, 2014, arXiv:1412.6558.

    Examples
    --------
    >>> shallow, deep = finite_width([100] * 3), finite_width([100] * 50)
    >>> round(shallow.var_log, 2), round(deep.var_log, 2)
    (0.16, 2.6)
    """
    widths = [count("widths", n, minimum=1) for n in widths]
    if not widths:
        raise OptionError("widths: expected at least one.")
    label = as_function(activation).label
    if label not in _LAYERS:
        raise OptionError(
            f"activation={label!r}: fluctuations at finite width are known in closed form for 'identity' and "
            "'relu' only."
        )
    layer, spread = _LAYERS[label]
    logs = {n: layer(n) for n in set(widths)}
    means, variances, deaths = zip(*(logs[n] for n in widths), strict=True)
    return FiniteWidth(
        mean_log=sum(means),
        var_log=sum(variances),
        relative_variance=math.expm1(sum(math.log1p(spread / n) for n in widths)),
        death=1.0 - math.prod(1.0 - d for d in deaths),
        gains=tuple(math.exp(-0.5 * m) for m in means),
    )


def _linear(n: int) -> tuple[float, float, float]:
    """Return mean and variance of ln(chi^2_n / n), and the probability of 0."""
    from scipy.special import polygamma, psi

    return float(psi(n / 2) - math.log(n / 2)), float(polygamma(1, n / 2)), 0.0


def _relu(n: int) -> tuple[float, float, float]:
    """Return mean and variance of ln(2 chi^2_k / n) for k > 0 of Binomial(n, 1/2), and P(k = 0)."""
    from scipy.special import gammaln, polygamma, psi

    k = np.arange(1, n + 1)
    p = np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * math.log(2.0))
    p /= p.sum()
    log = psi(k / 2) + math.log(4.0 / n)
    mean = float(p @ log)
    return mean, float(p @ (polygamma(1, k / 2) + (log - mean) ** 2)), 2.0**-n


#: activation -> moments of the logarithm per layer, and n times the relative variance of the square
_LAYERS = {"identity": (_linear, 2.0), "relu": (_relu, 5.0)}
