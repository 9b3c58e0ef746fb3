"""What every reproduction is: a paper, a few sizes, a run that gives a report, and pictures."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from minidl.errors import unknown_name
from minidl.options import count
from minidl.reproduce.report import Report
from minidl.reproduce.work import Cache

__all__ = ["Reproduction"]


class Reproduction(ABC):
    """One paper's table. A subclass has the four class attributes, ``measure`` and ``pictures``.

    Attributes
    ----------
    name : str
        On the command line.
    paper : str
        Authors, year, title.
    description : str
        What is reproduced, in a line.
    profiles : mapping of str to dataclass
        Sizes of the experiment by name, each with ``seeds`` (trainings of each configuration) and ``cost``
        (a few words).

    Examples
    --------
    >>> from minidl.reproduce import Glorot2010
    >>> sorted(Glorot2010.profiles)
    ['full', 'quick']
    >>> Glorot2010().profile("ful")
    Traceback (most recent call last):
    minidl.errors.OptionError: profile='ful' is unknown. Did you mean 'full'? Known: full, quick.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    description: ClassVar[str]
    profiles: ClassVar[Mapping[str, object]]

    def profile(self, name: str, seeds: int | None = None):
        """Return a profile by its name, with another number of seeds if one is given.

        Raises
        ------
        OptionError
            For a name that is not known, or a number below 1.
        """
        if name not in self.profiles:
            raise unknown_name("profile", name, self.profiles)
        profile = self.profiles[name]
        return profile if seeds is None else dataclasses.replace(profile, seeds=count("seeds", seeds, 1))

    def run(
        self,
        profile: str = "quick",
        seeds: int | None = None,
        *,
        processes: int = 1,
        cache: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
        """Do what is not in the cache, and return the report.

        Parameters
        ----------
        profile : str
            A name of ``profiles``.
        seeds : int, optional
            Trainings of each configuration; default: as the profile says.
        processes : int
            Jobs at once, of one thread each.
        cache : path-like, optional
            A file for the results of finished jobs: an interrupted run goes on from it.
        progress : callable, optional
            Called with the numbers of finished and of all jobs of the stage.

        Raises
        ------
        OptionError
            For an unknown profile, a number below 1, or a file that is no cache, before any work.
        """
        return self.measure(
            self.profile(profile, seeds), profile, count("processes", processes, 1), Cache(cache), progress
        )

    @abstractmethod
    def measure(self, profile, label: str, processes: int, cache: Cache, progress) -> Report:
        """Run a profile, known to the reader by its label."""

    @abstractmethod
    def pictures(self) -> Mapping[str, Callable]:
        """Return the pictures by name: functions of a matplotlib figure and the data of a report."""
