"""Checks of the numbers that users pass as options: the value comes back, or one clear error."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable

from .errors import out_of_range


def number(argument: str, value: object, expected: str, accept: Callable[[float], bool]) -> float:
    """Return a finite real number as a float, if `accept` allows it.

    Bools and strings are refused: where a number is expected they are mistakes.

    Parameters
    ----------
    argument, expected : str
        How the error names the option and its range.
    value : object
        What the user passed; NumPy scalars are numbers too.
    accept : callable
        Whether a finite float is in range.

    Raises
    ------
    OptionError
        `value` is something else.

    Examples
    --------
    >>> number("momentum", 0.9, "a number in [0, 1)", lambda x: 0 <= x < 1)
    0.9
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            result = float(value)
        except OverflowError:  # an int beyond the float64 range
            result = math.inf
        if math.isfinite(result) and accept(result):
            return result
    raise out_of_range(argument, value, expected)


def positive(argument: str, value: object) -> float:
    """Return a finite number > 0 as a float, else raise OptionError."""
    return number(argument, value, "a finite number > 0", lambda x: x > 0.0)


def non_negative(argument: str, value: object) -> float:
    """Return a finite number >= 0 as a float, else raise OptionError."""
    return number(argument, value, "a finite number >= 0", lambda x: x >= 0.0)


def count(argument: str, value: object, minimum: int) -> int:
    """Return an integer >= `minimum` as an int, else raise OptionError.

    Examples
    --------
    >>> count("patience", 5, minimum=1)
    5
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= minimum:
        return int(value)
    raise out_of_range(argument, value, f"an integer >= {minimum}")
