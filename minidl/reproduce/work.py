"""The jobs of a reproduction: each is computed once, kept in one file, and run beside others."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from minidl.bench import write_json
from minidl.errors import OptionError
from minidl.jobs import each

__all__ = ["Cache", "Job", "complete"]

RECIPE = 1  # raise it when a change makes finished results of a job those of another experiment


class Job(Protocol):
    """A frozen dataclass of plain values that says all about a piece of work, and does it."""

    @property
    def work(self) -> float:
        """About how long it takes, in any unit: the longest are started first."""

    def measure(self) -> dict:
        """Do the work; plain data with "seconds", the time of one core."""


class Cache:
    """Results of finished jobs in a JSON file, which is replaced as a whole after each job.

    Parameters
    ----------
    path : path-like, optional
        None: nothing is kept.

    Raises
    ------
    OptionError
        The file is there and is no such cache: it is left alone.

    Examples
    --------
    >>> from minidl.reproduce.training import Training
    >>> cache, job = Cache(None), Training("tanh", "standard", 4, 1, lr=0.1, seed=0, updates=2, look=1)
    >>> cache.put(job, {"error": 0.5})
    >>> cache.get(job), cache.get(dataclasses.replace(job, seed=1))
    ({'error': 0.5}, None)
    """

    def __init__(self, path=None):
        self.path = None if path is None else Path(path)
        self.results: dict[str, dict] = {}
        if self.path is None or not self.path.exists():
            return
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            self.results = dict(stored["minidl reproduce"])
        except (OSError, ValueError, TypeError, KeyError):
            raise OptionError(
                f"{self.path}: is no cache of minidl reproduce. Name another file, or delete this one."
            ) from None

    @staticmethod
    def key(job: Job) -> str:
        """Return what a result is kept under: everything that decides it."""
        return json.dumps([RECIPE, type(job).__name__, dataclasses.asdict(job)], sort_keys=True)

    def get(self, job: Job) -> dict | None:
        """Return the result of a job, or None if it is not finished."""
        return self.results.get(self.key(job))

    def put(self, job: Job, result: dict) -> None:
        """Keep a result; a reader of the file sees all of it or nothing."""
        self.results[self.key(job)] = result
        if self.path is not None:
            write_json(str(self.path), {"minidl reproduce": self.results})


def complete(
    jobs: Iterable[Job],
    cache: Cache | None = None,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Job, dict]:
    """Do the jobs that the cache does not know, and return the results of all.

    Parameters
    ----------
    jobs : iterable of Job
    cache : Cache, optional
        After an interruption the same call goes on where it stopped.
    processes : int
        Each of one thread.
    progress : callable, optional
        Called with the numbers of finished and of all jobs.

    Returns
    -------
    dict
        Job -> result, in the order of the jobs.

    Examples
    --------
    >>> from minidl.reproduce.training import Training
    >>> job = Training("tanh", "standard", 4, 1, lr=0.1, seed=0, updates=2, look=1)
    >>> sorted(complete([job])[job])
    ['diverged', 'error', 'losses', 'means', 'seconds', 'updates', 'validation_error', 'validation_loss']
    """
    jobs = list(dict.fromkeys(jobs))
    cache = Cache() if cache is None else cache
    waiting = sorted((job for job in jobs if cache.get(job) is None), key=lambda job: -job.work)
    done = len(jobs) - len(waiting)
    with closing(each(_measure, waiting, processes)) as finished:
        for job, result in finished:
            cache.put(job, result)
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    return {job: cache.get(job) for job in jobs}


def _measure(job: Job) -> dict:
    return job.measure()
