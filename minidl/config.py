"""What this installation is and what it uses: the text to paste into a bug report."""

from __future__ import annotations

import platform
import sys

import numpy as np

from minidl.kernels import _leaf, packing, threads
from minidl.version import __version__


def config() -> dict[str, object]:
    """Return the facts that :func:`show_config` prints.

    Examples
    --------
    >>> sorted(config())[:3]
    ['compiler', 'cpu', 'isa']
    """
    n_threads, reason = threads.limit()
    openmp = _leaf.openmp_version()
    deviations = ", ".join(_leaf.deviations())
    return {
        "minidl": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "cpu": _cpu_name(),
        "isa": _leaf.isa(),
        "isa available": ", ".join(_leaf.available_isa()),
        "numerics": f"{deviations}: bits differ from minidl-num-1" if deviations else "minidl-num-1",
        "packing": packing.packing(),
        "threads": f"{n_threads} ({reason})",
        "openmp": f"yes ({openmp})" if openmp else "no: built for one thread",
        "compiler": _leaf.compiler(),
    }


def show_config() -> None:
    """Print version, instruction set level, threads and the reason for them, and the compiler.

    Examples
    --------
    >>> show_config()  # doctest: +ELLIPSIS
    minidl         ...
    """
    for name, value in config().items():
        print(f"{name:<14} {value}")


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
