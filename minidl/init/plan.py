"""What will fill each layer of a network, and why: the table that ``net.init_plan()`` returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minidl.errors import OptionError, ShapeError
from minidl.init.base import Initializer
from minidl.init.spec import LayerSpec
from minidl.init.text import aligned

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

    The weight variance is that of an element of the weight, the predicted variance that of the
    pre-activations by mean-field theory, for data of second moment 1.

    Attributes
    ----------
    layers : tuple of LayerPlan

    Examples
    --------
    >>> from minidl.init import Auto
    >>> spec = LayerSpec("0", (200, 10), activation="selu")
    >>> print(InitPlan.of([(spec, Auto())]))
    layer  shape      activation  init     weight variance  predicted variance  why
    0      (200, 10)  selu        LeCun()  0.005            1                   selu keeps mean 0, variance 1
    """

    layers: tuple[LayerPlan, ...]

    @classmethod
    def of(cls, pairs: Iterable[tuple[LayerSpec, Initializer]]) -> InitPlan:
        """Return the plan for layers and their initializers."""
        return cls(tuple(_plan(spec, initializer) for spec, initializer in pairs))

    def init_plan(self) -> InitPlan:
        """Return the plan itself: :func:`minidl.theory.predict` takes one like a network."""
        return self

    def predicted(self) -> list[float | None]:
        """Return the predicted variance of the pre-activations of each layer, for data of second moment 1.

        Theory must know all schemes up to a layer; None from the first one that it does not know.

        Examples
        --------
        >>> from minidl.init import Xavier
        >>> specs = [LayerSpec(str(i), (200, 200), activation="relu", index=i, depth=3) for i in range(3)]
        >>> InitPlan.of([(spec, Xavier()) for spec in specs]).predicted()
        [1.0, 0.5, 0.25]
        """
        from minidl.theory import predict

        for n in range(len(self.layers), 0, -1):
            try:
                known = predict(InitPlan(self.layers[:n])).q
            except (OptionError, ShapeError):  # something in it is not known
                continue
            return [*known, *[None] * (len(self.layers) - n)]
        return [None] * len(self.layers)

    def __str__(self) -> str:
        header = ("layer", "shape", "activation", "init", "weight variance", "predicted variance", "why")
        rows = [header]
        rows += [_row(layer, q) for layer, q in zip(self.layers, self.predicted(), strict=True)]
        return "\n".join(aligned(rows))


def _plan(spec: LayerSpec, initializer: Initializer) -> LayerPlan:
    chosen, reason = initializer.resolve(spec)
    try:
        variance = chosen.variance(spec.fan_in, spec.fan_out)
    except OptionError:  # no law in closed form, or a layer without inputs
        variance = None
    return LayerPlan(spec, chosen, reason, variance)


def _row(layer: LayerPlan, q: float | None) -> tuple[str, ...]:
    spec = layer.spec
    numbers = ("-" if x is None else f"{x:.4g}" for x in (layer.variance, q))
    return (
        spec.path,
        str(spec.shape),
        spec.activation,
        repr(layer.initializer),
        *numbers,
        layer.reason,
    )
