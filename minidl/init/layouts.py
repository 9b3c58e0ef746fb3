"""Memory layouts of weights, and the fans that follow from them: dense, convolution, grouped, transposed."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np

from minidl.errors import OptionError, ShapeError, out_of_range
from minidl.options import count, flag

__all__ = ["Layout", "fans"]

#: The names of the dense layouts, as letters: i is the axis of the inputs, o that of the outputs.
DENSE = {"in_out": "io", "out_in": "oi"}
KERNEL_AXES = "dhwlxyz"


@dataclass(frozen=True)
class Layout:
    """Which axis of a weight is which.

    Parameters
    ----------
    name : str
        ``"in_out"`` (minidl, Keras), ``"out_in"`` (PyTorch), or letters, one for each axis: ``o`` outputs,
        ``i`` inputs, any of ``d h w l x y z`` for the window of a convolution. PyTorch's convolutions are
        ``"oihw"``, Keras's ``"hwio"``, PyTorch's transposed ones ``"iohw"`` with ``transposed=True``.
    groups : int
        The layer is so many separate layers side by side. In a convolution the axis i counts the inputs of
        one group and o the outputs of all; in a transposed one i counts all and o those of one group.
    transposed : bool
        A transposed convolution, or another weight whose axes count in that way: Keras's depthwise kernels
        (height, width, inputs, multiplier) are ``"hwio"`` with ``transposed=True``, groups = inputs.

    Raises
    ------
    OptionError
        The name is no layout.

    Examples
    --------
    >>> Layout("oihw").fans((64, 32, 3, 3))
    (288, 576)
    >>> Layout("iohw", transposed=True).fans((32, 64, 3, 3))
    (288, 576)
    """

    name: str = "in_out"
    groups: int = 1
    transposed: bool = False

    def __post_init__(self):
        letters = DENSE.get(self.name, self.name) if isinstance(self.name, str) else ""
        unknown = set(letters) - set("io") - set(KERNEL_AXES)
        if not set("io") <= set(letters) or len(set(letters)) < len(letters) or unknown:
            raise OptionError(
                f"layout={self.name!r}: expected 'in_out', 'out_in', or a letter for each axis, one o, one i "
                f"and any of {' '.join(KERNEL_AXES)} for the window, such as 'oihw' or 'hwio'."
            )
        object.__setattr__(self, "transposed", flag("transposed", self.transposed))
        object.__setattr__(self, "groups", count("groups", self.groups, minimum=1))

    @property
    def axes(self) -> str:
        """One letter for each axis."""
        return DENSE.get(self.name, self.name)

    @property
    def kernel_axes(self) -> str:
        """The letters of the axes of :meth:`kernel_shape`: ``"oi"``, then the window.

        The window has an order of its own, so that a connection has the same place in the kernel, and so
        the same number, whichever way round a layout names height and width.
        """
        return "oi" + "".join(axis for axis in KERNEL_AXES if axis in self.axes)

    def check(self, shape: object) -> tuple[int, ...]:
        """Return a shape as a tuple of int, or raise if it does not fit the layout."""
        try:
            sizes = tuple(shape)
        except TypeError:
            sizes = None
        if sizes is None or not all(map(_is_size, sizes)):
            raise ShapeError(f"shape={shape!r}: expected integers >= 0.")
        if len(sizes) == 1:
            raise ShapeError(
                f"shape={shape!r}: a vector has no fans of its own. Pass fan=(fan_in, fan_out), those of "
                "the weight it belongs to."
            )
        if len(sizes) != len(self.axes):
            expected = "(fan_in, fan_out)" if self.name == "in_out" else f"one integer each for {self.axes}"
            hint = "" if len(sizes) < 3 else " For a convolution name the axes, for example layout='oihw'."
            raise ShapeError(f"shape={shape!r}: expected {expected}, layout {self.name!r}.{hint}")
        grouped = sizes[self.axes.index("i" if self.transposed else "o")]
        if grouped % self.groups:
            what = "inputs" if self.transposed else "outputs"
            raise out_of_range("groups", self.groups, f"a divisor of {grouped} {what}")
        return tuple(map(int, sizes))

    def kernel_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (all outputs, inputs of one group, *window) of the same weight."""
        size = dict(zip(self.axes, shape, strict=True))
        if self.transposed:
            size["i"], size["o"] = size["i"] // self.groups, size["o"] * self.groups
        return tuple(size[axis] for axis in self.kernel_axes)

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return how many inputs feed one output, and how many outputs one input feeds.

        Strides and borders of a convolution are not counted: every position of the window is.
        """
        n_out, n_in, *window = self.kernel_shape(self.check(shape))
        return n_in * math.prod(window), n_out // self.groups * math.prod(window)

    def store(self, kernel: np.ndarray, weight: np.ndarray) -> None:
        """Write an array of shape :meth:`kernel_shape` into a weight of this layout."""
        if self.transposed:
            n_out, n_in, *window = kernel.shape
            kernel = kernel.reshape(self.groups, n_out // self.groups, n_in, *window)
            kernel = kernel.swapaxes(0, 1).reshape(n_out // self.groups, self.groups * n_in, *window)
        weight[...] = kernel.transpose([self.kernel_axes.index(axis) for axis in self.axes])


def _is_size(n: object) -> bool:
    return isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 0


def fans(
    shape: tuple[int, ...], layout: str = "in_out", *, groups: int = 1, transposed: bool = False
) -> tuple[int, int]:
    """Return fan_in and fan_out of a weight.

    Parameters
    ----------
    shape : tuple of int
    layout, groups, transposed
        See :class:`Layout`; nothing is guessed.

    Raises
    ------
    OptionError, ShapeError
        The layout is unknown, or the shape does not fit it; a vector has no fans.

    Examples
    --------
    >>> fans((784, 256))
    (784, 256)
    >>> fans((64, 1, 3, 3), "oihw", groups=64)  # depthwise
    (9, 9)
    """
    return Layout(layout, groups, transposed).fans(shape)
