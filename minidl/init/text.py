"""Text in columns and paragraphs, for what prints itself."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["aligned", "entry"]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, with columns as wide as their widest cell.

    Examples
    --------
    >>> aligned([("layer", "why"), ("0", "given")])
    ['layer  why', '0      given']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def entry(name: str, text: str) -> list[str]:
    """Return the lines of a named paragraph, indented; none without text.

    Examples
    --------
    >>> entry("formula", "W = 0")
    ['  formula: W = 0']
    """
    if not text:
        return []
    return textwrap.wrap(f"  {name}: {text}", 100, subsequent_indent="    ", break_on_hyphens=False)
