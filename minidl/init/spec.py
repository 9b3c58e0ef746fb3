"""What an initializer may know about the layer that it fills."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from minidl.errors import OptionError, ShapeError, out_of_range, unknown_name
from minidl.options import count

__all__ = ["LayerSpec"]

LAYOUTS = ("in_out", "out_in")
ROLES = ("input", "hidden", "output")


@dataclass(frozen=True)
class LayerSpec:
    """Description of a layer with a weight and perhaps a bias.

    Parameters
    ----------
    path : str
        Name of the layer in the network; it keys the random streams.
    shape : (int, int)
        Shape of the weight.
    layout : {"in_out", "out_in"}
        Whether the shape reads (fan_in, fan_out), as in minidl and Keras, or (fan_out, fan_in), as
        in PyTorch.
    activation : str
        What the output of the layer goes through, for example ``"relu"`` or ``"leaky_relu(0.2)"``.
    role : {"input", "hidden", "output"}
        First, middle or last weight of the network; an only layer is the output.
    index, depth : int
        Number of this weight, counted from 0, among so many.
    residual_branches : int
        How many residual branches the network has; 0 for a plain one.
    branch_pos : int, optional
        Position of the layer in its residual branch, counted from 0.
    norm : str, optional
        The normalization that follows the layer.
    groups : int
        The weight connects inputs and outputs in so many separate groups; its shape is then
        (inputs per group, all outputs).

    Attributes
    ----------
    fan_in : int
        How many inputs feed one output.
    fan_out : int
        How many outputs one input feeds.

    Raises
    ------
    OptionError, ShapeError
        A value is outside its range.

    Examples
    --------
    >>> spec = LayerSpec("0", (784, 256), activation="relu", role="input", depth=2)
    >>> spec.fan_in, spec.fan_out
    (784, 256)
    >>> LayerSpec("0", (256, 784), layout="out_in").fan_in
    784
    """

    path: str
    shape: tuple[int, int]
    layout: str = "in_out"
    activation: str = "identity"
    role: str = "hidden"
    index: int = 0
    depth: int = 1
    residual_branches: int = 0
    branch_pos: int | None = None
    norm: str | None = None
    groups: int = 1

    def __post_init__(self):
        if not isinstance(self.path, str):
            raise OptionError(f"path={self.path!r}: expected a str.")
        object.__setattr__(self, "shape", check_shape(self.shape))
        if self.layout not in LAYOUTS:
            raise unknown_name("layout", self.layout, LAYOUTS)
        if not isinstance(self.activation, str):
            raise OptionError(f"activation={self.activation!r}: expected a str.")
        if self.role not in ROLES:
            raise unknown_name("role", self.role, ROLES)
        count("depth", self.depth, minimum=1)
        if count("index", self.index, minimum=0) >= self.depth:
            raise out_of_range("index", self.index, f"an integer below depth={self.depth}")
        count("residual_branches", self.residual_branches, minimum=0)
        if self.branch_pos is not None:
            count("branch_pos", self.branch_pos, minimum=0)
        if self.n_outputs % count("groups", self.groups, minimum=1):
            raise out_of_range("groups", self.groups, f"a divisor of {self.n_outputs} outputs")

    @property
    def fan_in(self) -> int:
        return self.shape[0 if self.layout == "in_out" else 1]

    @property
    def n_outputs(self) -> int:
        """Number of outputs in all groups together, the length of the bias."""
        return self.shape[1 if self.layout == "in_out" else 0]

    @property
    def fan_out(self) -> int:
        return self.n_outputs // self.groups

    def in_out(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight of this shape as a view of shape (fan_in, n_outputs)."""
        return weight if self.layout == "in_out" else weight.T


def check_shape(shape: object) -> tuple[int, int]:
    """Return a pair of sizes as a tuple of int, else raise ShapeError."""
    try:
        sizes = tuple(shape)
    except TypeError:
        sizes = ()
    if len(sizes) == 2 and all(isinstance(n, numbers.Integral) and n >= 0 for n in sizes):
        return int(sizes[0]), int(sizes[1])
    raise ShapeError(f"shape={shape!r}: expected two integers >= 0, (fan_in, fan_out).")
