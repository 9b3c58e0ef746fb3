"""The CPU quota of the container, from the control groups of Linux (versions 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(root: str | Path = "/") -> int | None:
    """Return the CPU quota of this process, rounded up to whole CPUs, or None if there is none.

    The tightest quota of the group and of the groups around it holds.

    Parameters
    ----------
    root : path
        Where /proc and /sys are looked for.

    Examples
    --------
    >>> cpu_quota("/nowhere") is None
    True
    """
    root = Path(root)
    quotas = [_ratio(words) for words in _limits(root)]
    return min((q for q in quotas if q is not None), default=None)


def _limits(root: Path) -> Iterator[list[str]]:
    """Yield quota and period, as words, of every group that this process is in."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":  # version 2, alone or beside version 1
            for group in _upwards(path):
                for mount in (mounts, mounts / "unified"):
                    yield _read(mount / group / "cpu.max").split()
        elif "cpu" in controllers.split(","):
            for group in _upwards(path):
                for mount in (mounts / "cpu", mounts / controllers):
                    quota, period = (_read(mount / group / f"cpu.cfs_{x}_us") for x in ("quota", "period"))
                    yield [*quota.split(), *period.split()]


def _upwards(path: str) -> Iterator[PurePosixPath]:
    """Yield a group and the groups around it; the last one is what the mount itself shows.

    Inside a container the path may be that of the host, of which only the mount is there.
    """
    group = PurePosixPath(path.lstrip("/"))
    yield group
    yield from group.parents


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):  # not there, not for us, or no text
        return ""


def _ratio(words: list[str]) -> int | None:
    """Quota and period in microseconds to CPUs; "max" or -1 mean no quota."""
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return max(1, math.ceil(quota / period)) if quota > 0 and period > 0 else None
