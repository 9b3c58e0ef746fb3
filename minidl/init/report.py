"""What a data-dependent initializer did to a network, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from minidl.init.text import aligned

__all__ = ["InitReport", "LayerReport"]


@dataclass(frozen=True)
class LayerReport:
    """One layer of an :class:`InitReport`.

    Attributes
    ----------
    path : str
    before, after : float
        Standard deviation of the pre-activations over all rows and units.
    gain : float
        Factor on the root mean square of the weight.
    iterations : int
        How often the scheme changed the layer.
    dead : int
        Units whose output is the same for all rows, afterwards.
    units : int
    notes : tuple of str
    """

    path: str
    before: float
    after: float
    gain: float
    iterations: int
    dead: int
    units: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InitReport:
    """The outcome of a data-dependent initializer; prints as a table.

    Attributes
    ----------
    scheme : str
        The initializer.
    layers : tuple of LayerReport
    converged : bool
        Whether the scheme reached what it aims at.
    warnings : tuple of str
        What was also given as :class:`minidl.errors.InitWarning`.

    Examples
    --------
    >>> from minidl.init import Normal, LSUV
    >>> net = minidl.MLP([3, 4, 2], "tanh", seed=0)
    >>> X = np.linspace(-1.0, 1.0, 30).reshape(10, 3) ** 2
    >>> print(LSUV(base=Normal(0.1)).fit(net, X))
    LSUV(base=Normal(std=0.1)): converged
    layer  std before  std after  factor  iterations  dead  notes
    0      0.0...      1          ...     1           0/4
    1      0.0...      1          ...     1           0/2
    """

    scheme: str
    layers: tuple[LayerReport, ...]
    converged: bool
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        header = ("layer", "std before", "std after", "factor", "iterations", "dead", "notes")
        rows = [header, *(_row(layer) for layer in self.layers)]
        verdict = "converged" if self.converged else "not converged"
        return "\n".join(
            [f"{self.scheme}: {verdict}", *aligned(rows), *(f"warning: {w}" for w in self.warnings)]
        )


def _row(layer: LayerReport) -> tuple[str, ...]:
    return (
        layer.path,
        f"{layer.before:.4g}",
        f"{layer.after:.4g}",
        f"{layer.gain:.4g}",
        str(layer.iterations),
        f"{layer.dead}/{layer.units}",
        "; ".join(layer.notes),
    )
