"""An activation as theory sees it: its values, its derivative, its kinks and its Gaussian moments."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from minidl import activations
from minidl.activations import OUTPUT_FUNCTIONS, Activation
from minidl.errors import OptionError
from minidl.options import number
from minidl.theory.derivative import PiecewiseSlope, find_kinks
from minidl.theory.quadrature import gaussian_pair_mean, integrate

__all__ = ["Function", "Moments", "as_function"]

MOST_MOMENTS = 512  # kept per function


class Moments(NamedTuple):
    """Gaussian means of an activation at pre-activation variance q, x = sqrt(q) z.

    Examples
    --------
    >>> as_function("relu").moments(4.0).second
    2.0
    """

    #: E phi(x)
    mean: float
    #: E phi(x)^2
    second: float
    #: E phi'(x)^2
    slope: float
    #: E phi(x) phi'(x) x / q, which is d E[phi^2] / dq
    growth: float


class Function:
    """An activation with its derivative and kinks, of any Python callable.

    Wherever theory asks for an activation it takes a name (``"gelu"``, ``"leaky_relu(0.2)"``), an
    :class:`minidl.activations.Activation`, a callable, or one of these, which adds what is known about
    the callable.

    Parameters
    ----------
    value : callable
        phi(x), for arrays of float64 of any shape; returns that shape. Continuous, and finite for
        finite x.
    derivative : callable, optional
        phi'(x), likewise. Without it, phi is interpolated piecewise by polynomials, which are
        differentiated (about 1e-11).
    kinks : iterable of float, optional
        Points where the derivative jumps. Without it they are looked for in \\|x| < 64. Kinks closer to
        each other than 0.01 may be missed; the results are then good to about 1e-6.
    label : str, optional
        For printing; the name of the callable by default.

    Raises
    ------
    OptionError
        The callable fails on arrays, returns another shape, NaN or infinity, or jumps.

    Examples
    --------
    >>> absolute = Function(np.abs)
    >>> absolute.kinks, round(absolute.moments(1.0).slope, 10)
    ((0.0,), 1.0)
    >>> Function(np.tanh, derivative=lambda x: 1.0 / np.cosh(x) ** 2, kinks=())
    Function(tanh)
    """

    def __init__(
        self,
        value: Callable,
        derivative: Callable | None = None,
        kinks: Iterable[float] | None = None,
        label: str | None = None,
    ):
        if not callable(value):
            raise OptionError(f"activation={value!r}: expected a name, an Activation or a callable.")
        if derivative is not None and not callable(derivative):
            raise OptionError(f"derivative={derivative!r}: expected a callable or None.")
        self.label = label or getattr(value, "__name__", type(value).__name__)
        self.value = self._checked(value, self.label)
        if kinks is None:
            kinks = find_kinks(self.value, self.label)
        self.kinks = tuple(sorted({number("kinks", k, "finite numbers", lambda x: True) for k in kinks}))
        if derivative is None:
            self.slope = PiecewiseSlope(self.value, self.kinks)
        else:
            self.slope = self._checked(derivative, f"derivative of {self.label}")
        self._moments: dict[float, Moments] = {}

    @classmethod
    def of(cls, spec: Activation) -> Function:
        """Return the function of an activation of the library."""
        if spec.name in OUTPUT_FUNCTIONS:
            raise OptionError(
                f"activation={str(spec)!r} works on whole rows; theory needs an element-wise one, such as "
                "'identity' for the logits."
            )
        value = functools.partial(activations.forward, spec)
        return cls(value, functools.partial(activations.derivative, spec), spec.kinks, str(spec))

    @staticmethod
    def _checked(f: Callable, label: str) -> Callable:
        """Return f for float64 arrays, after a try; what it returns is checked again by the quadrature."""
        probe = np.linspace(-13.0, 13.0, 105).reshape(15, 7)

        def checked(x):
            x = np.asarray(x, np.float64)
            with np.errstate(all="ignore"):
                result = np.asarray(f(x))
            if result.shape != x.shape or result.dtype.kind not in "fiub":
                raise OptionError(
                    f"{label}: expected an array of real numbers of the same shape, {x.shape}, got "
                    f"{result.dtype} of {result.shape}."
                )
            return result.astype(np.float64, copy=False)

        try:
            values = checked(probe)
        except OptionError:
            raise
        except Exception as error:
            raise OptionError(
                f"{label}: failed on an array of float64 ({type(error).__name__}: {error}). Write it with "
                "NumPy, or wrap it in numpy.vectorize."
            ) from error
        if not np.isfinite(values).all():
            bad = probe[~np.isfinite(values)].flat[0]
            raise OptionError(f"{label}: is not finite at x = {bad:g}.")
        return checked

    def __repr__(self) -> str:
        return f"Function({self.label})"

    @functools.cached_property
    def at_zero(self) -> float:
        """phi(0)."""
        return float(self.value(np.zeros(1))[0])

    def moments(self, q: float) -> Moments:
        """Return the Gaussian moments at variance q >= 0; at 0 the limit from above."""
        least = 1e-24 if self.at_zero == 0.0 else 1e-8
        if q < least:  # to first order
            near = self.moments(least)
            return near._replace(mean=self.at_zero, second=self.at_zero**2 + near.growth * q)
        if q not in self._moments:
            if len(self._moments) >= MOST_MOMENTS:
                self._moments.clear()
            self._moments[q] = self._compute(q)
        return self._moments[q]

    def _compute(self, q: float) -> Moments:
        def integrand(x):
            y, slope = self.value(x), self.slope(x)
            return np.stack((y, y * y, slope * slope, y * slope * x / q))

        try:
            means = integrate(integrand, math.sqrt(q), self.kinks)[0]
        except OptionError as error:
            raise OptionError(f"{self.label}: {error}") from None
        mean, *others = (float(f"{x:.13e}") for x in means)  # later digits are noise
        if abs(mean) < 1e-14 * math.sqrt(others[0]):
            mean = 0.0
        return Moments(mean, *others)

    def pair(self, c: float, q: float) -> float:
        """Return E phi(u1) phi(u2) for variance q and correlation c."""
        return self.moments(q).second if c == 1.0 else gaussian_pair_mean(self.value, c, q, self.kinks)

    def slope_pair(self, c: float, q: float) -> float:
        """Return E phi'(u1) phi'(u2) for variance q and correlation c."""
        return self.moments(q).slope if c == 1.0 else gaussian_pair_mean(self.slope, c, q, self.kinks)


def as_function(activation: object) -> Function:
    """Return the :class:`Function` that an activation stands for; those of the library are cached.

    Examples
    --------
    >>> as_function("gelu") is as_function("gelu")
    True
    """
    if isinstance(activation, Function):
        return activation
    if isinstance(activation, str | Activation):
        return _of_library(activations.get(activation))
    return Function(activation)


@functools.lru_cache(maxsize=256)
def _of_library(spec: Activation) -> Function:
    return Function.of(spec)
