"""Activation functions: records of their names, parameters and facts, and their NumPy float64 twins.

The table of all of them is :mod:`minidl.activation_table`; the kernels of the same names stand in
csrc/leaf/activation.inc.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .activation_table import ALIASES, OUTPUT_FUNCTIONS, TABLE, Definition
from .errors import OptionError, unknown_name
from .options import parse_call

__all__ = ["OUTPUT_FUNCTIONS", "Activation", "derivative", "forward", "get", "names"]


@dataclass(frozen=True)
class Activation:
    """An activation with its parameters; compares and hashes by value. Usually made by :func:`get`.

    Parameters
    ----------
    name : str
        A name of :func:`names`, or "softmax".
    params : tuple of float, optional
        Its parameters, in order; the defaults for those left out.

    Attributes
    ----------
    formula, paper : str
        Definition, with x the pre-activation, and where it comes from ("" if nobody's).
    saves : {"output", "derivative"}
        What the forward pass keeps for the backward pass: y where act'(z) is a function of y = act(z),
        else act'(z).
    output_range : tuple of float
        Infimum and supremum of the outputs.
    monotone : bool
        Never decreasing?
    kinks : tuple of float
        Points where the derivative jumps.

    Raises
    ------
    OptionError
        The name is unknown, or a parameter is out of range.

    Examples
    --------
    >>> elu = Activation("elu", (0.5,))
    >>> str(elu), elu.output_range, elu.kinks
    ('elu(0.5)', (-0.5, inf), (0.0,))
    """

    name: str
    params: tuple[float, ...] = ()

    def __post_init__(self):
        if self.name not in TABLE:
            raise unknown_name("activation", self.name, TABLE)
        parameters = self.definition.parameters
        given = tuple(self.params)
        if len(given) > len(parameters):
            raise _wrong_parameters(self.name, f"got {len(given)} values")
        values = [*given, *(p.default for p in parameters[len(given) :])]
        checked = tuple(p.check(value) for p, value in zip(parameters, values, strict=True))
        object.__setattr__(self, "params", checked)

    def __str__(self) -> str:
        """Return the shortest spelling that :func:`get` reads back."""
        defaults = tuple(p.default for p in self.definition.parameters)
        if self.params == defaults:
            return self.name
        return f"{self.name}({', '.join(map(repr, self.params))})"

    @property
    def definition(self) -> Definition:
        return TABLE[self.name]

    @property
    def formula(self) -> str:
        return self.definition.formula

    @property
    def paper(self) -> str:
        return self.definition.paper

    @property
    def saves(self) -> str:
        return self.definition.saves

    @property
    def monotone(self) -> bool:
        return self.definition.monotone

    @property
    def output_range(self) -> tuple[float, float]:
        return self._fact(self.definition.output_range)

    @property
    def kinks(self) -> tuple[float, ...]:
        return self._fact(self.definition.kinks)

    def _fact(self, fact):
        return fact(*self.params) if callable(fact) else fact


def names() -> tuple[str, ...]:
    """Return the names of all element-wise activations, sorted.

    Examples
    --------
    >>> "gelu" in names(), "softmax" in names()
    (True, False)
    """
    return tuple(sorted(set(TABLE) - set(OUTPUT_FUNCTIONS)))


def get(x: Activation | str) -> Activation:
    """Return the activation that `x` stands for.

    Parameters
    ----------
    x : Activation or str
        A record is returned as it is. A string is a name or an alias, alone or with parameters written
        as in a call.

    Returns
    -------
    Activation

    Raises
    ------
    OptionError
        The name is unknown (with a did-you-mean), or a parameter is unknown, doubled, not a number or
        out of range.

    Examples
    --------
    >>> get("swish")
    Activation(name='silu', params=())
    >>> get("leaky_relu(0.2)") == get("leaky_relu(negative_slope=0.2)")
    True
    >>> get("leaky_relu").params
    (0.01,)
    """
    if isinstance(x, Activation):
        return x
    known = [*TABLE, *ALIASES]
    if not isinstance(x, str):
        raise unknown_name("activation", x, known)
    name, args, kwargs = parse_call("activation", x, "'leaky_relu(0.2)' or 'elu(alpha=0.5)'")
    if name not in known:
        raise unknown_name("activation", name, known)
    name = ALIASES.get(name, name)
    parameters = [p.name for p in TABLE[name].parameters]
    if len(args) > len(parameters):
        raise _wrong_parameters(name, f"got {x!r}")
    for key in kwargs:
        if key not in parameters[len(args) :]:
            raise _wrong_parameters(name, f"got {x!r}")
    defaults = {p.name: p.default for p in TABLE[name].parameters}
    values = defaults | dict(zip(parameters, args, strict=False)) | kwargs
    return Activation(name, tuple(values.values()))


def forward(spec: Activation | str, z) -> np.ndarray:
    """Compute act(z) in NumPy float64, by the formula; the oracle of the kernels for finite z.

    Parameters
    ----------
    spec : Activation or str
    z : array_like
        Any shape; for "softmax", shape (n, K) and each row by itself.

    Examples
    --------
    >>> forward("softsign", [-1.0, 0.0, 3.0])
    array([-0.5 ,  0.  ,  0.75])
    """
    return _evaluate(get(spec).definition.value, spec, z)


def derivative(spec: Activation | str, z) -> np.ndarray:
    """Compute act'(z) in NumPy float64, by the formula.

    Parameters
    ----------
    spec : Activation or str
    z : array_like, any shape

    Raises
    ------
    OptionError
        For "softmax", which has no element-wise derivative.

    Examples
    --------
    >>> derivative("relu", [-1.0, 0.0, 3.0])
    array([0., 0., 1.])
    """
    return _evaluate(get(spec).definition.slope, spec, z)


def _evaluate(function: Callable, spec: Activation | str, z) -> np.ndarray:
    # a formula may overflow to the right limit, as z**2 does in 1 / (1 + z**2)
    with np.errstate(over="ignore", under="ignore"):
        return function(np.asarray(z, np.float64), *get(spec).params)


def _wrong_parameters(name: str, came: str) -> OptionError:
    parameters = TABLE[name].parameters
    takes = ", ".join(f"{p.name}={p.default:g}" for p in parameters) or "no parameters"
    return OptionError(f"activation {name!r} takes {takes}; {came}.")
