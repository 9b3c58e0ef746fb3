"""Which team suits work that is done again and again: measured, not guessed.

An estimate from the number of operations knows nothing of the machine's memory, of other processes on its
cores, or of what a virtual machine calls a core. A training step runs thousands of times, and its bits do not
depend on the team; so the teams are tried at the beginning, and the fastest does the rest. After a second it
proves itself again, beside the larger ones; if it wins again, it is left alone for twice as long each time,
because teams that are too large cost time. If it has become slow, because somebody else needs a core, the
smaller ones are tried, too, and at once.
"""

from __future__ import annotations

import time

from minidl.kernels import threads

TRIAL_SECONDS = 0.003  # of one trial
TRIALS = 2  # of each team; the faster counts
HOLD_SECONDS = 1.0  # before the teams are tried again, at first
LONGEST_HOLD = 8.0  # ... and after larger teams have lost again and again
WORTH = 0.97  # a larger team must be at least so much faster
SLOWER = 1.3  # a team that has become so much slower is put to the test at once, beside the smaller ones
LEAST_FLOPS = 1e6  # of each thread: below, waking it costs more than it can do


class TeamTuner:
    """Chooses the size of the team for one piece of work.

    Examples
    --------
    >>> tuner = TeamTuner(clock=lambda: 0.0)
    >>> team, seconds = tuner.choose(flops=100.0, limit=8)
    >>> team
    1
    >>> for _ in range(4):
    ...     team, _ = tuner.choose(flops=1e9, limit=2)
    ...     tuner.record(team, flops=1e9, seconds=2.0 / team)
    >>> tuner.choose(flops=1e9, limit=2)[0]
    2
    """

    def __init__(self, clock=time.monotonic):
        self.clock = clock
        self.costs: dict[int, list[float]] = {}  # team -> seconds per operation of its trials
        self.best: int | None = None
        self.remembered = (0, 0.0)  # the team chosen last, and its seconds per operation then
        self.trying = False
        self.trial = (0, 0.0, 0.0)  # under way: the team, its operations and seconds so far
        self.decided_at = 0.0
        self.hold = HOLD_SECONDS

    def choose(self, flops: float, limit: int | None = None) -> tuple[int, float]:
        """Return the team for a step of so many operations, and how long to keep it at most.

        Parameters
        ----------
        flops : float
            Operations of one step.
        limit : int, optional
            The largest team allowed; default: that of the process.
        """
        self.trying = False
        if flops < 2 * LEAST_FLOPS:  # small work does not even ask for the limit
            return 1, float("inf")
        teams = _teams(flops, threads.limit()[0] if limit is None else limit)
        if len(teams) == 1:
            return 1, float("inf")
        if self.best in teams and self.clock() - self.decided_at < self.hold:
            return self.best, HOLD_SECONDS
        if self.best is not None:  # time to try again, but smaller teams only if this one has become slow
            self.remembered = (self.best, min(self.costs.get(self.best, [float("inf")])))
            self.costs = {team: costs for team, costs in self.costs.items() if team < self.best}
            self.best = None
        former, cost = self.remembered
        if len(self.costs.get(former, ())) >= TRIALS and min(self.costs[former]) > SLOWER * cost:
            self.costs = {team: costs for team, costs in self.costs.items() if team >= former}
            self.remembered = (0, 0.0)
        untried = [team for team in teams if len(self.costs.get(team, ())) < TRIALS]
        if untried:  # the likeliest first, because short work never comes to the others
            fewest = min(len(self.costs.get(team, ())) for team in untried)
            likely = max if flops >= threads.SERIAL_FLOPS else min
            team = likely(team for team in untried if len(self.costs.get(team, ())) == fewest)
            self.trying = True
            return team, TRIAL_SECONDS
        self.best = 1
        for team in teams[1:]:
            if min(self.costs[team]) < WORTH * min(self.costs[self.best]):
                self.best = team
        again = self.best == self.remembered[0] and self.best < teams[-1]
        self.hold = min(2.0 * self.hold, LONGEST_HOLD) if again else HOLD_SECONDS
        self.decided_at = self.clock()
        return self.best, HOLD_SECONDS

    def record(self, team: int, flops: float, seconds: float) -> None:
        """Note that a team has done so many operations in so many seconds."""
        if flops <= 0:
            return
        if self.trying:
            self._try(team, flops, seconds)
        elif team == self.best and seconds / flops > SLOWER * min(self.costs[team]):
            self.decided_at = float("-inf")

    def _try(self, team: int, flops: float, seconds: float) -> None:
        """Add work to the trial of a team, which lasts some time: short pieces of work count together."""
        if team != self.trial[0]:
            self.trial = (team, 0.0, 0.0)
        _, done, spent = self.trial
        self.trial = (team, done + flops, spent + seconds)
        if self.trial[2] >= TRIAL_SECONDS:
            self.costs.setdefault(team, []).append(self.trial[2] / self.trial[1])
            self.trial = (0, 0.0, 0.0)


def _teams(flops: float, limit: int) -> list[int]:
    """1, 2, 4, ... and the limit, as far as each thread has enough to do."""
    limit = min(limit, int(flops / LEAST_FLOPS))
    teams = [1]
    while teams[-1] * 2 < limit:
        teams.append(teams[-1] * 2)
    return [*teams, limit] if limit > 1 else [1]
