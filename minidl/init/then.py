"""First one initializer, then others that look at data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError
from minidl.init.data import DataInitializer
from minidl.init.registry import get, register
from minidl.init.trial import Trial

__all__ = ["Then"]


@register("then")
@dataclass(frozen=True, repr=False, init=False)
class Then(DataInitializer):
    """First this, then that: weights drawn from `base`, then data-dependent steps in order.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, or None
        Draws the weights; None takes them as they are.
    *steps : DataInitializer or str
        At least one. Their own bases are not drawn: leave them out.
    max_rows : int, optional
        Rows for all steps, see :class:`DataInitializer`.

    Raises
    ------
    OptionError
        A step needs no data, or brings a base of its own.

    Examples
    --------
    >>> from minidl.init import LSUV
    >>> Then("he_normal", LSUV(tol=0.05), "lsuv(center=True)")
    Then(He(), LSUV(tol=0.05), LSUV(center=True))
    """

    steps: tuple[DataInitializer, ...] = ()
    formula: ClassVar[str] = "base, then each step on what the last one left"
    assumes: ClassVar[str] = "each step keeps what the ones before it made"
    fails: ClassVar[str] = "a later step may undo an earlier one"
    paper: ClassVar[str] = "none (a composition)"
    examples: ClassVar[tuple[str, ...]] = (
        "Then(He(), LSUV(tol=0.05))",
        "Then(LeCun(), LSUV(), KrahenbuhlWithin(bias=0.1), max_rows=100)",
    )

    def __init__(self, base, *steps, max_rows: int | None = 1024):
        self._set(base=base, steps=tuple(get(step) for step in steps), max_rows=max_rows)
        self.__post_init__()
        if not steps:
            raise OptionError("Then: expected a step after the base, for example Then('he', LSUV()).")
        for step in self.steps:
            if not step.needs_data or not isinstance(step, DataInitializer):
                raise OptionError(
                    f"Then: {step!r} needs no data and would redraw all weights: it can only be the base."
                )
            default = type(step).__dataclass_fields__["base"].default
            if step.base != default or isinstance(step, Then):
                raise OptionError(
                    f"Then: {step!r} brings its own base, which would undo what comes before. Leave it out, "
                    "and write the steps of a chain side by side: Then(base, step, step)."
                )

    @property
    def needs_targets(self) -> bool:
        """Whether one of the steps needs them."""
        return any(step.needs_targets for step in self.steps)

    def treat(self, trial: Trial) -> None:
        root = trial.stream
        for number, step in enumerate(self.steps):
            trial.stream = root.child("step", number)
            step.treat(trial)

    def check_network(self, specs):
        super().check_network(specs)
        for step in self.steps:
            step.check_network(specs)

    def suits(self, activation, depth=10, limit=1e3):
        """Judge each step; one that does not suit decides."""
        verdicts = [step.suits(activation, depth, limit) for step in self.steps]
        return next((verdict for verdict in verdicts if not verdict), verdicts[0])

    @classmethod
    def from_arguments(cls, values):
        values = dict(values)
        return cls(values.pop("base"), *values.pop("steps"), **values)

    def __repr__(self) -> str:
        rows = "" if self.max_rows == 1024 else f", max_rows={self.max_rows!r}"
        return f"Then({', '.join(map(repr, (self.base, *self.steps)))}{rows})"
