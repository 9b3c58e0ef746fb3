"""Which team suits work that is done again and again: measured, not guessed.

An estimate from the number of operations knows nothing of the machine's memory, of other processes on its
cores, or of what a virtual machine calls a core. A training step runs thousands of times, and its bits do not
depend on the team; so the teams are tried at the beginning, and the fastest does the rest. After a second it
proves itself again, beside the larger ones; if it wins again, it is left alone for twice as long each time,
because teams that are too large cost time. If it has become slow, because somebody else needs a core, the
smaller ones are tried, too, and at once.

A team that trains has two ways to write new parameters. Through its caches, so that they are near in the
next step; but each line has to be taken back from the cores that have read it. Or past them to memory, from
where all cores read them again. Which is faster depends on how far apart the cores lie and on the memory, so
both are tried.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from minidl.kernels import threads

TRIAL_SECONDS = 0.003  # of one trial
TRIALS = 2  # of each way; the faster counts
HOLD_SECONDS = 1.0  # before the ways are tried again, at first
LONGEST_HOLD = 8.0  # ... and after larger teams have lost again and again
WORTH = 0.97  # a larger team must be at least so much faster
SLOWER = 1.3  # a team that has become so much slower is put to the test at once, beside the smaller ones
LEAST_FLOPS = 1e6  # of each thread: below, waking it costs more than it can do


class Way(NamedTuple):
    """How to do the work: with so many threads, and new parameters through the caches or past them.

    Ways are ordered: smaller teams first; of two equal teams, the one that leaves parameters in the caches.

    Attributes
    ----------
    team : int
        Number of threads.
    stream : bool
        Write new parameters past the caches.

    Examples
    --------
    >>> sorted([Way(4), Way(2, stream=True), Way(2)])[1]
    Way(team=2, stream=True)
    """

    team: int
    stream: bool = False


class TeamTuner:
    """Chooses how to do one piece of work that is repeated: the size of the team, and how it writes.

    Examples
    --------
    >>> tuner = TeamTuner(clock=lambda: 0.0)
    >>> way, seconds = tuner.choose(flops=100.0, limit=8)
    >>> way
    Way(team=1, stream=False)
    >>> for _ in range(4):
    ...     way, _ = tuner.choose(flops=1e9, limit=2)
    ...     tuner.record(way, flops=1e9, seconds=2.0 / way.team)
    >>> tuner.choose(flops=1e9, limit=2)[0].team
    2
    """

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.costs: dict[Way, list[float]] = {}  # seconds per operation of the trials
        self.best: Way | None = None
        self.remembered: tuple[Way | None, float] = (None, 0.0)  # chosen last; seconds per operation then
        self.trying = False
        self.trial: tuple[Way | None, float, float] = (None, 0.0, 0.0)  # its operations and seconds so far
        self.decided_at = 0.0
        self.hold = HOLD_SECONDS

    def choose(self, flops: float, limit: int | None = None, streams: bool = False) -> tuple[Way, float]:
        """Return how to do steps of so many operations, and how long to keep to it at most.

        Parameters
        ----------
        flops : float
            Operations of one step.
        limit : int, optional
            The largest team allowed; default: that of the process.
        streams : bool
            Teams may also write parameters past the caches.
        """
        self.trying = False
        if flops < 2 * LEAST_FLOPS:  # small work does not even ask for the limit
            return Way(1), float("inf")
        ways = _ways(flops, threads.limit()[0] if limit is None else limit, streams)
        if len(ways) == 1:
            return ways[0], float("inf")
        if self.best in ways and self.clock() - self.decided_at < self.hold:
            return self.best, HOLD_SECONDS
        if self.best is not None:  # time to try again, but smaller teams only if this one has become slow
            self.remembered = (self.best, min(self.costs.get(self.best, [float("inf")])))
            self.costs = {way: costs for way, costs in self.costs.items() if way.team < self.best.team}
            self.best = None
        former, cost = self.remembered
        if len(self.costs.get(former, ())) >= TRIALS and min(self.costs[former]) > SLOWER * cost:
            self.costs = {way: costs for way, costs in self.costs.items() if way >= former}
            self.remembered = (None, 0.0)
        untried = [way for way in ways if len(self.costs.get(way, ())) < TRIALS]
        if untried:  # the likeliest first, because short work never comes to the others
            fewest = min(len(self.costs.get(way, ())) for way in untried)
            likely = max if flops >= threads.SERIAL_FLOPS else min
            way = likely(way for way in untried if len(self.costs.get(way, ())) == fewest)
            self.trying = True
            return way, TRIAL_SECONDS
        self.best = ways[0]
        for way in ways[1:]:
            if min(self.costs[way]) < WORTH * min(self.costs[self.best]):
                self.best = way
        again = self.best == self.remembered[0] and self.best < ways[-1]
        self.hold = min(2.0 * self.hold, LONGEST_HOLD) if again else HOLD_SECONDS
        self.decided_at = self.clock()
        return self.best, HOLD_SECONDS

    def record(self, way: Way, flops: float, seconds: float) -> None:
        """Note that so many operations have been done in so many seconds that way."""
        if flops <= 0:
            return
        if self.trying:
            self._try(way, flops, seconds)
        elif way == self.best and seconds / flops > SLOWER * min(self.costs[way]):
            self.decided_at = float("-inf")

    def _try(self, way: Way, flops: float, seconds: float) -> None:
        """Add work to the trial of a way, which lasts some time: short pieces of work count together."""
        if way != self.trial[0]:
            self.trial = (way, 0.0, 0.0)
        _, done, spent = self.trial
        self.trial = (way, done + flops, spent + seconds)
        if self.trial[2] >= TRIAL_SECONDS:
            self.costs.setdefault(way, []).append(self.trial[2] / self.trial[1])
            self.trial = (None, 0.0, 0.0)


def _ways(flops: float, limit: int, streams: bool) -> list[Way]:
    """Teams of 1, 2, 4, ... and the limit, as far as each thread has enough to do; larger ones may stream."""
    limit = min(limit, int(flops / LEAST_FLOPS))
    teams = [1]
    while teams[-1] * 2 < limit:
        teams.append(teams[-1] * 2)
    if limit > 1:
        teams.append(limit)
    ways = [Way(team, stream) for team in teams for stream in (False, True)]
    return [way for way in ways if not way.stream or (streams and way.team > 1)]
