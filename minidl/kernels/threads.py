"""How many threads, and why.

The limit is what the user set with :func:`set_num_threads`; else ``OMP_NUM_THREADS``; else the smallest
of the CPUs this process may run on now, what OpenMP would use, and the CPU quota of the container.
``OMP_THREAD_LIMIT`` bounds all of them.

Small work runs on one thread and never touches OpenMP; the results do not depend on the number.
"""

from __future__ import annotations

import functools
import os

from minidl.errors import out_of_range
from minidl.kernels import _leaf, cgroup

# Work below which a team that sleeps does not pay: about 60 microseconds on one core. To wake a thread takes
# longer, and a member that is not scheduled, because another process has its core, costs milliseconds.
SERIAL_FLOPS = 6e6

# Work below which a team that is awake does not pay: about 20 microseconds. A thread of OpenMP waits some
# milliseconds for its next work before it sleeps; meanwhile a team costs about a microsecond.
AWAKE_SERIAL_FLOPS = 2e6

# The runtimes of OpenMP end the process when they cannot start a thread; this many can be started.
MOST_THREADS = 1024

_user_limit: int | None = None


def set_num_threads(n: int | None) -> None:
    """Set the most threads that training, prediction and kernels may use.

    Parameters
    ----------
    n : int or None
        1 to 1024. None returns to the default: OMP_NUM_THREADS if set, else the CPUs this process may
        use, with the quota of the container respected.

    Raises
    ------
    OptionError
        If n is not an integer in that range.

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
    """Return n as an int, or raise OptionError unless it is an integer from 1 to MOST_THREADS."""
    if isinstance(n, bool) or not hasattr(n, "__index__") or not 1 <= int(n) <= MOST_THREADS:
        raise out_of_range(argument, n, f"an integer from 1 to {MOST_THREADS}")
    return int(n)


def explicit_team(n: int) -> int:
    """Return the team that a caller asked a kernel for by ``n_threads=``."""
    n = check("n_threads", n)
    return min(n, _leaf.openmp_thread_limit()) if _may_use_threads else 1


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
    if not _may_use_threads:
        return 1, "forked while OpenMP threads were waiting"
    n, reason = _wanted()
    most = _leaf.openmp_thread_limit()
    return (n, reason) if n <= most else (most, "OMP_THREAD_LIMIT")


def _wanted() -> tuple[int, str]:
    if _user_limit is not None:
        return _user_limit, "set_num_threads"
    openmp = _leaf.openmp_max_threads()
    if _set_by_environment:
        return openmp, "OMP_NUM_THREADS"
    n, reason = _affinity(), "CPUs available to this process"
    if n is None or openmp < n:
        n, reason = openmp, "omp_set_num_threads"  # as threadpoolctl and PyTorch call it
    quota = cpu_quota()
    return (n, reason) if quota is None or quota >= n else (quota, "CPU quota of the container")


def team(flops: float, awake: bool = False) -> int:
    """Return the number of threads for work of so many operations; less deserves a team that is awake."""
    serial = AWAKE_SERIAL_FLOPS if awake and flops < SERIAL_FLOPS else SERIAL_FLOPS
    if flops < serial:
        return 1
    # every member should have enough work to be worth calling
    return max(1, min(limit()[0], int(flops / (serial / 2))))


# --- facts about the process ----------------------------------------------------------------------

# Since a control group rarely changes and reading it costs a dozen microseconds, it is read once per process.
cpu_quota = functools.cache(cgroup.cpu_quota)


def _affinity() -> int | None:
    """Return the number of CPUs that this thread may run on now, or None where that is not known."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _omp_num_threads() -> bool:
    """Return True if OMP_NUM_THREADS is set to what OpenMP takes: "4", or "4,2" for nested regions."""
    words = os.environ.get("OMP_NUM_THREADS", "").split(",")
    return all(word.strip().isdecimal() and int(word) > 0 for word in words)


_set_by_environment = _omp_num_threads()  # now: OpenMP, too, looks at the environment once


# --- fork -----------------------------------------------------------------------------------------

# The OpenMP runtime of GCC waits forever for its threads in a child that was forked from a thread which
# had used some, whoever used them: PyTorch may share the runtime. So a thread gives them up before it
# forks. Where that fails, the child runs on one thread.
_paused = False
_may_use_threads = True


def _before_fork() -> None:
    global _paused
    _paused = _leaf.openmp_pause()


def _after_fork_in_parent() -> None:
    global _paused
    _paused = False


def _after_fork_in_child() -> None:
    global _paused, _may_use_threads
    _may_use_threads, _paused = _paused, False  # not paused: forked by other means than os.fork
    cpu_quota.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
