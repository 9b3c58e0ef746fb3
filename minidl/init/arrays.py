"""Initializers made of what the user has: an array, or a function that returns one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.init.base import Initializer
from minidl.init.checks import check_arrays, narrow

__all__ = ["Fixed", "FromFunction"]


def _real_array(argument: str, value: object) -> np.ndarray:
    """Return a read-only float64 copy, or raise an error that names the argument."""
    try:
        array = np.array(value)
    except ValueError:
        raise ShapeError(f"{argument}: expected an array, got rows of unequal length.") from None
    if array.dtype.kind not in "iuf":
        raise DtypeError(f"{argument}: expected an array of real numbers, got dtype {array.dtype}.")
    array = array.astype(np.float64, order="C")
    if not np.isfinite(array).all():
        raise OptionError(f"{argument}: expected finite numbers, got NaN or infinity.")
    array.flags.writeable = False
    return array


def _write(argument: str, view: np.ndarray, array: np.ndarray) -> None:
    if array.shape != view.shape:
        raise ShapeError(
            f"{argument}: the array has shape {array.shape}, the parameter has shape {view.shape}."
        )
    view[...] = narrow(argument, array, view.dtype)


@dataclass(frozen=True, repr=False, eq=False)
class Fixed(Initializer):
    """The values of a given array, for example trained weights from elsewhere.

    Parameters
    ----------
    value : array_like of real numbers, shape (fan_in, fan_out) for a weight, (n,) for a bias
        Copied; must be finite.

    Notes
    -----
    Two are equal if shape and values are. The ``repr`` of more than 1000 elements is a summary and
    does not evaluate.

    Examples
    --------
    >>> Fixed([[1.0, 2.0]])
    Fixed([[1.0, 2.0]])
    >>> Fixed([[1.0, 2.0]]).init((1, 2), rng=0)
    array([[1., 2.]], dtype=float32)
    """

    value: np.ndarray
    formula: ClassVar[str] = "W = the given array"
    assumes: ClassVar[str] = "a weight of exactly the shape of the array"
    fails: ClassVar[str] = "a layer of another shape is refused; the seed changes nothing"
    paper: ClassVar[str] = "none (the values are the user's)"
    distribution: ClassVar[str] = "given"
    examples: ClassVar[tuple[str, ...]] = ("Fixed([[0.5, -1.0], [2.0, 0.25]])",)

    def __post_init__(self):
        self._set(value=_real_array("value", self.value))

    def fill(self, view, stream, fan_in=None, fan_out=None):
        _write("Fixed", view, self.value)

    def init_layer(self, spec, seed, weight, bias=None):
        check_arrays(spec, weight, bias)
        # An empty parameter is filled as well: an array of another shape is a mistake even there.
        if not weight.size and spec.is_dense:
            _write("Fixed", spec.in_out(weight), self.value)
        super().init_layer(spec, seed, weight, bias)

    def to_dict(self):
        if self.value.size:
            return {"name": "Fixed", "value": self.value.tolist()}
        raise OptionError(f"an empty array of shape {self.value.shape} cannot become a list.")

    def __repr__(self):
        if 0 < self.value.size <= 1000:
            return f"Fixed({self.value.tolist()!r})"
        digest = hashlib.blake2b(self.value.tobytes(), digest_size=4).hexdigest()
        return f"Fixed(<array of shape {self.value.shape}, hash {digest}>)"

    def __eq__(self, other):
        if type(other) is not Fixed:
            return NotImplemented
        return self.value.shape == other.value.shape and bool(np.all(self.value == other.value))

    def __hash__(self):
        # + 0.0 turns -0.0 into 0.0, which is equal to it and must have the same hash.
        return hash((self.value.shape, (self.value + 0.0).tobytes()))

    def __reduce__(self):
        return Fixed, (np.array(self.value),)


@dataclass(frozen=True, repr=False)
class FromFunction(Initializer):
    """The array that a function returns.

    Parameters
    ----------
    function : callable
        Called as ``function(shape, stream, dtype)`` with ``shape = (fan_in, fan_out)`` (or (n,) for a
        bias), a :class:`Stream` and a NumPy dtype; returns an array of that shape with finite values.
        To depend on nothing but the seed and the path, it must draw from `stream`.

    Examples
    --------
    >>> eye = FromFunction(lambda shape, stream, dtype: np.eye(*shape, dtype=dtype))
    >>> eye.init((2, 2), rng=0)
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    function: Callable
    formula: ClassVar[str] = "W = function(shape, stream, dtype)"
    assumes: ClassVar[str] = "that the function draws from its stream and from nothing else"
    fails: ClassVar[str] = "it cannot be written to a file: register a class for that"
    paper: ClassVar[str] = "none (the values are the user's)"
    distribution: ClassVar[str] = "given"

    def __post_init__(self):
        if not callable(self.function):
            raise OptionError(f"function={self.function!r}: expected a callable.")

    def fill(self, view, stream, fan_in=None, fan_out=None):
        name = getattr(self.function, "__qualname__", repr(self.function))
        array = _real_array(name, self.function(view.shape, stream, view.dtype))
        _write(name, view, array)

    def to_dict(self):
        raise OptionError(
            f"{self!r} cannot be written to a file. Register a class of your own instead, "
            "see minidl.init.register."
        )
