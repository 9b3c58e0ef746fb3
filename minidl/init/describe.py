"""Everything an initializer knows about itself, as text."""

from __future__ import annotations

from minidl import activations
from minidl.errors import MinidlError, OptionError
from minidl.init.base import Initializer
from minidl.init.text import entry

__all__ = ["describe", "suited"]


def describe(x: Initializer, fan_in: int | None = None, fan_out: int | None = None) -> str:
    """Return a few lines: formula, law, what it assumes and suits, where it fails, source, numbers.

    Examples
    --------
    >>> from minidl.init import Zeros
    >>> print(describe(Zeros(), 3, 2))
    Zeros()
      formula: W = 0
      ...
    """
    facts = [("formula", x.formula)]
    if x.distribution != "none":
        fan = "" if x.mode == "none" else f", by {x.mode}"
        facts.append(("law", x.distribution.replace("_", " ") + fan))
    facts += [("assumes", x.assumes), ("fails", x.fails)]
    yes, no = suited(x)
    if yes or no:
        facts += [("suits", ", ".join(yes) or "none"), ("does not suit", ", ".join(no) or "none")]
    facts.append(("source", x.paper))
    if fan_in is not None and fan_out is not None:
        facts.append((f"for ({fan_in=}, {fan_out=})", _numbers(x, fan_in, fan_out)))
    lines = [repr(x)]
    for name, text in facts:
        lines += entry(name, text)
    return "\n".join(lines)


def suited(x: Initializer) -> tuple[list[str], list[str]]:
    """Return the activations that a scheme suits, and those that it does not; none where it cannot say."""
    yes, no = [], []
    for name in activations.names():
        try:
            (yes if x.suits(name) else no).append(name)
        except MinidlError:  # it has no variance, or it needs to know more of a layer
            continue
    return yes, no


def _numbers(x: Initializer, fan_in: int, fan_out: int) -> str:
    try:
        variance = f"variance {x.variance(fan_in, fan_out):.6g}"
    except OptionError:
        return ""
    try:
        return f"{x.law(fan_in, fan_out)!r}, {variance}"
    except OptionError:
        return variance
