"""The choice of a team by trial, on a clock and with costs of our own: no real time decides anything."""

import math

import numpy as np
import pytest
from helpers import needs_openmp
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import MLP, kernels
from minidl.kernels import threads, tuner
from minidl.kernels.tuner import HOLD_SECONDS, LEAST_FLOPS, TRIAL_SECONDS, TRIALS, WORTH, TeamTuner, Way

FLOPS = 1e9
SLICE = 0.05  # the longest that the engine runs at a stretch


class Machine:
    """A clock that advances by what steps cost: `costs` maps a team to the seconds of one step.

    If teams may stream, it maps every Way.
    """

    def __init__(self, costs, flops=FLOPS, streams=False):
        self.costs, self.flops, self.now, self.streams = dict(costs), flops, 0.0, streams
        self.tuner = TeamTuner(clock=lambda: self.now)
        self.teams = []  # of each run

    def run(self, limit=8, steps=10**9):
        """Run steps as the engine does, until the time slice is over; return how many."""
        way, patience = self.tuner.choose(self.flops, limit, self.streams)
        seconds = self.costs[way if self.streams else way.team]
        done = min(steps, max(1, math.ceil(min(SLICE, patience) / seconds)))
        self.now += done * seconds
        self.tuner.record(way, done * self.flops, done * seconds)
        self.teams.append(way if self.streams else way.team)
        return done

    def settle(self, limit=8):
        """Run until every team has been tried, and return the choice."""
        for _ in range(TRIALS * len(teams_up_to(limit)) + 1):
            self.run(limit)
        return self.teams[-1]


def teams_up_to(limit):
    """1, 2, 4, ... and the limit itself, for work of any size."""
    return sorted({2**i for i in range(limit.bit_length())} | {limit})


@pytest.mark.parametrize("flops", [0.0, 1.0, 2 * LEAST_FLOPS - 1])
def test_small_work_never_asks_for_a_team(flops):
    machine = Machine({1: 1e-6}, flops)
    for _ in range(50):
        machine.run(limit=64)
    assert set(machine.teams) == {1}
    assert machine.tuner.choose(flops, 64) == (Way(1), math.inf)


def test_small_work_leaves_nothing_behind():
    """A network that predicts row by row for weeks must not grow."""
    machine = Machine({1: 1e-6}, flops=1000.0)
    for _ in range(1000):
        machine.run()
    assert sum(map(len, machine.tuner.costs.values())) <= 2 * TRIALS


def test_each_thread_has_enough_to_do():
    """Work for five threads is tried on 1, 2, 4 and 5, whatever the limit."""
    machine = Machine(dict.fromkeys(range(1, 65), 0.01), flops=5.5 * LEAST_FLOPS)
    for _ in range(20):
        machine.run(limit=64)
    assert set(machine.teams) == {1, 2, 4, 5}


def test_calls_of_one_short_step_are_tried_together():
    """As predictions are: one that is slow by chance does not decide, and none is a trial by itself."""
    seconds = 1.01 * TRIAL_SECONDS / 8
    machine = Machine({1: seconds, 2: 0.6 * seconds})
    for call in range(TRIALS * (8 + 14)):
        machine.costs[2] = 1.2 * seconds if call % 5 == 0 else 0.6 * seconds  # on average 0.72
        machine.run(limit=2, steps=1)
    assert machine.tuner.choose(FLOPS, 2)[0].team == 2
    assert set(map(len, machine.tuner.costs.values())) == {TRIALS}
    assert machine.teams.count(1) == TRIALS * 8


@pytest.mark.parametrize("limit", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("flops", [8 * LEAST_FLOPS, FLOPS])
def test_every_team_is_tried_before_one_is_chosen(limit, flops):
    """Round after round, from the likeliest to the least: with much work the largest first."""
    expected = teams_up_to(limit)
    machine = Machine({team: 0.01 / team for team in expected}, flops)
    for _ in range(TRIALS * len(expected)):
        assert machine.tuner.choose(flops, limit)[1] == TRIAL_SECONDS
        assert machine.tuner.best is None
        machine.run(limit)
    assert machine.teams == sorted(expected, reverse=flops >= threads.SERIAL_FLOPS) * TRIALS
    assert machine.tuner.choose(flops, limit) == (Way(limit), HOLD_SECONDS)


def test_work_that_is_little_for_a_team_is_tried_alone_first():
    flops = 3 * LEAST_FLOPS
    assert flops < threads.SERIAL_FLOPS
    machine = Machine({1: 0.001, 2: 0.001, 3: 0.001}, flops)
    for _ in range(3 * TRIALS):
        machine.run(limit=8)
    assert machine.teams == [1, 2, 3] * TRIALS


@pytest.mark.parametrize("best", [1, 2, 4, 8])
def test_the_cheapest_wins(best):
    costs = dict.fromkeys((1, 2, 4, 8), 0.01) | {best: 0.002}
    assert Machine(costs).settle() == best


@pytest.mark.parametrize(("factor", "chosen"), [(1.0, 1), (WORTH + 0.001, 1), (WORTH - 0.001, 2)])
def test_a_larger_team_must_be_worth_it(factor, chosen):
    assert Machine({1: 0.01, 2: 0.01 * factor}).settle(limit=2) == chosen


def test_the_faster_of_two_trials_counts():
    """One trial of the better team met another process."""
    machine = Machine({1: 0.01, 2: 0.2})
    machine.run(limit=2)
    machine.costs[2] = 0.005
    for _ in range(3):
        machine.run(limit=2)
    assert machine.teams == [2, 1, 2, 1]
    assert machine.tuner.choose(FLOPS, 2)[0].team == 2


def test_the_choice_holds_and_is_then_put_to_the_test():
    machine = Machine({1: 0.01, 2: 0.004})
    assert machine.settle(limit=2) == 2
    decided = machine.tuner.decided_at
    machine.costs[1] = 0.001  # nobody can know, because small teams are only tried if large ones are slow
    while machine.now - decided < HOLD_SECONDS:
        machine.run(limit=2)
        assert machine.teams[-1] == 2
    machine.teams.clear()
    assert machine.settle(limit=2) == 2
    assert 1 not in machine.teams
    machine.costs[2] = 0.02  # somebody has taken a core
    machine.run(limit=2)
    assert machine.settle(limit=2) == 1
    machine.costs.update({1: 0.01, 2: 0.004})
    for _ in range(40):  # slower than it was: at once
        machine.run(limit=2)
    assert machine.teams[-1] == 2


def test_a_team_that_became_slower_is_tried_again_at_once():
    machine = Machine({1: 0.01, 2: 0.004})
    assert machine.settle(limit=2) == 2
    machine.costs[2] = tuner.SLOWER * 0.004 - 0.0005  # not so much slower
    machine.run(limit=2)
    assert machine.tuner.choose(FLOPS, 2) == (Way(2), HOLD_SECONDS)
    machine.costs[2] = 0.04
    before = machine.now
    machine.run(limit=2)
    assert machine.now - before < HOLD_SECONDS / 2  # it was not the time
    assert machine.tuner.choose(FLOPS, 2) == (Way(2), TRIAL_SECONDS)
    assert machine.settle(limit=2) == 1


def test_larger_teams_that_lose_again_and_again_are_tried_less_often():
    machine = Machine({1: 0.004, 2: 0.01})
    gaps, tried_at = [], 0.0
    while machine.now < 60.0:
        machine.run(limit=2)
        if machine.teams[-1] == 2:
            if machine.now - tried_at > 0.5:
                gaps.append(round(machine.now - tried_at, 6))
            tried_at = machine.now
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(HOLD_SECONDS, abs=0.2)
    assert gaps[-1] == pytest.approx(tuner.LONGEST_HOLD, abs=0.2)
    machine.costs[2] = 0.002  # a core has become free
    before = machine.now
    while machine.teams[-1] != 2 or machine.tuner.trying:
        machine.run(limit=2)
    assert machine.now - before < tuner.LONGEST_HOLD + 0.2
    assert machine.tuner.hold == HOLD_SECONDS


def test_a_lower_limit_is_obeyed_at_once():
    machine = Machine({1: 0.01, 2: 0.006, 3: 0.005, 4: 0.003, 8: 0.001})
    assert machine.settle(limit=8) == 8
    machine.teams.clear()
    assert machine.settle(limit=3) == 3
    assert max(machine.teams) == 3
    assert machine.tuner.choose(FLOPS, 1) == (Way(1), math.inf)
    assert machine.settle(limit=8) == 8


def test_the_limit_of_the_process_is_asked_each_time(monkeypatch):
    machine = Machine({1: 0.01, 2: 0.006, 4: 0.003})
    for limit in (4, 1, 2, 1, 4):
        monkeypatch.setattr(threads, "limit", lambda limit=limit: (limit, "test"))
        machine.teams.clear()
        machine.tuner.decided_at = -math.inf
        for _ in range(20):
            machine.run(limit=None)
        assert max(machine.teams) == machine.teams[-1] == limit


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ((0.01, 0.006, 0.005, 0.004, 0.003), Way(4, True)),
        ((0.01, 0.006, 0.005, 0.003, 0.004), Way(4)),
        ((0.01, 0.006, 0.003, 0.004, 0.005), Way(2, True)),
        ((0.01, 0.006, (WORTH + 0.01) * 0.006, 0.007, 0.007), Way(2)),  # not worth it
        ((0.01, 0.02, 0.02, 0.02, 0.02), Way(1)),
    ],
)
def test_teams_may_also_write_parameters_past_the_caches(costs, chosen):
    ways = [Way(1), Way(2), Way(2, True), Way(4), Way(4, True)]
    machine = Machine(dict(zip(ways, costs, strict=True)), streams=True)
    for _ in range(TRIALS * len(ways) + 1):
        machine.run(limit=4)
    assert machine.teams[-1] == chosen
    assert set(machine.teams[:-1]) == set(ways)


def test_both_ways_of_a_team_are_tried_again():
    """Cores that lay far apart may lie near each other later, and the other way round."""
    costs = {Way(1): 0.01, Way(2): 0.008, Way(2, True): 0.006}
    machine = Machine(costs, streams=True)
    for expected, change in (
        (Way(2, True), {Way(2): 0.0055}),
        (Way(2), {Way(2, True): 0.005}),
        (Way(2, True), {}),
    ):
        while machine.tuner.best != expected:
            assert machine.now < 60.0
            machine.run(limit=2)
        machine.costs.update(change)
    assert machine.teams.count(Way(1)) == TRIALS  # which has not become better
    machine.run(limit=1)
    assert machine.teams[-1] == Way(1)


def test_a_run_that_did_nothing_teaches_nothing():
    measured = TeamTuner(clock=lambda: 0.0)
    measured.record(Way(2), 0.0, 1.0)
    assert measured.costs == {}


costs_of_teams = st.lists(st.floats(1e-5, 0.2), min_size=4, max_size=4)


@settings(deadline=None)
@given(costs=costs_of_teams)
def test_the_choice_is_nearly_the_cheapest_and_never_worse_than_one_thread(costs):
    costs = dict(zip((1, 2, 4, 8), costs, strict=True))
    chosen = Machine(costs).settle()
    assert costs[chosen] <= costs[1]
    assert WORTH * costs[chosen] <= min(costs.values()) * (1 + 1e-9)


@settings(deadline=None, max_examples=50)
@given(costs=costs_of_teams, steps=st.integers(1, 3000))
def test_the_time_of_a_run_is_that_of_the_best_team_and_of_the_trials(costs, steps):
    """A round of trials ends with each step that began in its time; there is one per HOLD_SECONDS."""
    costs = dict(zip((1, 2, 4, 8), costs, strict=True))
    machine = Machine(costs)
    left = steps
    while left:
        left -= machine.run(steps=left)
    per_round = TRIALS * sum(TRIAL_SECONDS + cost for cost in costs.values())
    rounds = 1 + machine.now // HOLD_SECONDS
    best = min(costs.values())
    assert machine.now <= steps * min(costs[1], best / WORTH) * (1 + 1e-9) + rounds * per_round


@needs_openmp
def test_training_with_teams_on_trial_gives_the_same_bits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1024, 64)).astype("float32"), rng.integers(0, 10, 1024)
    kernels.set_num_threads(2)
    nets = []
    for n_threads in (None, 1):
        net = MLP([64, 256, 256, 10], seed=0)
        net.fit(X, y, batch_size=256, epochs=6, verbose=0, n_threads=n_threads)
        nets.append(net)
    tuned, alone = nets
    assert tuned.program.flops() >= 2 * LEAST_FLOPS  # big enough to be tuned
    assert tuned.program.n_threads in (1, 2)
    assert alone.program.n_threads == 1
    assert tuned.params.flat.tobytes() == alone.params.flat.tobytes()
    assert tuned.grads.flat.tobytes() == alone.grads.flat.tobytes()


@needs_openmp
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("sizes", "batch"), [([64, 256, 256, 10], 256), ([300, 256, 7], 32)])
def test_parameters_past_the_caches_are_the_same_bits(sizes, batch, dtype, monkeypatch):
    """The update of the flat vectors, and the one that follows each gradient (few rows)."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(8 * batch, sizes[0])).astype(dtype), rng.integers(0, sizes[-1], 8 * batch)
    weights = set()
    for way in (Way(1), Way(2), Way(2, True), Way(3, True)):
        monkeypatch.setattr(TeamTuner, "choose", lambda self, flops, way=way, **_: (way, HOLD_SECONDS))
        net = MLP(sizes, "tanh", seed=0, dtype=dtype)
        net.fit(X, y, batch_size=batch, epochs=3, verbose=0)
        assert net.program.n_threads == way.team
        assert (net.params["0.weight"] != MLP(sizes, "tanh", seed=0, dtype=dtype).params["0.weight"]).all()
        weights.add(net.params.flat.tobytes())
    assert len(weights) == 1


@pytest.mark.parametrize(("sizes", "large"), [([16, 64, 10], False), ([256, 300, 10], True)])
def test_only_large_parameters_of_training_may_go_past_the_caches(sizes, large, monkeypatch):
    asked = []

    def choose(self, flops, streams):
        asked.append(streams)
        return Way(1), HOLD_SECONDS

    monkeypatch.setattr(TeamTuner, "choose", choose)
    net = MLP(sizes, seed=0)
    X, y = np.zeros((64, sizes[0]), "float32"), np.arange(64) % 10
    net.fit(X, y, batch_size=32, verbose=0)
    assert set(asked) == {large and kernels.isa() in ("x86-64-v3", "x86-64-v4")}
    asked.clear()
    net.evaluate(X, y)
    assert set(asked) == {False}
