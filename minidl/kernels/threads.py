"""How many threads, and why.

The limit is the smallest of: what the user set, what OpenMP would use (``OMP_NUM_THREADS``, or the CPUs
this process may run on), and the CPU quota of the container. A process that was forked from one that
had already used threads runs with one: the OpenMP runtime of GCC deadlocks in such a child.

Small work runs on one thread and never touches OpenMP; the results do not depend on the number.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from minidl.errors import out_of_range
from minidl.kernels import _leaf

# Work below which a team does not pay: about 60 microseconds on one core. Opening a team costs about a
# microsecond, but a member that is not scheduled, because another process has its core, costs milliseconds.
SERIAL_FLOPS = 6e6

_user_limit: int | None = None
_forked_after_use = False
_used_team = False


def set_num_threads(n: int | None) -> None:
    """Set the most threads that training, prediction and kernels may use.

    Parameters
    ----------
    n : int or None
        At least 1. None returns to the default: OMP_NUM_THREADS if set, else the CPUs this process may
        use, with the quota of the container respected.

    Raises
    ------
    OptionError
        If n is not an integer >= 1.

    Examples
    --------
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(None)
    """
    global _user_limit
    _user_limit = None if n is None else check("num_threads", n)


def check(argument: str, n: int) -> int:
    """Return n as an int, or raise OptionError unless it is an integer >= 1."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or int(n) < 1:
        raise out_of_range(argument, n, "an integer >= 1")
    return int(n)


def explicit_team(n: int) -> int:
    """Return the team that a caller asked a kernel for by ``n_threads=``."""
    n = check("n_threads", n)
    if _forked_after_use:
        return 1
    note_team(n)
    return n


def get_num_threads() -> int:
    """Return the most threads that training, prediction and kernels may use.

    Examples
    --------
    >>> get_num_threads() >= 1
    True
    """
    return limit()[0]


def limit() -> tuple[int, str]:
    """Return the thread limit and the reason for it."""
    if not _leaf.openmp_version():
        return 1, "built without OpenMP"
    if _forked_after_use:
        return 1, "this process was forked from one that had used threads"
    if _user_limit is not None:
        return _user_limit, "set_num_threads"
    from_openmp = _leaf.openmp_limit()
    quota = cpu_quota()
    if quota is not None and quota < from_openmp and "OMP_NUM_THREADS" not in os.environ:
        return quota, "CPU quota of the container"
    if "OMP_NUM_THREADS" in os.environ:
        return from_openmp, "OMP_NUM_THREADS"
    return from_openmp, "CPUs available to this process"


def team(flops: float) -> int:
    """Return the number of threads for work of so many floating-point operations."""
    if flops < SERIAL_FLOPS:
        return 1
    # every member should have enough work to be worth waking
    n = max(1, min(limit()[0], int(flops / (SERIAL_FLOPS / 2))))
    note_team(n)
    return n


def note_team(n: int) -> None:
    """Remember that this process has used a team, for the fork guard."""
    global _used_team
    _used_team = _used_team or n > 1


_quota: tuple[int | None] | None = None


def cpu_quota() -> int | None:
    """Return the CPU quota of the control group, rounded up, or None if there is none (Linux)."""
    global _quota
    if _quota is None:
        _quota = (_read_quota(),)
    return _quota[0]


def _read_quota() -> int | None:
    root = Path("/sys/fs/cgroup")
    try:
        membership = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in membership:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: the tightest of this group and its parents holds
            folder = root / path.lstrip("/")
            while True:
                quotas.append(_ratio(_read_words(folder / "cpu.max")))
                if folder == root or root not in folder.parents:
                    break
                folder = folder.parent
        elif "cpu" in controllers.split(","):
            for folder in (root / "cpu" / path.lstrip("/"), root / "cpu"):
                quotas.append(
                    _ratio(
                        _read_words(folder / "cpu.cfs_quota_us") + _read_words(folder / "cpu.cfs_period_us")
                    )
                )
    found = [q for q in quotas if q is not None]
    return min(found) if found else None


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _ratio(words: list[str]) -> int | None:
    """Quota and period in microseconds to CPUs; "max" or -1 mean no quota."""
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return max(1, math.ceil(quota / period)) if quota > 0 and period > 0 else None


def _after_fork() -> None:
    global _forked_after_use, _quota
    _forked_after_use = _used_team
    _quota = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
