"""What threads share of one network: the bound programs, and the right to change the parameters."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from minidl.engine.builder import Program
from minidl.engine.program import BoundProgram
from minidl.layers import cuts_columns
from minidl.lowering import Task, lower, updates_at_once

POOLED_PROGRAMS = 8  # kept per network


class ProgramPool:
    """The bound programs of a network, kept for the next call that asks for the same.

    Examples
    --------
    >>> net = minidl.MLP([4, 3], seed=0)
    >>> pool = ProgramPool()
    >>> with pool.borrow(net, Task("predict"), batch=8) as bound:
    ...     pool.latest("predict") is None  # it is out
    True
    >>> pool.latest("predict") is bound.program
    True
    """

    def __init__(self):
        self._entries: list[tuple[Task, BoundProgram]] = []

    @contextmanager
    def borrow(self, net, task: Task, batch: int) -> Iterator[BoundProgram]:
        """Lend a bound program for a task with at most so many rows; two threads never share one."""
        velocity = net.training.velocity.flat if task.velocity else None
        for entry in reversed(self._entries):
            known, bound = entry
            rows = bound.program.batch
            fits = known == task and batch <= rows <= 4 * batch
            fits = fits and (batch == rows or _choices(task, net, batch) == _choices(task, net, rows))
            if fits and bound.arenas["state"] is velocity and bound.is_current():
                try:
                    self._entries.remove(entry)
                except ValueError:  # another thread was faster
                    continue
                break
        else:
            program = lower(net.layers, net.n_inputs, net.params.layout, task, batch)
            bound = BoundProgram(program, net.params.flat, net.grads.flat, velocity)
        bound.batch = batch
        try:
            yield bound
        finally:
            self._entries.append((task, bound))
            del self._entries[:-POOLED_PROGRAMS]

    def latest(self, purpose: str) -> Program | None:
        """Return the program of that purpose that ran last, if it is here."""
        found = (bound.program for task, bound in reversed(self._entries) if task.purpose == purpose)
        return next(found, None)


def _choices(task: Task, net, batch: int) -> tuple[bool, bool]:
    """Return what a program does otherwise for another batch."""
    return cuts_columns(task.purpose, batch), updates_at_once(task, net.params.layout, batch)


class TrainingLock:
    """Keeps a second thread from changing the parameters at the same time.

    Examples
    --------
    >>> lock = TrainingLock()
    >>> with lock.held():
    ...     with lock.held():  # the same thread may
    ...         pass
    """

    def __init__(self):
        self._locks: dict[int, threading.RLock] = {}  # that of each process

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, or raise RuntimeError if another thread does."""
        # a thread that trained in the parent of a forked process is not there to release its lock
        lock = self._locks.setdefault(os.getpid(), threading.RLock())
        if not lock.acquire(blocking=False):
            raise RuntimeError(
                "this network is being trained in another thread. Threads may predict with one network "
                "at once; to train at once, give each its own (copy.deepcopy(net))."
            )
        try:
            yield
        finally:
            lock.release()
