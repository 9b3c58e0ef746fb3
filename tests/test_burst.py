"""When small products that follow one another get a team: with a clock of our own."""

import itertools
import threading

import numpy as np
import pytest
from minidl.kernels.burst import (
    BURST,
    CLOSE_SECONDS,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    SLOWER,
    Burst,
)

from minidl import kernels
from minidl.kernels import burst, threads

FLOPS = 3e6


class Machine:
    """Runs products in time that is made up."""

    def __init__(self):
        self.row, self.now = Burst(), 0.0

    def product(self, gap=0.0, alone_seconds=3e-5, team_seconds=2e-5, flops=FLOPS):
        """Return whether the product had a team."""
        self.now += gap
        large = flops >= threads.SERIAL_FLOPS
        start = self.now
        team = self.row.is_awake(start) or large
        self.now += team_seconds if team else alone_seconds
        self.row.note(start, self.now, flops, 2 if team else 1, large)
        return team

    def products(self, n, **times):
        return [self.product(**times) for _ in range(n)]


def test_the_first_ones_of_a_row_are_done_by_one_thread():
    machine = Machine()
    assert machine.products(BURST + 5, gap=0.9 * CLOSE_SECONDS) == [False] * BURST + [True] * 5
    assert machine.product(gap=1.1 * CLOSE_SECONDS) is False
    assert machine.products(BURST) == [False] * (BURST - 1) + [True]


def test_products_that_are_not_close_never_have_a_team():
    assert not any(Machine().products(100, gap=1.1 * CLOSE_SECONDS))


def test_the_team_of_a_large_product_is_awake_for_the_next_one():
    """Once it is known what one thread needs."""
    machine = Machine()
    machine.product(flops=threads.SERIAL_FLOPS)
    assert machine.products(2) == [False, True]
    machine.product(flops=threads.SERIAL_FLOPS)
    assert machine.product(gap=2 * CLOSE_SECONDS) is False


def test_large_products_in_between_do_not_hide_that_the_team_is_slow():
    machine = Machine()
    teams = []
    for _ in range(100):
        machine.product(flops=threads.SERIAL_FLOPS, team_seconds=1e-3)
        teams.append(machine.product(team_seconds=1e-3))
    assert teams == [False, True, True] + [False] * 97


def test_waking_the_team_may_take_long_once():
    machine = Machine()
    machine.products(BURST)
    assert machine.product(team_seconds=1e-3) is True
    assert all(machine.products(1000))


def test_a_slow_team_is_left_alone_for_longer_each_time():
    machine, slow = Machine(), 3e-5 * SLOWER * 1.01
    pauses = []
    for with_team, group in itertools.groupby(machine.products(200_000, team_seconds=slow)):
        count = len(list(group))
        if with_team:
            assert count == 2
        else:
            pauses.append(count - BURST)
    expected = [0]
    while sum(expected) + expected[-1] * 4 < 200_000:
        expected.append(min(max(4 * expected[-1], SHORTEST_PAUSE), LONGEST_PAUSE))
    assert pauses[: len(expected) - 1] == expected[:-1]
    assert max(pauses) <= LONGEST_PAUSE
    assert len(pauses) > 4


def test_a_team_that_is_fast_again_is_kept():
    machine = Machine()
    machine.products(BURST + 2, team_seconds=1e-3)
    assert not any(machine.products(SHORTEST_PAUSE + BURST))
    assert all(machine.products(10))
    machine.products(2, team_seconds=1e-3)
    assert not any(machine.products(SHORTEST_PAUSE + BURST))  # not longer than the first time
    assert machine.product() is True


def test_work_that_is_awake_has_a_team_sooner():
    kernels.set_num_threads(4)
    assert [threads.team(flops) for flops in (3e6, 6e6, 12e6, 60e6)] == [1, 2, 4, 4]
    assert [threads.team(flops, awake=True) for flops in (1.9e6, 3e6, 6e6, 60e6)] == [1, 3, 2, 4]


class Recorder(Burst):
    """Takes the place of a Python thread's row, says that a team is awake, and writes down what it hears."""

    def __init__(self):
        super().__init__()
        self.starts, self.notes = [], []

    def is_awake(self, now):
        self.starts.append(now)
        return True

    def note(self, start, end, flops, team, large):
        self.notes.append((start, end, flops, team, large))


def test_matmul_asks_the_row_of_its_python_thread_and_tells_it_what_came(monkeypatch):
    row = Recorder()
    monkeypatch.setattr(burst._of_thread, "burst", row, raising=False)
    monkeypatch.setattr(threads, "team", lambda flops, awake: 2 if awake else 1)
    small, large = np.ones((128, 100), np.float32), np.ones((300, 100), np.float32)
    b = np.ones((100, 100), np.float32)
    kernels.matmul(small, b)
    kernels.matmul(large, np.ones((100, 120), np.float32))
    assert [note[2:] for note in row.notes] == [(2.56e6, 2, False), (7.2e6, 2, True)]
    assert [note[0] for note in row.notes] == row.starts
    assert all(start < end for start, end, *_ in row.notes)
    kernels.matmul(small, b, n_threads=2)  # a team that the caller chose
    kernels.matmul(small[:50], b)  # too little for any team
    worker = threading.Thread(target=kernels.matmul, args=(small, b))  # another row
    worker.start()
    worker.join()
    assert len(row.notes) == len(row.starts) == 2


@pytest.mark.parametrize("n", [100, 160])
def test_products_of_a_burst_have_the_bits_of_one_alone(n):
    """Of 2 to 6 MFLOP."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(128, n)), rng.normal(size=(n, 100))
    assert threads.AWAKE_SERIAL_FLOPS <= 2 * a.shape[0] * b.size < threads.SERIAL_FLOPS
    expected = kernels.matmul(a, b, n_threads=1)
    for limit in (1, 2, 3):
        kernels.set_num_threads(limit)
        for _ in range(50):
            np.testing.assert_array_equal(kernels.matmul(a, b), expected)
