"""What came out: per statement the paper's number, the theory's, ours, what would be accepted, a verdict."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import numpy as np

from minidl.compare.report import aligned

__all__ = ["Report", "Row"]

HEAD = ("statement", "in paper", "paper", "theory", "ours", "min-max", "accepted", "verdict", "seconds")
ENOUGH = 0.8  # share of the seeds that must be within the accepted range, beside their median


@dataclass(frozen=True)
class Row:
    """One statement, and whether it holds.

    Parameters
    ----------
    statement : str
        A quantity, so that the numbers beside it can be read.
    values : tuple of float
        Measured, one for each seed.
    source : str
        Where in the paper it stands.
    paper : str
        The paper's number, "-" if it gives none.
    theory : float, optional
        The predicted value.
    low, high : float, optional
        What is accepted; fixed before the run. Without both the row is for comparison and gets no verdict.
    by : {"median", "mean"}
        A "median" holds if it and at least 4 of 5 seeds are accepted; a "mean", for what theory says of an
        average of networks, if it is accepted itself.
    digits : int
        Behind the decimal point.
    seconds : float
        Of one core, for all jobs that the values come from; jobs may serve several rows.
    note : str
        What one should know about the values; printed below the table.

    Examples
    --------
    >>> row = Row("gap [points]", (7.0, 4.0, 9.0), low=5.0)
    >>> row.ours, row.accepted, row.verdict
    (7.0, '>= 5.00', 'does not hold')
    >>> dataclasses.replace(row, low=4.0).verdict
    'holds'
    """

    statement: str
    values: tuple[float, ...]
    source: str = "-"
    paper: str = "-"
    theory: float | None = None
    low: float | None = None
    high: float | None = None
    by: str = "median"
    digits: int = 2
    seconds: float = 0.0
    note: str = ""

    @property
    def ours(self) -> float:
        """The median or mean of the values; NaN if a value is."""
        return float(np.mean(self.values) if self.by == "mean" else np.median(self.values))

    def accepts(self, value: float) -> bool:
        """Whether a value is in the accepted range; NaN never is."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return low <= value <= high

    @property
    def verdict(self) -> str:
        """ "holds", "does not hold", or "-" if nothing was claimed."""
        if self.low is None and self.high is None:
            return "-"
        enough = self.by == "mean" or sum(map(self.accepts, self.values)) >= ENOUGH * len(self.values)
        return "holds" if enough and self.accepts(self.ours) else "does not hold"

    @property
    def accepted(self) -> str:
        """The accepted range in words."""
        low, high = (None if x is None else f"{x:.{self.digits}f}" for x in (self.low, self.high))
        if low is None:
            return "-" if high is None else f"<= {high}"
        return f">= {low}" if high is None else f"{low} to {high}"

    def cells(self) -> tuple[str, ...]:
        """Return the row as words, in the order of HEAD."""
        theory, ours, least, most = (
            "-" if x is None else f"{x:.{self.digits}f}"
            for x in (self.theory, self.ours, min(self.values), max(self.values))
        )
        return (
            self.statement,
            self.source,
            self.paper,
            theory,
            ours,
            f"{least} to {most}",
            self.accepted,
            self.verdict,
            f"{self.seconds:.0f}",
        )


@dataclass(frozen=True)
class Report:
    """The table of a reproduction; prints as text.

    Parameters
    ----------
    name, title : str
        Of the reproduction, and a line that says what was run.
    rows : tuple of Row
    tables : dict of str to str
        Further tables by their heading.
    data : dict
        What the pictures are drawn from; plain data.
    seconds : float
        Of one core, for everything.

    Examples
    --------
    >>> row = Row("error [%]", (30.0, 34.0, 31.0), "Table 1", "27.15", high=30.0, note="A small network.")
    >>> print(Report("demo", "demo: 3 seeds", (row,), seconds=12.0))
    demo: 3 seeds
    statement  in paper  paper  theory   ours         min-max  accepted        verdict  seconds
    error [%]  Table 1   27.15       -  31.00  30.00 to 34.00  <= 30.00  does not hold        0
    <BLANKLINE>
    error [%]: A small network.
    <BLANKLINE>
    0 of 1 statements hold; 12 s of one core.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    tables: dict[str, str] = field(default_factory=dict)
    data: dict = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.title}\n{aligned([HEAD, *(row.cells() for row in self.rows)], left=(0, 1))}"]
        parts += [f"{heading}\n{table}" for heading, table in self.tables.items()]
        notes = [f"{row.statement}: {row.note}" for row in self.rows if row.note]
        if notes:
            parts.append("\n".join(notes))
        judged = [row.verdict for row in self.rows if row.verdict != "-"]
        held = judged.count("holds")
        parts.append(f"{held} of {len(judged)} statements hold; {self.seconds:.0f} s of one core.")
        return "\n\n".join(parts)

    def record(self) -> dict:
        """Return everything as plain data for JSON, which has no NaN: such values become None.

        Examples
        --------
        >>> record = Report("demo", "demo", (Row("x", (1.0, float("nan")), low=0.0),)).record()
        >>> record["rows"][0]["values"], record["rows"][0]["ours"], record["rows"][0]["verdict"]
        ([1.0, None], None, 'does not hold')
        """
        rows = [
            {**dataclasses.asdict(row), "ours": row.ours, "verdict": row.verdict, "accepted": row.accepted}
            for row in self.rows
        ]
        whole = {"name": self.name, "title": self.title, "seconds": self.seconds}
        return _finite({**whole, "rows": rows, "data": self.data})


def _finite(x):
    """Return plain data with None for what JSON cannot hold."""
    if isinstance(x, dict):
        return {name: _finite(value) for name, value in x.items()}
    if isinstance(x, list | tuple):
        return [_finite(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
