"""Different initializers for different layers or parameters, chosen by the path."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from minidl.errors import OptionError, out_of_range
from minidl.init.auto import Auto
from minidl.init.base import Initializer, Rule
from minidl.init.joint import Pair, Split
from minidl.init.registry import get, register
from minidl.init.spec import LayerSpec

__all__ = ["Plan"]

ROLES = ("weight", "bias")
AUTO = Auto()


@register("plan")
@dataclass(frozen=True, repr=False)
class Plan(Rule):
    """A default, and other initializers for some layers or parameters.

    Parameters
    ----------
    default : Initializer, str, ndarray or callable
        For whatever is not named; see :func:`get`.
    overrides : mapping of str to initializer, or sequence of pairs
        The first pattern that matches decides. A pattern that matches the path of a layer ("2") gives the
        initializer of the whole layer; one that matches the name of a parameter ("2.bias") that of this
        parameter alone. Patterns are those of :mod:`fnmatch` (``"[0-3]"``, ``"*.bias"``), or regular
        expressions that must match all of it (``"re:[02]\\\\.weight"``). A rule for a bias is told the fans
        of its layer, as in a :class:`Pair`.
    input, output : Initializer, str, ndarray or callable, optional
        For the first and the last layer, where no override matches.

    Raises
    ------
    OptionError
        A pattern is not usable; or, when a network is built, a pattern matches nothing in it.

    Examples
    --------
    >>> plan = Plan("he_normal", {"1": "zeros", "*.bias": "constant(0.1)"}, output="lecun_normal")
    >>> for path, role in (("0", "input"), ("1", "hidden"), ("2", "output")):
    ...     print(*plan.resolve(LayerSpec(path, (4, 4), role=role)), sep=": ")
    Pair(weight=He(), bias=Constant(value=0.1)): given; bias by '*.bias'
    Zeros(): given, by '1'
    Pair(weight=LeCun(), bias=Constant(value=0.1)): given, as output layer; bias by '*.bias'
    """

    default: Initializer = AUTO
    overrides: tuple[tuple[str, Initializer], ...] = ()
    input: Initializer | None = None
    output: Initializer | None = None
    formula: ClassVar[str] = "by the path of the layer or the name of the parameter"
    assumes: ClassVar[str] = "what each of its parts assumes"
    fails: ClassVar[str] = "paths are numbers of layers: inserting one renames those behind it"
    paper: ClassVar[str] = "none (a combination)"
    distribution: ClassVar[str] = "by layer"
    examples: ClassVar[tuple[str, ...]] = (
        'Plan("he_normal", {"0": LeCun(), "*.bias": Normal(0.1)}, input=Xavier(), output=Zeros())',
    )

    def __post_init__(self):
        pairs = self.overrides.items() if isinstance(self.overrides, Mapping) else self.overrides
        try:
            pairs = [(pattern, chosen) for pattern, chosen in pairs]
        except (TypeError, ValueError):
            raise out_of_range(
                "overrides", self.overrides, "a mapping of patterns to initializers, or pairs of them"
            ) from None
        for pattern, _ in pairs:
            _matcher(pattern)
        self._set(
            default=get(self.default),
            overrides=tuple((pattern, get(chosen)) for pattern, chosen in pairs),
            input=None if self.input is None else get(self.input),
            output=None if self.output is None else get(self.output),
        )

    def _choose(self, spec: LayerSpec, role: str) -> tuple[Initializer, str, str]:
        """Return the initializer of a parameter, what it was chosen by, and "layer" or the role."""
        for pattern, chosen in self.overrides:
            matches = _matcher(pattern)
            if matches(spec.path):
                return chosen, f"by {pattern!r}", "layer"
            if matches(f"{spec.path}.{role}"):
                return chosen, f"by {pattern!r}", role
        if spec.role == "output" and self.output is not None:
            return self.output, "as output layer", "layer"
        if spec.role == "input" and self.input is not None:
            return self.input, "as input layer", "layer"
        return self.default, "", "layer"

    def resolve(self, spec):
        weight, weight_why, _ = self._choose(spec, "weight")
        bias, bias_why, bias_scope = self._choose(spec, "bias")
        chosen, reason = weight.resolve(spec)
        reason = f"{reason}, {weight_why}" if weight_why else reason
        if (bias, bias_why) == (weight, weight_why):
            return chosen, reason
        if bias_scope == "bias":
            return Pair(chosen, bias), f"{reason}; bias {bias_why}"
        return Split(chosen, bias.resolve(spec)[0]), f"{reason}; bias {bias_why or 'by default'}"

    def lr_multipliers(self, spec):
        """Return those of the rules of the layer; a rule for a bias alone leaves the factor as it is."""
        weight, bias = self._choose(spec, "weight")[0], self._choose(spec, "bias")
        layer = weight if bias[2] == "bias" else bias[0]
        return Split(weight, layer).lr_multipliers(spec)

    def check_network(self, specs):
        names = [f"{spec.path}.{role}" for spec in specs for role in ROLES]
        for pattern, _ in self.overrides:
            matches = _matcher(pattern)
            if not any(map(matches, names)) and not any(matches(spec.path) for spec in specs):
                raise OptionError(
                    f"Plan: the pattern {pattern!r} matches nothing. The layers are "
                    f"{', '.join(spec.path for spec in specs)}, their parameters {names[0]}, {names[1]} and "
                    "so on."
                )
        for role in ("input", "output"):
            if getattr(self, role) is not None and not any(spec.role == role for spec in specs):
                raise OptionError(f"Plan: {role}=... matches nothing, no layer of these has that role.")
        filled: dict[Initializer, list[LayerSpec]] = {}
        for spec in specs:
            for chosen in dict.fromkeys(self._choose(spec, role)[0] for role in ROLES):
                filled.setdefault(chosen, []).append(spec)
        for chosen, its_specs in filled.items():
            chosen.check_network(its_specs)


def _matcher(pattern: object) -> Callable[[str], bool]:
    """Return the function that tells whether a name matches a pattern."""
    if not isinstance(pattern, str) or not pattern:
        raise out_of_range(
            "overrides", pattern, "patterns that are strings, such as '2', '*.bias' or 're:..'"
        )
    if not pattern.startswith("re:"):
        return lambda name: fnmatch.fnmatchcase(name, pattern)
    try:
        expression = re.compile(pattern.removeprefix("re:"))
    except re.error as error:
        raise OptionError(f"overrides: {pattern!r} is no regular expression: {error}.") from None
    return lambda name: expression.fullmatch(name) is not None
