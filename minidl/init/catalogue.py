"""The catalogue of the schemes as text and as data: what ``minidl inits`` prints."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import re
import textwrap
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from minidl.errors import MinidlError, OptionError, ShapeError
from minidl.init import registry
from minidl.init.base import Initializer
from minidl.init.describe import suited
from minidl.init.sample import DEFAULT_SHAPE, draw, histogram
from minidl.init.text import aligned, entry

__all__ = ["FAMILIES", "Scheme", "card", "record", "records", "schemes", "table"]

#: family -> the modules of minidl.init that it lives in
FAMILIES = {
    "plain": ("constant", "distributions", "arrays", "defaults", "prior_bias"),
    "variance scaling": ("variance_scaling", "gain", "random_walk", "ntk", "small_init"),
    "structured": (
        "orthogonal",
        "identity",
        "delta_orthogonal",
        "sparse",
        "mirrored",
        "zero",
        "idinit",
        "sinusoidal",
    ),
    "by activation and depth": (
        "selu",
        "siren",
        "critical",
        "centered",
        "rai",
        "nguyen_widrow",
        "tanh_init",
        "spectral",
    ),
    "by width and residual branch": ("mup", "residual"),
    "from data": ("lsuv", "krahenbuhl", "weight_norm", "swim"),
    "by optimisation": ("metainit", "gradinit"),
    "composition": (
        "joint",
        "scaled",
        "clipped",
        "concat",
        "from_model",
        "override",
        "then",
    ),
    "chosen by layer": ("auto",),
}
OTHER = "registered by the user"


@dataclass(frozen=True)
class Scheme:
    """One class of the registry.

    Attributes
    ----------
    kind : type
    family : str
    names : tuple of str
        Those that stand for the class itself, with its own arguments.
    presets : tuple of str
        Those that stand for it with an argument already given: "he_uniform".
    example : Initializer or None
        With as few arguments as it takes; None for a user's class that needs some and shows no examples.
    """

    kind: type[Initializer]
    family: str
    names: tuple[str, ...]
    presets: tuple[str, ...]
    example: Initializer | None


def schemes() -> list[Scheme]:
    """Return all schemes of the registry, by family.

    Examples
    --------
    >>> he = next(scheme for scheme in schemes() if scheme.kind.__name__ == "He")
    >>> he.family, he.names
    ('variance scaling', ('he', 'kaiming'))
    """
    found: dict[type[Initializer], tuple[list[str], list[str]]] = {}
    for name in registry.names():
        factory = registry.factory(name)
        if isinstance(factory, type):
            found.setdefault(factory, ([], []))[0].append(name)
        elif isinstance(factory, functools.partial) and isinstance(factory.func, type):
            found.setdefault(factory.func, ([], []))[1].append(name)
    order = [*FAMILIES, OTHER]
    result = [
        Scheme(kind, family(kind), tuple(names), tuple(presets), _example(kind))
        for kind, (names, presets) in found.items()
    ]
    return sorted(result, key=lambda scheme: (order.index(scheme.family), scheme.names + scheme.presets))


def family(kind: type[Initializer]) -> str:
    """Return the family of a class.

    Examples
    --------
    >>> from minidl.init import He
    >>> family(He)
    'variance scaling'
    """
    room, _, module = kind.__module__.rpartition(".")
    if room == "minidl.init":
        for name, modules in FAMILIES.items():
            if module in modules:
                return name
    return OTHER


def _example(kind: type[Initializer]) -> Initializer | None:
    try:
        return kind()
    except TypeError:
        pass
    if not kind.examples:
        return None
    import minidl.init

    return eval(kind.examples[0], dict(vars(minidl.init)))  # written in the class, not by a user


# --- the table ------------------------------------------------------------------------------------


def table() -> str:
    """Return a table of all schemes: names, law, fan, whether it needs data, source, formula.

    Examples
    --------
    >>> print(table())
    plain
      name ...
    """
    header = ("name", "law", "fan", "data", "source", "formula")
    rows = {}
    for scheme in schemes():
        rows.setdefault(scheme.family, []).append(_row(scheme))
    first, *lines = (f"  {line}" for line in aligned([header, *itertools.chain(*rows.values())]))
    lines = iter(lines)
    blocks = ("\n".join([name, first, *itertools.islice(lines, len(rows[name]))]) for name in rows)
    presets = ", ".join(sorted(name for scheme in schemes() for name in scheme.presets))
    hint = 'All that one of them knows: minidl inits he_normal, or minidl inits "he(slope=0.2)"'
    also = textwrap.fill(f"With an argument already given: {presets}", 100, subsequent_indent="  ")
    return "\n\n".join([*blocks, also, hint])


def _row(scheme: Scheme) -> tuple[str, ...]:
    x = scheme.example
    names = ", ".join(scheme.names or scheme.presets)
    if x is None:
        return names, "", "", "", "", ""
    fan = "-" if x.mode == "none" else x.mode
    data = "yes" if x.needs_data else "-"
    return names, x.distribution.replace("_", " "), fan, data, _short_source(x.paper), x.formula


def _short_source(paper: str) -> str:
    """Return the authors and the year of a source.

    Examples
    --------
    >>> _short_source("He, Zhang, Ren, Sun 2015, Delving deep into rectifiers, arXiv:1502.01852")
    'He et al. 2015'
    """
    match = re.match(r"(?P<authors>[^\d:;().]*?),? (?P<year>(19|20)\d\d)\b", paper)
    if match is None:
        return "-"
    authors = re.split(r",\s*(?:and )?|\s+and\s+|\s*&\s*", match["authors"])
    if len(authors) > 2:
        authors = [f"{authors[0]} et al."]
    return f"{', '.join(authors)} {match['year']}"


# --- one scheme -----------------------------------------------------------------------------------


def card(
    x: Initializer, shape: tuple[int, int] | None = None, activation: str | None = None, seed: int = 0
) -> str:
    """Return all that a scheme knows of itself, and what a draw of it looks like.

    Parameters
    ----------
    x : Initializer
    shape : (int, int), optional
        (fan_in, fan_out) of the draw; default (784, 256).
    activation : str, optional
        Of the layer of the draw; the verdict on it is given with its reason.
    seed : int

    Raises
    ------
    OptionError, ShapeError
        `shape` or `activation` was given and the scheme does not serve it.

    Examples
    --------
    >>> from minidl.init import He
    >>> print(card(He(), (200, 100)))
    He()
      formula: ...
      a draw for (fan_in=200, fan_out=100), relu, seed 0:
      ...
    """
    fan_in, fan_out = shape or DEFAULT_SHAPE
    facts = [x.describe(fan_in, fan_out)]
    same, others = _names_of(x)
    facts += entry("names", ", ".join(same)) + entry("other names of its class", ", ".join(others))
    facts += entry("arguments", ", ".join(_arguments(x)))
    if activation is not None:
        facts += entry(f"for {activation}", _verdict(x, activation))
    try:
        shown = draw(x, shape, activation, seed)
    except (OptionError, ShapeError) as error:
        if shape is not None or activation is not None:
            raise
        return "\n".join([*facts, *entry("no draw", str(error))])
    if shown.initializer != x:
        facts += entry("chosen", f"{shown.initializer!r}: {shown.reason}")
    if x.needs_data:
        facts += entry("note", "it needs data to do its work; the draw is what it starts from")
    where = f"{fan_in=}, {fan_out=}"
    facts.append(f"  a draw for ({where}), {shown.spec.activation}, seed {seed}:")
    facts.append(textwrap.indent(histogram(shown), "    "))
    return "\n".join(facts)


def _verdict(x: Initializer, activation: str) -> str:
    ok, reason = x.suits(activation)
    return f"{'suits' if ok else 'does not suit'}: {reason}"


def _names_of(x: Initializer) -> tuple[list[str], list[str]]:
    """Return the names that stand for this very object, and the other ones of its class."""
    same, others = [], []
    for scheme in schemes():
        if scheme.kind is not type(x):
            continue
        for name in (*scheme.names, *scheme.presets):
            try:
                stands_for = registry.factory(name)()
            except (TypeError, MinidlError):  # it needs arguments
                stands_for = None
            (same if stands_for == x else others).append(name)
    return same, others


def _arguments(x: Initializer) -> list[str]:
    """Return the arguments with their values, and the default where the value is another."""
    parameters = inspect.signature(type(x)).parameters
    shown = []
    for name, value in x.arguments().items():
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        text = f"{name}={_short(value)}"
        if default is not inspect.Parameter.empty and default != value:
            text += f" (default {_short(default)})"
        shown.append(text)
    return shown


def _short(value: object) -> str:
    return textwrap.shorten(repr(value), 60, placeholder=" ...")


# --- as data --------------------------------------------------------------------------------------


def record(
    x: Initializer, shape: tuple[int, int] | None = None, activation: str | None = None, seed: int = 0
) -> dict[str, object]:
    """Return what :func:`card` says as JSON-able data; numbers that are unknown or infinite are None.

    "draw" has the moments of the draw, or is None if `shape` and `activation` were left open and the scheme
    does not serve what stands for them.

    Examples
    --------
    >>> from minidl.init import He
    >>> record(He(), (200, 100))["variance"]
    0.01
    """
    fan_in, fan_out = shape or DEFAULT_SHAPE
    same, others = _names_of(x)
    yes, no = suited(x)
    found = {
        "initializer": x.to_dict(),
        "repr": repr(x),
        "family": family(type(x)),
        "names": same,
        "other_names": others,
        **_metadata(x),
        "suits": yes,
        "does_not_suit": no,
        "shape": [fan_in, fan_out],
        "variance": None,
        "std": None,
        "bound": None,
    }
    for name in ("variance", "std", "bound"):
        with suppress(MinidlError):
            value = float(getattr(x, name)(fan_in, fan_out))
            found[name] = value if math.isfinite(value) else None
    if activation is not None:
        ok, reason = x.suits(activation)
        found["verdict"] = {"activation": activation, "ok": ok, "reason": reason}
    try:
        shown = draw(x, shape, activation, seed)
    except (OptionError, ShapeError):
        if shape is not None or activation is not None:
            raise
        return {**found, "draw": None}
    found["draw"] = {
        "initializer": repr(shown.initializer),
        "activation": shown.spec.activation,
        "seed": seed,
        "weight": _statistics(shown.weight),
        "bias": _statistics(shown.bias),
    }
    return found


def records() -> list[dict[str, object]]:
    """Return what :func:`table` says as JSON-able data, a dict for each scheme.

    Examples
    --------
    >>> records()[0]["family"]
    'plain'
    """
    return [
        {
            "class": scheme.kind.__name__,
            "family": scheme.family,
            "names": list(scheme.names),
            "presets": list(scheme.presets),
            **({} if scheme.example is None else _metadata(scheme.example)),
        }
        for scheme in schemes()
    ]


def _metadata(x: Initializer) -> dict[str, object]:
    return {
        "formula": x.formula,
        "law": x.distribution,
        "fan": x.mode,
        "needs_data": x.needs_data,
        "assumes": x.assumes,
        "fails": x.fails,
        "paper": x.paper,
    }


def _statistics(values: np.ndarray) -> dict[str, float]:
    if not values.size:
        return {}
    return {name: float(getattr(values, name)()) for name in ("mean", "std", "min", "max")}
