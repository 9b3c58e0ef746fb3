"""The protocol of the initializers: a description of a layer in, its weight and bias filled."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from minidl.errors import OptionError, ShapeError
from minidl.init.checks import check_array, check_arrays, check_dtype
from minidl.init.spec import LayerSpec
from minidl.init.streams import Stream, as_stream
from minidl.options import count

if TYPE_CHECKING:
    from minidl.theory import Verdict

__all__ = ["Initializer", "Rule"]

#: Width at which :meth:`Initializer.suits` looks at a scheme; only schemes blind to the width depend on it.
WIDE = 1000


@dataclass(frozen=True, repr=False)
class Initializer:
    """Base class: a rule for the first values of the weight and the bias of a layer.

    An initializer is a value: immutable, comparable, hashable, picklable, with a ``repr`` that
    evaluates to it. It holds no generator, so one object may serve all layers: each layer has its
    own streams, ``Stream(seed, path, "weight")`` and ``Stream(seed, path, "bias")``.

    Write your own as a frozen dataclass that defines one of four methods:

    - ``law(fan_in, fan_out)``, if the elements are independent and have one distribution;
    - ``fill(view, stream, fan_in, fan_out)``, for another rule about the weight (bias 0);
    - ``init_layer(spec, seed, weight, bias)``, for a joint rule for weight and bias;
    - ``resolve(spec)`` of a :class:`Rule`, to choose another initializer for each layer.

    Attributes
    ----------
    formula : str
        The rule in one line.
    assumes, fails : str
        What it takes for granted, and where it goes wrong.
    paper : str
        Where it comes from, with the year; "none (...)" and the reason if there is no paper.
    mode : str
        The fan it divides by: "fan_in", "fan_out", "fan_avg", "fan_geo", or "none".
    distribution : str
        "uniform", "normal", "truncated_normal", "constant", "haar" or another word.
    blockwise : bool
        Whether a grouped weight is filled group by group, because the scheme is about a whole matrix.
    needs_data : bool
        Whether it needs data to do its work, see :class:`DataInitializer`.
    examples : tuple of str
        Expressions of interesting instances, all arguments used at least once; for tests and tables.

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
    assumes: ClassVar[str] = ""
    fails: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    # Not annotated, or they would come first among the fields of the subclasses where they are fields.
    mode = "none"
    distribution = "none"
    blockwise: ClassVar[bool] = False
    needs_data: ClassVar[bool] = False
    examples: ClassVar[tuple[str, ...]] = ()

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
        self.fill_weight(spec, as_stream(seed).child(spec.path, "weight"), weight)
        if bias is not None:
            bias[...] = 0.0

    def fill_weight(self, spec: LayerSpec, stream: Stream, weight: np.ndarray) -> None:
        """Fill a weight of any layout from a stream; a connection gets the same number in each layout."""
        if not weight.size:
            return
        fan_in, fan_out = spec.fan_in, spec.fan_out
        if spec.is_dense:
            self.fill(spec.in_out(weight), stream, fan_in, fan_out)
            return
        kernel = np.empty(spec.kernel_shape, weight.dtype)
        if self.blockwise and spec.groups > 1:
            for group, block in enumerate(np.split(kernel, spec.groups)):
                self.fill_kernel(block, stream.child("group", group), fan_in, fan_out)
        else:
            self.fill_kernel(kernel, stream, fan_in, fan_out)
        spec.axes.store(kernel, weight)

    def fill_kernel(self, kernel: np.ndarray, stream: Stream, fan_in: int, fan_out: int) -> None:
        """Fill the kernel of a convolution, shape (outputs, inputs of a group, *window), C-contiguous.

        By default it is treated as the matrix of shape (fan_in, outputs) that it is for each position.
        """
        self.fill(kernel.reshape(len(kernel), -1).T, stream, fan_in, fan_out)

    def fill(self, view: np.ndarray, stream: Stream, fan_in: int, fan_out: int) -> None:
        """Fill an array, a weight of shape (fan_in, n_outputs) or a vector, from a stream."""
        if view.size:
            self.law(fan_in, fan_out).fill(view, stream, fan_in, fan_out)

    def init(
        self,
        shape: tuple[int, ...],
        rng: int | Stream,
        dtype=np.float32,
        out: np.ndarray | None = None,
        *,
        layout: str = "in_out",
        groups: int = 1,
        transposed: bool = False,
        fan: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Return a new weight, without a network around it.

        Parameters
        ----------
        shape : tuple of int
            (fan_in, fan_out), or as `layout` says.
        rng : int or Stream
            ``Stream(seed, path, "weight")`` gives the values of that weight in a network.
        dtype : float32 or float64
            The values are those of float64, rounded. Ignored if `out` is given.
        out : ndarray of that shape, optional
            Filled and returned.
        layout, groups, transposed
            See :class:`Layout`: ``layout="oihw"`` for a convolution of PyTorch.
        fan : (int, int), optional
            fan_in and fan_out for a vector, which has none of its own.

        Raises
        ------
        DtypeError, ShapeError, OptionError
            An argument does not fit, or the scheme needs more than a shape.

        Examples
        --------
        >>> from minidl.init import He, Stream
        >>> He().init((2, 3), rng=0).shape
        (2, 3)
        >>> ours = He().init((3, 3, 2, 4), rng=0, layout="hwio")
        >>> bool(np.all(ours.transpose(3, 2, 0, 1) == He().init((4, 2, 3, 3), rng=0, layout="oihw")))
        True
        """
        stream = as_stream(rng)
        if fan is None:
            spec = LayerSpec("", shape, layout=layout, groups=groups, transposed=transposed)
            shape = spec.shape
        else:
            shape, fan = _vector(shape, fan)
        if out is None:
            out = np.empty(shape, check_dtype(dtype))
        check_array("out", out, shape)
        if fan is None:
            self.fill_weight(spec, stream, out)
        else:
            self.fill(out, stream, *fan)
        return out

    def resolve(self, spec: LayerSpec) -> tuple[Initializer, str]:
        """Return the initializer that will fill this layer, and why it."""
        return self, "given"

    def check_network(self, specs: Sequence[LayerSpec]) -> None:
        """Raise OptionError if the scheme cannot serve a network of these layers.

        Called once, with all layers that it is to fill, before any of them is filled.
        """

    @property
    def start(self) -> Initializer:
        """What fills the layers before there are data: itself, unless it needs data."""
        return self

    # --- what is known about it ------------------------------------------------------------------

    def law(self, fan_in: int, fan_out: int) -> Initializer:
        """Return the distribution of every element, a :class:`Law` with its numbers filled in.

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

    def bias_variance(self, fan_in: int, fan_out: int) -> float:
        """Return the variance of an element of the bias: 0, unless the scheme fills it."""
        return 0.0

    def lr_multipliers(self, spec: LayerSpec) -> dict[str, float]:
        """Return the factors on the learning rate that the scheme requires, mostly none.

        Returns
        -------
        dict of str to float
            By role, "weight" and "bias"; a role that is not there has the factor 1.
        """
        return {}

    def suits(self, activation: str, depth: int = 10, limit: float = 1e3) -> Verdict:
        """Judge whether wide hidden layers of this activation carry a signal, by mean-field theory.

        Parameters
        ----------
        activation : str
        depth, limit
            The signal and the squared gradients must stay within a factor of `limit` over so many layers, see
            :func:`minidl.theory.verdict`.

        Returns
        -------
        Verdict
            Its truth value is the answer, ``.reason`` a sentence; unpacks as ``(ok, reason)``.

        Examples
        --------
        >>> from minidl.init import He, Xavier
        >>> bool(He().suits("relu")), bool(Xavier().suits("relu"))
        (True, False)
        """
        from minidl.theory import verdict

        sigma_w2 = WIDE * self.variance(WIDE, WIDE)
        return verdict(activation, sigma_w2, self.bias_variance(WIDE, WIDE), depth, limit)

    def describe(self, fan_in: int | None = None, fan_out: int | None = None) -> str:
        """Return what is known about the scheme as text, and its numbers for a shape if one is given.

        Examples
        --------
        >>> from minidl.init import He
        >>> print(He().describe(200, 10))
        He()
          formula: Var(W) = 2 / fan_in, normal
          ...
          for (fan_in=200, fan_out=10): Normal(std=0.1), variance 0.01
        """
        from minidl.init.describe import describe

        return describe(self, fan_in, fan_out)

    # --- as text and as data ---------------------------------------------------------------------

    def to_dict(self) -> dict:
        """Return JSON-able data; :func:`minidl.init.from_dict` is the inverse."""
        return {"name": type(self).__name__, **_encode(self.arguments())}

    def arguments(self) -> dict[str, object]:
        """Return the arguments that make an equal initializer."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_arguments(cls, values: dict[str, object]) -> Initializer:
        """Return the initializer of these arguments; the inverse of :meth:`arguments`."""
        return cls(**values)

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
class Rule(Initializer):
    """Base class of the schemes that choose another initializer for each layer.

    A subclass defines ``resolve(spec)``, which returns the choice and the reason for it.
    """

    def resolve(self, spec: LayerSpec) -> tuple[Initializer, str]:
        raise TypeError(f"{type(self).__name__} does not define resolve()")

    def init_layer(self, spec, seed, weight, bias=None):
        self.resolve(spec)[0].init_layer(spec, seed, weight, bias)

    def lr_multipliers(self, spec):
        return self.resolve(spec)[0].lr_multipliers(spec)

    def fill_weight(self, spec, stream, weight):
        raise self._needs_a_layer()

    def fill(self, view, stream, fan_in, fan_out):
        raise self._needs_a_layer()

    def law(self, fan_in, fan_out):
        raise self._needs_a_layer()

    def suits(self, activation, depth=10, limit=1e3):
        """Judge the choice for a layer in the middle of a deep plain network."""
        spec = LayerSpec("", (WIDE, WIDE), activation=activation, index=depth // 2, depth=depth)
        return self.resolve(spec)[0].suits(activation, depth, limit)

    def _needs_a_layer(self) -> OptionError:
        name = type(self).__name__
        return OptionError(
            f"{name} chooses by the description of a layer: a shape alone is not enough. Use "
            f"init_layer(spec, ...), or {name}(...).resolve(spec)[0] to see its choice."
        )


def _encode(value: object) -> object:
    """Turn initializers, and arguments of theirs, inside dicts and sequences into their records."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_encode(item) for item in value]
    return value


def _vector(shape: object, fan: object) -> tuple[tuple[int], tuple[int, int]]:
    """Check the shape and the given fans of a vector."""
    try:
        (n,), (fan_in, fan_out) = shape, fan
    except (TypeError, ValueError):
        raise ShapeError(
            f"shape={shape!r}, fan={fan!r}: fan=(fan_in, fan_out) goes with a shape (n,) only."
        ) from None
    return (count("shape", n, 0),), (count("fan_in", fan_in, 0), count("fan_out", fan_out, 0))
