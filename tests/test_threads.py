"""How many threads, and why."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import needs_linux, needs_openmp, python

from minidl import MLP, kernels
from minidl.errors import OptionError
from minidl.kernels import _leaf, cgroup, threads, tuner

REPORT = "from minidl.kernels import threads; print(*threads.limit(), sep='|')"


def report(script=REPORT, **variables):
    """Return what a fresh process says of its limit, by default without variables of OpenMP."""
    return python(
        "-c", script, **{"OMP_NUM_THREADS": None, "OMP_THREAD_LIMIT": None, **variables}
    ).stdout.strip()


# --- the limit and its reason ---------------------------------------------------------------------


@needs_openmp
def test_the_user_decides():
    default = kernels.get_num_threads()
    assert default >= 1
    kernels.set_num_threads(3)
    assert kernels.get_num_threads() == 3
    assert threads.limit() == (3, "set_num_threads")
    for bad in (0, -1, 1025, 10**9, 1.5, "2", True):
        with pytest.raises(OptionError, match=f"num_threads={bad!r}: expected an integer from 1 to 1024"):
            kernels.set_num_threads(bad)
    assert kernels.get_num_threads() == 3
    kernels.set_num_threads(np.int64(2))
    assert kernels.get_num_threads() == 2
    kernels.set_num_threads(None)
    assert kernels.get_num_threads() == default


@needs_openmp
def test_the_environment_decides():
    for value, expected in (("1", 1), ("2", 2), ("64", 64), (" 3", 3), ("2,4", 2)):
        assert report(OMP_NUM_THREADS=value) == f"{expected}|OMP_NUM_THREADS"


@needs_openmp
@pytest.mark.skipif("Clang" in _leaf.compiler(), reason="LLVM's runtime makes a random number of it, or ends")
@pytest.mark.parametrize("value", ["abc", "0", "-2", "", "2;4", "1e3", ","])
def test_what_openmp_does_not_take_decides_nothing(value):
    """OpenMP itself says so on stderr. A quota holds as if the variable were not set."""
    assert report(OMP_NUM_THREADS=value) == report()
    script = "from minidl.kernels import threads; threads.cpu_quota = lambda: 1;" + REPORT
    if len(os.sched_getaffinity(0) if sys.platform == "linux" else ()) > 1:
        assert report(script, OMP_NUM_THREADS=value) == "1|CPU quota of the container"


@needs_openmp
def test_the_limit_of_openmp_bounds_all():
    assert report(OMP_NUM_THREADS="5", OMP_THREAD_LIMIT="3") == "3|OMP_THREAD_LIMIT"
    assert report(OMP_NUM_THREADS="2", OMP_THREAD_LIMIT="3") == "2|OMP_NUM_THREADS"
    user = "from minidl import kernels; kernels.set_num_threads(8);" + REPORT
    assert report(user, OMP_THREAD_LIMIT="3") == "3|OMP_THREAD_LIMIT"
    asked = (
        "import numpy as np; from minidl import MLP; net = MLP([4, 3], seed=0);"
        "net.fit(np.ones((8, 4)), np.arange(8) % 3, n_threads=8, verbose=0); print(net.program.n_threads)"
    )
    assert report(asked, OMP_THREAD_LIMIT="3") == "3"


@needs_openmp
def test_other_libraries_may_lower_the_default(monkeypatch):
    """As threadpoolctl and torch.set_num_threads do where they share the OpenMP runtime."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    monkeypatch.setattr(threads, "_set_by_environment", False)
    before = threads.limit()
    with threadpoolctl.threadpool_limits(1, user_api="openmp"):
        assert kernels.get_num_threads() == 1
        kernels.set_num_threads(2)
        assert threads.limit() == (2, "set_num_threads")
        kernels.set_num_threads(None)
    assert threads.limit() == before


@needs_openmp
@needs_linux
def test_affinity_decides():
    """Narrowed before the start or after the import."""
    one = f"import os; os.sched_setaffinity(0, [{min(os.sched_getaffinity(0))}]);"
    assert report(one + REPORT) == "1|CPUs available to this process"
    assert report("from minidl.kernels import threads;" + one + REPORT) == "1|CPUs available to this process"
    assert report(one + REPORT, OMP_NUM_THREADS="2") == "2|OMP_NUM_THREADS"


@needs_openmp
def test_a_quota_lowers_but_never_raises(monkeypatch):
    monkeypatch.setattr(threads, "_set_by_environment", False)
    monkeypatch.setattr(_leaf, "openmp_max_threads", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    for quota, expected in (
        (2, (2, "CPU quota of the container")),
        (8, (8, "CPUs available to this process")),
        (64, (8, "CPUs available to this process")),
        (None, (8, "CPUs available to this process")),
    ):
        monkeypatch.setattr(threads, "cpu_quota", lambda quota=quota: quota)
        assert threads.limit() == expected
    monkeypatch.setattr(threads, "cpu_quota", lambda: 2)
    monkeypatch.setattr(threads, "_set_by_environment", True)
    assert threads.limit() == (8, "OMP_NUM_THREADS")


def test_a_build_without_openmp_has_one_thread(monkeypatch):
    monkeypatch.setattr(_leaf, "openmp_version", lambda: 0)
    kernels.set_num_threads(4)
    assert threads.limit() == (1, "built without OpenMP")


# The files of a container (None: a folder, which cannot be read), the quota in CPUs.
CGROUPS = {
    "none": ({}, None),
    "v2 without limit": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "v2": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    "v2 rounds up": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
    "v2 below one": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
    "v2 parent is tighter": (
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "sys/fs/cgroup/pod/app/cpu.max": "800000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
        3,
    ),
    "v2 child is tighter": (
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "sys/fs/cgroup/pod/app/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
        },
        2,
    ),
    "v1": (
        {
            "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/x\n",
            "sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "v1 in a namespace": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/x\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n",
        },
        5,
    ),
    "v1 without limit": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "cpuset is not cpu": (
        {
            "proc/self/cgroup": "4:cpuset:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "v1 parent is tighter": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/pod/app\n",
            "sys/fs/cgroup/cpu/pod/app/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/pod/app/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu/pod/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/pod/cpu.cfs_period_us": "100000\n",
        },
        3,
    ),
    "v1 mounted by its full name": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/x\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "v2 beside v1": (
        {
            "proc/self/cgroup": "1:cpuset:/\n0::/x\n",
            "sys/fs/cgroup/unified/x/cpu.max": "400000 100000\n",
        },
        4,
    ),
    "v2 below the namespace": (
        {"proc/self/cgroup": "0::/../../app\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
        2,
    ),
    "v2 group unreadable": (
        {
            "proc/self/cgroup": "0::/pod/app\n",
            "sys/fs/cgroup/pod/app/cpu.max": None,
            "sys/fs/cgroup/pod/cpu.max": "200000 100000\n",
        },
        2,
    ),
    "membership unreadable": (
        {"proc/self/cgroup": None, "sys/fs/cgroup/cpu.max": "200000 100000\n"},
        None,
    ),
    "membership malformed": (
        {"proc/self/cgroup": "\n0\n:\n4:cpu\n", "sys/fs/cgroup/x": "100\n"},
        None,
    ),
    "no text": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": b"\xff\xfe 1"}, None),
    "v1 without period": (
        {"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n"},
        None,
    ),
    "nonsense": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "many 0\n"}, None),
    "period zero": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100 0\n"}, None),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_quota_of_a_container(case, tmp_path):
    files, expected = CGROUPS[case]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()  # what stands there cannot be read
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content)
    assert cgroup.cpu_quota(tmp_path) == expected


@pytest.fixture
def group_of_one_cpu():
    """A real control group with a quota of one CPU, version 1 or 2, where the system lets us make one."""
    mounts = Path("/sys/fs/cgroup")
    quotas = {mounts / "cpu": ("cpu.cfs_quota_us", "100000"), mounts: ("cpu.max", "100000 100000")}
    for mount, (name, quota) in quotas.items():
        group = mount / f"minidl-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / name).write_text(quota)
            yield group
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here")


@needs_openmp
@needs_linux
def test_quota_of_a_real_control_group(group_of_one_cpu):
    if threads.limit()[0] < 2:
        pytest.skip("needs two CPUs")
    enter = ("sh", "-c", f'echo $$ > {group_of_one_cpu}/cgroup.procs && exec "$@"', "sh")
    unset = {"OMP_NUM_THREADS": None, "OMP_THREAD_LIMIT": None}
    inside = python("-c", REPORT, prefix=enter, **unset)
    assert inside.stdout == "1|CPU quota of the container\n"
    asked = python("-c", REPORT, prefix=enter, **{**unset, "OMP_NUM_THREADS": "2"})
    assert asked.stdout == "2|OMP_NUM_THREADS\n"


@needs_openmp
def test_small_work_runs_on_one_thread():
    kernels.set_num_threads(4)
    assert [threads.team(flops) for flops in (0, 1e3, 1e6)] == [1, 1, 1]
    sizes = [threads.team(10.0**power) for power in range(12)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 4
    kernels.set_num_threads(1)
    assert threads.team(1e12) == 1


@needs_openmp
def test_the_program_says_how_many_threads_it_used():
    net = MLP([64, 256, 256, 10], seed=0)
    X, y = np.ones((256, 64), np.float32), np.arange(256) % 10
    kernels.set_num_threads(2)
    net.fit(X, y, batch_size=256, verbose=0)
    assert net.program.n_threads == 2
    net.fit(X[:2], y[:2], batch_size=2, verbose=0)
    assert net.program.n_threads == 1
    net.fit(X[:2], y[:2], batch_size=2, verbose=0, n_threads=3)
    assert net.program.n_threads == 3


def test_an_interruption_outside_a_step_counts_no_steps(monkeypatch):
    """A signal may arrive while the size of the team is looked up, before the first step of an epoch."""
    net = MLP([4, 8, 3], seed=0)
    X, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 3
    real, calls = tuner.TeamTuner.choose, []

    def choose(self, flops, **options):
        calls.append(flops)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, flops, **options)

    monkeypatch.setattr(tuner.TeamTuner, "choose", choose)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, batch_size=10, epochs=5, verbose=0)
    assert (net.training.epochs, net.training.steps) == (2, 10)
