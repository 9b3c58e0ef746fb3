"""What all benchmarks share: the profile, the CPUs, the nets, fixed data.

Data may be added, but never changed: results of all commits belong to the same work.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import time
from pathlib import Path

import minidl

BENCHMARKS = Path(__file__).resolve().parents[1]
PROFILES = ("quick", "regular", "full")


def read_profile() -> str:
    """Return the profile that MINIDL_BENCH_PROFILE names; quick if it is not set."""
    name = os.environ.get("MINIDL_BENCH_PROFILE") or "quick"
    if name not in PROFILES:
        raise ValueError(f"MINIDL_BENCH_PROFILE={name!r}: expected one of {', '.join(PROFILES)}.")
    return name


PROFILE = read_profile()


def choose(quick, regular, full):
    """Return the value for the profile of this run."""
    return {"quick": quick, "regular": regular, "full": full}[PROFILE]


def n_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


THREADS = choose((1,), (1, 2), (1, 2, 4, 8, 16))


_team = 1  # threads of the benchmark in this process: each has a process of its own


def use_threads(n_threads: int) -> None:
    """Say how many threads a benchmark uses; skip it if there are not as many CPUs."""
    global _team
    if n_threads > n_cpus():
        raise NotImplementedError(f"{n_threads} threads on {n_cpus()} CPUs")
    _team = n_threads


def clock() -> float:
    """Return the seconds by which a benchmark is timed.

    With one thread, the time that the processor spent on it: others may take the processor away, but that is
    no change of ours. A team is timed by the clock on the wall.
    """
    return time.process_time() if _team == 1 else time.perf_counter()


def _load_nets():
    """Load the nets that are also compared with other libraries, benchmarks/peers/nets.py."""
    name = "minidl_benchmark_nets"
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / "peers" / "nets.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_nets = _load_nets()
NETS = _nets.NETS
NET_NAMES = choose(_nets.QUICK, tuple(NETS), tuple(NETS))

# A step so small that the weights stay what they are, however often it is made.
LR, MOMENTUM = 1e-6, 0.9


def make_net(name: str):
    """Return the minidl network of a name, and an optimizer for it."""
    net = NETS[name]
    return minidl.MLP(net.sizes, net.activation, seed=0), minidl.SGD(lr=LR, momentum=MOMENTUM)


def code_digest() -> str:
    """Return a short digest of the installed package: of its Python files and compiled modules."""
    folder = Path(minidl.__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".so", ".pyd"):
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
