"""What will fill each layer of a network, and why: the table that ``net.init_plan()`` returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minidl.errors import OptionError
from minidl.init.base import Initializer
from minidl.init.spec import LayerSpec

__all__ = ["InitPlan", "LayerPlan"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer of an :class:`InitPlan`.

    Attributes
    ----------
    spec : LayerSpec
    initializer : Initializer
        After the choice of ``"auto"``.
    reason : str
    variance : float or None
        Of an element of the weight; None where no formula gives it.
    """

    spec: LayerSpec
    initializer: Initializer
    reason: str
    variance: float | None


@dataclass(frozen=True)
class InitPlan:
    """The initializers of a network, layer by layer; prints as a table.

    Attributes
    ----------
    layers : tuple of LayerPlan

    Examples
    --------
    >>> from minidl.init import Auto
    >>> spec = LayerSpec("0", (200, 10), activation="selu")
    >>> print(InitPlan.of([(spec, Auto())]))
    layer  shape      activation  init     variance  fan_in * variance  why
    0      (200, 10)  selu        LeCun()  0.005     1                  selu keeps mean 0, variance 1
    """

    layers: tuple[LayerPlan, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[LayerSpec, Initializer]]) -> InitPlan:
        """Return the plan for layers and their initializers."""
        return cls(tuple(_plan(spec, initializer) for spec, initializer in pairs))

    def __str__(self) -> str:
        header = ("layer", "shape", "activation", "init", "variance", "fan_in * variance", "why")
        rows = [header, *(_row(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join(lines)


def _plan(spec: LayerSpec, initializer: Initializer) -> LayerPlan:
    chosen, reason = initializer.resolve(spec)
    try:
        variance = chosen.variance(spec.fan_in, spec.fan_out)
    except OptionError:  # no law in closed form, or a layer without inputs
        variance = None
    return LayerPlan(spec, chosen, reason, variance)


def _row(layer: LayerPlan) -> tuple[str, ...]:
    spec, variance = layer.spec, layer.variance
    numbers = ("-", "-") if variance is None else (f"{variance:.4g}", f"{spec.fan_in * variance:.4g}")
    return (
        spec.path,
        str(spec.shape),
        spec.activation,
        repr(layer.initializer),
        *numbers,
        layer.reason,
    )
