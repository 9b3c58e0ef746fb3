"""What a scheme that looks at data works on: a copy of the network, the data, and what there is to report."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from minidl.errors import DataError, OptionError
from minidl.init.report import InitReport, LayerReport
from minidl.init.spec import LayerSpec
from minidl.init.statistics import constant_columns, rms, std
from minidl.init.streams import Stream
from minidl.kernels import matmul

__all__ = ["Trial", "require_rows"]


@dataclass
class Trial:
    """What a scheme works on: a float64 copy of the network, the data, and what there is to report.

    Attributes
    ----------
    net : Sequential
    x : ndarray of float64, shape (n, n_inputs)
    y : ndarray or None
    stream : Stream
        Root of the random choices.
    loss, optimizer
        Of the training to come; None for the defaults of the network.
    name : str
        The scheme, for messages.
    converged : bool

    Examples
    --------
    >>> from minidl.init import DataInitializer
    >>> class Halve(DataInitializer):
    ...     def treat(self, trial):
    ...         for spec in trial.specs:
    ...             trial.weight(spec)[...] /= 2.0
    ...             trial.note(spec, "halved")
    >>> net = minidl.MLP([3, 2], seed=0)
    >>> Halve().fit(net, np.eye(3)).layers[0].notes
    ('halved',)
    """

    net: object
    x: np.ndarray
    y: np.ndarray | None
    stream: Stream
    loss: object
    optimizer: object
    name: str
    converged: bool = True
    warnings: list[str] = field(default_factory=list)
    iterations: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def specs(self) -> list[LayerSpec]:
        """The layers that have a weight, in order."""
        return [layer.spec for layer in self.net.init_plan().layers]

    def weight(self, spec: LayerSpec) -> np.ndarray:
        """The weight of a layer, a writable view of shape (fan_in, fan_out)."""
        return self.net.params[f"{spec.path}.weight"]

    def bias(self, spec: LayerSpec) -> np.ndarray | None:
        """The bias of a layer, a writable view, or None."""
        return self.net.params.get(f"{spec.path}.bias")

    def preactivation(self, spec: LayerSpec, x: np.ndarray) -> np.ndarray:
        """Return x W + b; all of it is finite, or OptionError names the layer."""
        return self.finite(spec, matmul(x, self.weight(spec), bias=self.bias(spec)))

    def finite(self, spec: LayerSpec, z: np.ndarray) -> np.ndarray:
        """Return pre-activations of a layer, or raise OptionError if one is not finite."""
        if not np.isfinite(z).all():
            raise OptionError(f"{self.name}: layer {spec.path}: the pre-activations overflow.")
        return z

    def note(self, spec: LayerSpec, text: str) -> None:
        """Write something into the line of a layer."""
        notes = self.notes.setdefault(spec.path, [])
        if text not in notes:
            notes.append(text)

    def warn(self, spec: LayerSpec, text: str) -> None:
        """The same, and into the warning that the user gets."""
        self.note(spec, text)
        self.warnings.append(f"Layer {spec.path}: {text}.")

    def count(self, spec: LayerSpec, n: int = 1) -> None:
        """Note that a layer has been changed."""
        self.iterations[spec.path] = self.iterations.get(spec.path, 0) + n

    def run(self, treat: Callable[[Trial], None]) -> InitReport:
        """Let a scheme do its work, measure before and after, and warn of dead units."""
        before, sizes = self._stds(), [rms(self.weight(spec)) for spec in self.specs]
        if before and constant_columns(self.x).all():
            self.warn(self.specs[0], f"all {len(self.x)} rows are alike, so the batch says nothing")
        treat(self)
        after, dead = self._stds(), self._dead()
        self._warn_of_dead_units(dead)
        layers = []
        for spec, size in zip(self.specs, sizes, strict=True):
            path = spec.path
            layers.append(
                LayerReport(
                    path,
                    before[path],
                    after[path],
                    rms(self.weight(spec)) / size if size else math.nan,
                    self.iterations.get(path, 0),
                    dead[path],
                    spec.fan_out,
                    tuple(self.notes.get(path, ())),
                )
            )
        return InitReport(self.name, tuple(layers), self.converged, tuple(self.warnings))

    def _warn_of_dead_units(self, dead: dict[str, int]) -> None:
        """One sentence for all layers: in a deep network of relu they are many."""
        counts = [(spec, dead[spec.path]) for spec in self.specs if dead[spec.path]]
        found = [f"layer {spec.path} {n} of {spec.fan_out}" for spec, n in counts]
        if found:
            more = f" and {len(found) - 5} layers more" if len(found) > 5 else ""
            self.warnings.append(f"Units give the same output for all rows: {', '.join(found[:5])}{more}.")

    def _stds(self) -> dict[str, float]:
        return {spec.path: std(self.preactivation(spec, x)) for spec, x in self.net.walk(self.x)}

    def _dead(self) -> dict[str, int]:
        """Count by layer the units whose output does not depend on the row."""
        dead, previous = {}, None
        for spec, x in self.net.walk(self.x):
            if previous is not None:
                dead[previous.path] = int(constant_columns(x).sum())
            last, previous = self.preactivation(spec, x), spec
        if previous is not None:
            dead[previous.path] = int(constant_columns(last).sum())
        return dead


def require_rows(trial: Trial, n: int, why: str) -> None:
    """Raise DataError if a batch has too few rows."""
    if len(trial.x) < n:
        raise DataError(f"{trial.name}: X has {len(trial.x)} rows: expected at least {n}, {why}.")
