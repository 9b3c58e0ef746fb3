"""The protocol of the initializers: a description of a layer in, its weight and bias filled."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.init.spec import LayerSpec, check_shape
from minidl.init.streams import Stream, as_stream

__all__ = ["Initializer", "Law"]


@dataclass(frozen=True, repr=False)
class Initializer:
    """Base class: a rule for the first values of the weight and the bias of a layer.

    An initializer is a value: immutable, comparable, hashable, picklable, with a ``repr`` that
    evaluates to it. It holds no generator, so one object may serve all layers: each layer has its
    own streams, ``Stream(seed, path, "weight")`` and ``Stream(seed, path, "bias")``.

    Write your own as a frozen dataclass that defines one of three methods:

    - ``law(fan_in, fan_out)``, if the elements are independent and have one distribution;
    - ``fill(view, stream, fan_in, fan_out)``, for another rule about the weight (bias 0);
    - ``init_layer(spec, seed, weight, bias)``, for a joint rule for weight and bias.

    Attributes
    ----------
    formula : str
        The rule in one line.
    paper : str
        Where it comes from; empty if it has no source.

    Examples
    --------
    >>> from minidl.init import Normal
    >>> @dataclass(frozen=True, repr=False)
    ... class HalfHe(Initializer):
    ...     formula = "Var(W) = 1/2 * 2/fan_in"
    ...
    ...     def law(self, fan_in, fan_out):
    ...         return Normal(std=(1.0 / fan_in) ** 0.5)
    >>> HalfHe().std(100, 50)
    0.1
    """

    formula: ClassVar[str] = ""
    paper: ClassVar[str] = ""

    # --- what it does ----------------------------------------------------------------------------

    def init_layer(
        self,
        spec: LayerSpec,
        seed: int | Stream,
        weight: np.ndarray,
        bias: np.ndarray | None = None,
    ) -> None:
        """Fill the weight and the bias of a layer in place.

        Parameters
        ----------
        spec : LayerSpec
        seed : int or Stream
            Root of the streams of the network.
        weight : ndarray of float32 or float64, shape ``spec.shape``
            Any strides; memory between its rows stays untouched.
        bias : ndarray of float32 or float64, shape (n_outputs,), optional

        Raises
        ------
        DtypeError, ShapeError, OptionError
            An array does not fit, or the rule cannot serve this layer; nothing is changed then.
        """
        check_arrays(spec, weight, bias)
        stream = as_stream(seed).child(spec.path, "weight")
        if weight.size:
            self.fill(spec.in_out(weight), stream, spec.fan_in, spec.fan_out)
        if bias is not None:
            bias[...] = 0.0

    def fill(self, view: np.ndarray, stream: Stream, fan_in: int, fan_out: int) -> None:
        """Fill an array, a weight of shape (fan_in, n_outputs) or a vector, from a stream."""
        if view.size:
            self.law(fan_in, fan_out).fill(view, stream, fan_in, fan_out)

    def init(
        self,
        shape: tuple[int, int],
        rng: int | Stream,
        dtype=np.float32,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return a new weight, without a network around it.

        Parameters
        ----------
        shape : (fan_in, fan_out)
        rng : int or Stream
            ``Stream(seed, path, "weight")`` gives the values of that weight in a network.
        dtype : float32 or float64
            The values are those of float64, rounded. Ignored if `out` is given.
        out : ndarray of that shape, optional
            Filled and returned.

        Examples
        --------
        >>> from minidl.init import Uniform
        >>> Uniform(-1.0, 1.0).init((2, 3), rng=0).shape
        (2, 3)
        """
        shape, stream = check_shape(shape), as_stream(rng)
        if out is None:
            out = np.empty(shape, check_dtype(dtype))
        check_array("out", out, shape)
        if out.size:
            self.fill(out, stream, *shape)
        return out

    def resolve(self, spec: LayerSpec) -> tuple[Initializer, str]:
        """Return the initializer that will fill this layer, and why it."""
        return self, "given"

    # --- what is known about it ------------------------------------------------------------------

    def law(self, fan_in: int, fan_out: int) -> Law:
        """Return the distribution of every element, with its numbers filled in.

        Raises
        ------
        OptionError
            The elements have no common distribution that is known in closed form.

        Examples
        --------
        >>> from minidl.init import He
        >>> He().law(fan_in=200, fan_out=10)
        Normal(std=0.1)
        """
        raise OptionError(f"{self!r}: the elements have no distribution that is known by formula.")

    def variance(self, fan_in: int, fan_out: int) -> float:
        """Return the variance of an element."""
        return self.law(fan_in, fan_out).variance(fan_in, fan_out)

    def std(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation of an element."""
        return math.sqrt(self.variance(fan_in, fan_out))

    def bound(self, fan_in: int, fan_out: int) -> float:
        """Return the largest absolute value of an element, before rounding to a dtype."""
        return self.law(fan_in, fan_out).bound(fan_in, fan_out)

    def cdf(self, fan_in: int, fan_out: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return the cumulative distribution function of an element (normal laws need SciPy)."""
        return self.law(fan_in, fan_out).cdf(fan_in, fan_out)

    def describe(self, fan_in: int | None = None, fan_out: int | None = None) -> str:
        """Return a few lines of text: formula, source, and the numbers for a shape if one is given.

        Examples
        --------
        >>> from minidl.init import He
        >>> print(He().describe(200, 10))
        He()
          formula: Var(W) = 2 / fan_in, normal
          source: He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852
          for (fan_in=200, fan_out=10): Normal(std=0.1), variance 0.01
        """
        lines = [repr(self)]
        if self.formula:
            lines.append(f"  formula: {self.formula}")
        if self.paper:
            lines.append(f"  source: {self.paper}")
        if fan_in is not None and fan_out is not None:
            law = self.law(fan_in, fan_out)
            variance = self.variance(fan_in, fan_out)
            lines.append(f"  for ({fan_in=}, {fan_out=}): {law!r}, variance {variance:.6g}")
        return "\n".join(lines)

    # --- as text and as data ---------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Return JSON-able data; :func:`minidl.init.from_dict` is the inverse."""
        record: dict = {"name": type(self).__name__}
        for name, value in self.arguments().items():
            record[name] = value.to_dict() if isinstance(value, Initializer) else value
        return record

    def arguments(self) -> dict[str, object]:
        """Return the arguments that make an equal initializer."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters
        shown = (
            f"{name}={value!r}"
            for name, value in self.arguments().items()
            if value != parameters[name].default
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def _set(self, **values) -> None:
        """Store checked values; for ``__post_init__`` of the frozen subclasses."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, repr=False)
class Law(Initializer):
    """Base class of the plain distributions: independent elements, the same law for any shape.

    A subclass defines ``draw(view, key)``, ``largest()``, ``variance``, ``bound`` and ``cdf``.
    """

    def draw(self, view: np.ndarray, key: tuple[int, int]) -> None:
        """Write the numbers of a stream."""
        raise NotImplementedError

    def largest(self) -> float:
        """Return a number that no absolute value of a draw exceeds."""
        return self.bound()

    def fill(self, view, stream, fan_in=None, fan_out=None):
        if not view.size:
            return
        limit = float(np.finfo(view.dtype).max)
        if self.largest() > limit:
            raise OptionError(f"{self!r}: values can exceed {limit:.3g}, the largest {view.dtype}.")
        self.draw(view, stream.key)

    def law(self, fan_in=None, fan_out=None):
        return self

    def variance(self, fan_in=None, fan_out=None):
        raise NotImplementedError

    def std(self, fan_in=None, fan_out=None):
        """Return the standard deviation of an element."""
        return math.sqrt(self.variance())

    def bound(self, fan_in=None, fan_out=None):
        raise NotImplementedError

    def cdf(self, fan_in=None, fan_out=None):
        raise NotImplementedError


# --- checks ---------------------------------------------------------------------------------------


def check_dtype(dtype: object) -> np.dtype:
    """Return float32 or float64 as a dtype, else raise DtypeError."""
    try:
        # NumPy takes None for float64, in np.dtype() and in ==; here it is a mistake.
        if dtype is not None and np.dtype(dtype) in (np.dtype(np.float32), np.dtype(np.float64)):
            return np.dtype(dtype)
    except TypeError:
        pass
    raise DtypeError(f"dtype={dtype!r}: expected float32 or float64.")


def check_array(argument: str, array: object, shape: tuple[int, ...]) -> None:
    """Raise unless `array` is a writeable ndarray of that shape, float32 or float64."""
    if not isinstance(array, np.ndarray):
        raise DtypeError(f"{argument}: expected an ndarray, got {type(array).__name__}.")
    if array.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DtypeError(f"{argument}: expected dtype float32 or float64, got {array.dtype}.")
    if array.shape != shape:
        raise ShapeError(f"{argument}: expected shape {shape}, got {array.shape}.")
    if not array.flags.writeable:
        raise OptionError(f"{argument}: expected a writeable array, got a read-only one.")


def check_arrays(spec: LayerSpec, weight: object, bias: object) -> None:
    """Raise unless weight and bias are arrays that the layer can have."""
    check_array("weight", weight, spec.shape)
    if bias is not None:
        check_array("bias", bias, (spec.n_outputs,))
