"""A gain as users write it: a number, or the name of an activation."""

from __future__ import annotations

from minidl import activations
from minidl.options import positive

__all__ = ["check_gain", "gain_value"]


def check_gain(gain: object) -> float | str:
    """Return a finite number > 0 as a float, the name of an activation as it is, else raise OptionError.

    Examples
    --------
    >>> check_gain(2), check_gain("relu")
    (2.0, 'relu')
    """
    if isinstance(gain, str):
        activations.get(gain)
        return gain
    return positive("gain", gain)


def gain_value(gain: float | str) -> float:
    """Return the number: of an activation the forward gain 1 / sqrt(E act(z)^2), z ~ N(0, 1).

    Examples
    --------
    >>> round(gain_value("relu") ** 2, 9)
    2.0
    """
    if isinstance(gain, str):
        from minidl.theory import gains

        return gains(gain).forward
    return gain
