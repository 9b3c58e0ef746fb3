"""The exceptions of minidl, and the one place that words option and shape errors.

Every exception derives from :class:`MinidlError` and from the built-in type a caller would expect, so
``except ValueError`` keeps working. A message names the argument, what was expected, what came, and
what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinidlError(Exception):
    """Base class of all exceptions raised by minidl."""


class ShapeError(MinidlError, ValueError):
    """An array or a layer has a shape that does not fit its neighbours."""


class DtypeError(MinidlError, TypeError):
    """An array has a dtype that cannot be used here (object, string, float labels, ...)."""


class OptionError(MinidlError, ValueError):
    """An option has an unknown name or a value outside its range."""


class UnknownParameterError(MinidlError, KeyError):
    """A network has no parameter of that name."""

    def __str__(self) -> str:  # KeyError would quote the message
        return self.args[0]


class DataError(MinidlError, ValueError):
    """Data are empty, not finite, out of range, or a data file is missing, cut or malformed."""


class FileFormatError(MinidlError, ValueError):
    """A saved model is not a minidl file, is damaged, or was written by an unknown version."""


class DivergenceError(MinidlError, ArithmeticError):
    """Training produced NaN or infinity; the parameters are left at their last finite values.

    Attributes
    ----------
    epoch, step : int
        Where it happened: the epoch of this call and the step of that epoch, both counted from 1.
    layer : str
        The layer whose output or gradient was the first to be non-finite.
    """

    def __init__(self, message: str, *, epoch: int, step: int, layer: str):
        super().__init__(message)
        self.epoch = epoch
        self.step = step
        self.layer = layer


class InitWarning(UserWarning):
    """A choice of initialization will not do what its user expects."""


class IsaError(MinidlError, RuntimeError):
    """``MINIDL_ISA`` asks for an instruction set level that this machine or build does not have."""


def unknown_name(argument: str, value: object, known: Iterable[str]) -> OptionError:
    """Word the error for a name that is not in a table, with a did-you-mean.

    Parameters
    ----------
    argument : str
        The argument as the user wrote it, for example ``"activation"``.
    value : object
        What came.
    known : iterable of str
        The names that would have been accepted.

    Returns
    -------
    OptionError
        To be raised by the caller.

    Examples
    --------
    >>> print(unknown_name("activation", "Relu6", ["relu", "relu6", "tanh"]))
    activation='Relu6' is unknown. Did you mean 'relu6'? Known: relu, relu6, tanh.
    """
    names = sorted(known)
    hint = ""
    if isinstance(value, str):
        close = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
    return OptionError(f"{argument}={value!r} is unknown.{hint} Known: {', '.join(names)}.")


def out_of_range(argument: str, value: object, expected: str) -> OptionError:
    """Word the error for a value outside its range.

    Examples
    --------
    >>> print(out_of_range("lr", -0.1, "a finite number > 0"))
    lr=-0.1: expected a finite number > 0.
    """
    return OptionError(f"{argument}={value!r}: expected {expected}.")
