"""What an initializer may know about the layer that it fills."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minidl.errors import OptionError, out_of_range
from minidl.init.layouts import DENSE, Layout
from minidl.options import choice, count

__all__ = ["LayerSpec"]

ROLES = ("input", "hidden", "output")


@dataclass(frozen=True)
class LayerSpec:
    """Description of a layer with a weight and perhaps a bias.

    Parameters
    ----------
    path : str
        Name of the layer in the network; it keys the random streams.
    shape : tuple of int
        Shape of the weight.
    layout : str
        ``"in_out"``: the shape reads (fan_in, fan_out), as in minidl and Keras; ``"out_in"``: the other
        way round, as in PyTorch; or the axes of a convolution, see :class:`Layout`.
    activation : str
        What the output of the layer goes through, for example ``"relu"`` or ``"leaky_relu(0.2)"``.
    input_activation : str
        What its input went through; "identity" for the data.
    role : {"input", "hidden", "output"}
        First, middle or last weight of the network; an only layer is the output.
    index, depth : int
        Number of this weight, counted from 0, among so many.
    residual_branches : int
        How many residual branches the network has; 0 for a plain one.
    branch_pos, branch_layers : int, optional
        Position of the layer in its residual branch, counted from 0, and how many layers the branch has;
        None outside of one.
    norm : str, optional
        The normalization that follows the layer.
    groups : int
        The weight connects inputs and outputs in so many separate groups; its shape is then
        (inputs per group, all outputs).
    transposed : bool
        A transposed convolution.
    use_bias : bool
        Whether the layer has a bias.

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
    shape: tuple[int, ...]
    layout: str = "in_out"
    activation: str = "identity"
    input_activation: str = "identity"
    role: str = "hidden"
    index: int = 0
    depth: int = 1
    residual_branches: int = 0
    branch_pos: int | None = None
    branch_layers: int | None = None
    norm: str | None = None
    groups: int = 1
    transposed: bool = False
    use_bias: bool = True

    def __post_init__(self):
        if not isinstance(self.path, str):
            raise OptionError(f"path={self.path!r}: expected a str.")
        object.__setattr__(self, "shape", self.axes.check(self.shape))
        for name in ("activation", "input_activation"):
            if not isinstance(getattr(self, name), str):
                raise OptionError(f"{name}={getattr(self, name)!r}: expected a str.")
        choice("role", self.role, ROLES)
        count("depth", self.depth, minimum=1)
        if count("index", self.index, minimum=0) >= self.depth:
            raise out_of_range("index", self.index, f"an integer below depth={self.depth}")
        count("residual_branches", self.residual_branches, minimum=0)
        if (self.branch_pos is None) != (self.branch_layers is None):
            raise OptionError(
                f"branch_pos={self.branch_pos!r}, branch_layers={self.branch_layers!r}: give both for a "
                "layer in a residual branch, neither outside of one."
            )
        if self.branch_pos is not None:
            count("residual_branches", self.residual_branches, minimum=1)
            count("branch_layers", self.branch_layers, minimum=1)
            if count("branch_pos", self.branch_pos, minimum=0) >= self.branch_layers:
                raise out_of_range("branch_pos", self.branch_pos, f"an integer below {self.branch_layers}")

    @cached_property
    def axes(self) -> Layout:
        """The layout with groups and transposition."""
        return Layout(self.layout, self.groups, self.transposed)

    @property
    def fan_in(self) -> int:
        return self.axes.fans(self.shape)[0]

    @property
    def fan_out(self) -> int:
        return self.axes.fans(self.shape)[1]

    @property
    def n_outputs(self) -> int:
        """Number of outputs in all groups together, the length of the bias."""
        return self.kernel_shape[0]

    @property
    def ends_branch(self) -> bool:
        """Whether this is the last layer of its residual branch."""
        return self.branch_pos is not None and self.branch_pos == self.branch_layers - 1

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """(all outputs, inputs of one group, *window), whatever the layout."""
        return self.axes.kernel_shape(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether the weight is a matrix without groups."""
        return self.layout in DENSE and self.groups == 1

    def in_out(self, weight: np.ndarray) -> np.ndarray:
        """Return a dense weight of this shape as a view of shape (fan_in, n_outputs)."""
        return weight if self.layout == "in_out" else weight.T
