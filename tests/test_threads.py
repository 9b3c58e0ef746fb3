"""How many threads and why; many threads of Python at once; forks."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import ELSEWHERE

from minidl import MLP, kernels
from minidl.errors import OptionError
from minidl.kernels import _leaf, threads, tuner

needs_openmp = pytest.mark.skipif(not _leaf.openmp_version(), reason="built without OpenMP")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

REPORT = "from minidl.kernels import threads; print(*threads.limit(), sep='|')"


def report(script=REPORT, **variables):
    """Run a script in a fresh process and return its output; None removes a variable."""
    env = {**os.environ, **{k: v for k, v in variables.items() if v is not None}}
    env = {k: v for k, v in env.items() if variables.get(k, "") is not None}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=ELSEWHERE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- the limit and its reason ---------------------------------------------------------------------


@needs_openmp
def test_the_user_decides():
    default = kernels.get_num_threads()
    assert default >= 1
    kernels.set_num_threads(3)
    assert kernels.get_num_threads() == 3
    assert threads.limit() == (3, "set_num_threads")
    for bad in (0, -1, 1.5, "2", True):
        with pytest.raises(OptionError, match=f"num_threads={bad!r}: expected an integer >= 1"):
            kernels.set_num_threads(bad)
    assert kernels.get_num_threads() == 3
    kernels.set_num_threads(np.int64(2))
    assert kernels.get_num_threads() == 2
    kernels.set_num_threads(None)
    assert kernels.get_num_threads() == default


@needs_openmp
def test_the_environment_decides():
    assert report(OMP_NUM_THREADS="3") == "3|OMP_NUM_THREADS"
    assert report(OMP_NUM_THREADS="1") == "1|OMP_NUM_THREADS"


@needs_openmp
@needs_linux
def test_affinity_decides():
    pinned = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);" + REPORT
    assert report(pinned, OMP_NUM_THREADS=None) == "1|CPUs available to this process"


@needs_openmp
def test_a_quota_lowers_but_never_raises(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_leaf, "openmp_limit", lambda: 8)
    for quota, expected in (
        (2, (2, "CPU quota of the container")),
        (8, (8, "CPUs available to this process")),
        (64, (8, "CPUs available to this process")),
        (None, (8, "CPUs available to this process")),
    ):
        monkeypatch.setattr(threads, "cpu_quota", lambda quota=quota: quota)
        assert threads.limit() == expected
    monkeypatch.setattr(threads, "cpu_quota", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert threads.limit() == (8, "OMP_NUM_THREADS")


def test_a_build_without_openmp_has_one_thread(monkeypatch):
    monkeypatch.setattr(_leaf, "openmp_version", lambda: 0)
    kernels.set_num_threads(4)
    assert threads.limit() == (1, "built without OpenMP")


# The files of a container, the quota in CPUs.
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
    "nonsense": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "many 0\n"}, None),
    "period zero": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100 0\n"}, None),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_quota_of_a_container(case, tmp_path, monkeypatch):
    files, expected = CGROUPS[case]
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    real = threads.Path
    monkeypatch.setattr(threads, "Path", lambda path: real(tmp_path, str(path).lstrip("/")))
    monkeypatch.setattr(threads, "_quota", None)
    assert threads.cpu_quota() == expected


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

    def choose(self, flops, limit=None):
        calls.append(flops)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, flops, limit)

    monkeypatch.setattr(tuner.TeamTuner, "choose", choose)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, batch_size=10, epochs=5, verbose=0)
    assert (net.training.epochs, net.training.steps) == (2, 10)


# --- threads of Python, processes -----------------------------------------------------------------


def test_eight_python_threads_predict_the_bits_of_one():
    net = MLP([20, 64, 64, 5], "gelu", seed=0)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(50 + 100 * i, 20)).astype(np.float32) for i in range(8)]
    expected = [net.predict(x).tobytes() for x in inputs]
    start, wrong = threading.Barrier(8), []

    def work(i):
        start.wait()
        for _ in range(30):
            if net.predict(inputs[i]).tobytes() != expected[i]:
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert len(set(expected)) == 8


FORK = """
import os, signal, sys, warnings
import numpy as np
from minidl import MLP
from minidl.kernels import threads
warnings.simplefilter("ignore")
net = MLP([64, 256, 10], seed=0)
X, y = np.ones((512, 64), np.float32), np.arange(512) % 10
net.fit(X, y, batch_size=256, n_threads={before}, verbose=0)
expected = net.predict(X, n_threads=1).tobytes()
pid = os.fork()
if pid == 0:
    signal.alarm(8)  # a deadlock ends as a failure
    print(*threads.limit(), sep="|", flush=True)
    right = net.predict(X{options}).tobytes() == expected
    net.fit(X, y, batch_size=256, verbose=0{options})
    os._exit(0 if right else 3)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
"""


@needs_openmp
@needs_linux
def test_a_forked_child_predicts_and_trains_on_one_thread():
    output = report(FORK.format(before=2, options=""), OMP_NUM_THREADS="2").splitlines()
    assert output == ["1|this process was forked from one that had used threads", "0"]


@needs_openmp
@needs_linux
def test_a_forked_child_is_safe_even_if_it_asks_for_threads():
    output = report(FORK.format(before=2, options=", n_threads=2"), OMP_NUM_THREADS="2").splitlines()
    assert output[-1] == "0"


@needs_openmp
@needs_linux
def test_a_child_of_a_process_without_teams_may_use_threads():
    output = report(FORK.format(before=1, options=", n_threads=2"), OMP_NUM_THREADS="2").splitlines()
    assert output == ["2|OMP_NUM_THREADS", "0"]


def test_a_second_thread_may_not_train_the_same_network():
    """The first thread waits inside its fit, in a callback, while the second one tries."""
    from minidl.callbacks import Callback

    X, y = np.zeros((8, 2), np.float32), np.arange(8) % 2
    net = MLP([2, 3, 2], seed=0)
    inside, go_on = threading.Event(), threading.Event()

    class Wait(Callback):
        def on_train_begin(self, net, run):
            inside.set()
            assert go_on.wait(30)

    first = threading.Thread(target=net.fit, args=(X, y), kwargs={"callbacks": Wait(), "verbose": 0})
    first.start()
    assert inside.wait(30)
    before = net.params.flat.copy()
    for train in (net.fit, net.train_step, net.partial_fit):
        with pytest.raises(RuntimeError, match="trained in another thread"):
            train(X, y)
    np.testing.assert_array_equal(net.params.flat, before)
    assert net.predict(X).shape == (8, 2)  # predicting is no training
    go_on.set()
    first.join(30)
    assert net.training.steps == 1
    net.train_step(X, y)  # free again
