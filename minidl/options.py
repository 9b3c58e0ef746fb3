"""What users pass as options: the value comes back checked, or there is one clear error."""

from __future__ import annotations

import ast
import math
import numbers
from collections.abc import Callable, Collection

import numpy as np

from .errors import OptionError, out_of_range, unknown_name


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
    # the type alone settles the usual case; an abstract class costs a microsecond
    if type(value) in (float, int) or (isinstance(value, numbers.Real) and not isinstance(value, bool)):
        try:
            result = float(value)
        except OverflowError:  # an int beyond the float64 range
            result = math.inf
        if math.isfinite(result) and accept(result):
            return result
    raise out_of_range(argument, value, expected)


def finite(argument: str, value: object) -> float:
    """Return a finite number as a float, else raise OptionError."""
    return number(argument, value, "a finite number", lambda x: True)


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
    integral = type(value) is int or (isinstance(value, numbers.Integral) and not isinstance(value, bool))
    if integral and value >= minimum:
        return int(value)
    raise out_of_range(argument, value, f"an integer >= {minimum}")


def flag(argument: str, value: object) -> bool:
    """Return True or False, else raise OptionError; 0 and 1 are refused.

    Examples
    --------
    >>> flag("center", True)
    True
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise out_of_range(argument, value, "True or False")


def choice(argument: str, value: object, known: Collection[str]) -> str:
    """Return a name that is one of the known ones, else raise OptionError with a did-you-mean.

    Examples
    --------
    >>> choice("mode", "fan_in", ("fan_in", "fan_out"))
    'fan_in'
    """
    if isinstance(value, str) and value in known:
        return value
    raise unknown_name(argument, value, known)


def parse_call(argument: str, text: str, example: str) -> tuple[str, tuple, dict]:
    """Split "name" or "name(1, key=2)" into name, arguments and keyword arguments.

    Nothing is evaluated but literals.

    Parameters
    ----------
    argument, example : str
        How the error names the option, and what it shows.
    text : str

    Raises
    ------
    OptionError
        It is neither.

    Examples
    --------
    >>> parse_call("init", "he(slope=0.1)", example="'he_normal'")
    ('he', (), {'slope': 0.1})
    """
    if "(" not in text:
        return text.strip(), (), {}
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            args = tuple(ast.literal_eval(value) for value in call.args)
            kwargs = {pair.arg: ast.literal_eval(pair.value) for pair in call.keywords}
            if None not in kwargs and len(kwargs) == len(call.keywords):  # no **more, nothing twice
                return call.func.id, args, kwargs
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass
    raise OptionError(f"{argument}={text!r}: expected a name, alone or with literal arguments: {example}.")


def significant(x: float, digits: int = 10) -> float:
    """Round to significant digits.

    What a computed number owes to exp, log and pow of the C library differs in its last bits from system to
    system. Where it decides weights it goes through this, and the weights are the same everywhere.

    Examples
    --------
    >>> significant(1.99999999999987), significant(0.0)
    (2.0, 0.0)
    """
    return float(f"{x:.{digits - 1}e}")
