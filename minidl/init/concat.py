"""A weight put together from blocks, each by its own rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl.errors import OptionError, ShapeError, out_of_range
from minidl.init.base import Initializer
from minidl.init.registry import get, register
from minidl.options import count

__all__ = ["Concat"]


@register("concat")
@dataclass(frozen=True, repr=False)
class Concat(Initializer):
    """Blocks side by side, each filled by its own initializer; the bias is 0.

    Every part is told the fans of the whole layer, so that a unit that is fed by several blocks keeps the
    variance that a scheme intends. Each block has a stream of its own.

    Parameters
    ----------
    parts : sequence of Initializer, str, ndarray or callable
        At least one; see :func:`get`.
    axis : {0, 1}
        0: the blocks follow one another along the inputs; 1: along the outputs (units).
    sizes : sequence of int, optional
        Of the blocks along the axis, >= 0; one of them may be -1, the rest. Default: equal shares.

    Raises
    ------
    OptionError, ShapeError
        The arguments do not fit one another, or the sizes do not fit the layer.

    Examples
    --------
    >>> from minidl.init import Constant, Zeros
    >>> Concat([Constant(1.0), Zeros()], axis=1).init((2, 4), rng=0)
    array([[1., 1., 0., 0.],
           [1., 1., 0., 0.]], dtype=float32)
    >>> Concat([Constant(1.0), Zeros()], axis=0, sizes=[1, -1]).init((3, 2), rng=0)
    array([[1., 1.],
           [0., 0.],
           [0., 0.]], dtype=float32)
    """

    parts: tuple[Initializer, ...]
    axis: int = 0
    sizes: tuple[int, ...] | None = None
    formula: ClassVar[str] = "W = blocks side by side, each by its own rule"
    assumes: ClassVar[str] = "that the inputs, or the units, of a layer have different tasks"
    fails: ClassVar[str] = "blocks of different variance: fan_in * variance is not that of any part"
    paper: ClassVar[str] = "none (a combination)"
    distribution: ClassVar[str] = "blocks"
    examples: ClassVar[tuple[str, ...]] = (
        "Concat([He(), Zeros()])",
        "Concat([LeCun(), Normal(0.1)], axis=1, sizes=[-1, 1])",
    )

    def __post_init__(self):
        if not isinstance(self.parts, list | tuple):
            raise out_of_range("parts", self.parts, "a list of initializers")
        self._set(parts=tuple(get(part) for part in self.parts))
        if not self.parts:
            raise out_of_range("parts", self.parts, "at least one initializer")
        if count("axis", self.axis, minimum=0) > 1:
            raise out_of_range("axis", self.axis, "0 (inputs) or 1 (outputs)")
        if self.sizes is not None:
            if not isinstance(self.sizes, list | tuple):
                raise out_of_range("sizes", self.sizes, "a list of integers, one for each part")
            self._set(sizes=tuple(count("sizes", size, minimum=-1) for size in self.sizes))
            if len(self.sizes) != len(self.parts) or self.sizes.count(-1) > 1:
                raise OptionError(
                    f"sizes={self.sizes}: expected {len(self.parts)} numbers, one for each part, at most one "
                    "of them -1."
                )

    def resolve(self, spec):
        parts = tuple(part.resolve(spec)[0] for part in self.parts)
        return Concat(parts, self.axis, self.sizes), "given"

    def init_layer(self, spec, seed, weight, bias=None):
        chosen = self.resolve(spec)[0]
        super(Concat, chosen).init_layer(spec, seed, weight, bias)

    def fill(self, view, stream, fan_in, fan_out):
        axis = self.axis if view.ndim == 2 else 0
        made = np.empty_like(view, order="C")  # if a part fails, nothing has changed
        ends = np.cumsum(self._sizes(view.shape[axis]))[:-1]
        for i, (part, block) in enumerate(zip(self.parts, np.split(made, ends, axis), strict=True)):
            part.fill(block, stream.child("part", i), fan_in, fan_out)
        view[...] = made

    def _sizes(self, n: int) -> list[int]:
        """Return the sizes of the blocks along an axis of length n."""
        if self.sizes is None:
            if n % len(self.parts):
                raise ShapeError(
                    f"{self!r}: {n} {'outputs' if self.axis else 'inputs'} cannot be shared equally by "
                    f"{len(self.parts)} parts. Pass sizes=."
                )
            return [n // len(self.parts)] * len(self.parts)
        rest = n - sum(size for size in self.sizes if size >= 0)
        if rest < 0 or (rest > 0 and -1 not in self.sizes):
            raise ShapeError(
                f"{self!r}: the sizes {self.sizes} do not fit {n} {'outputs' if self.axis else 'inputs'}."
            )
        return [rest if size < 0 else size for size in self.sizes]

    def check_network(self, specs):
        for part in self.parts:
            part.check_network(specs)
        for spec in specs:
            self.lr_multipliers(spec)

    def law(self, fan_in, fan_out):
        return self._common("law", fan_in, fan_out)

    def variance(self, fan_in, fan_out):
        """Return the variance of an element, if it is the same in all parts."""
        return self._common("variance", fan_in, fan_out)

    def bound(self, fan_in, fan_out):
        """Return the largest bound of a part."""
        return max(part.bound(fan_in, fan_out) for part in self.parts)

    def cdf(self, fan_in, fan_out):
        """Return the distribution function of an element, if it is the same in all parts."""
        return self.law(fan_in, fan_out).cdf(fan_in, fan_out)

    def lr_multipliers(self, spec):
        """Return the factors on the learning rate, if they are the same for all parts."""
        return self._common("lr_multipliers", spec)

    def _common(self, what: str, *arguments):
        known = [getattr(part, what)(*arguments) for part in self.parts]
        if any(fact != known[0] for fact in known):
            raise OptionError(f"{self!r}: the parts differ in their {what}.")
        return known[0]
