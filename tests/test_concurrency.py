"""Several threads of Python at once, forks, other thread pools: the same bits, and an end."""

import importlib.util
import sys
import threading
import time

import numpy as np
import pytest
from golden import BATCH, GOLDEN, GOLDEN_WIDE, digest, trained, trained_wide
from helpers import needs_fused, needs_linux, needs_openmp, python

from minidl import MLP, SGD, kernels

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")


def at_once(*functions):
    """Call each function in a thread of its own, all at the same time; return the results or raise."""
    start, results, errors = threading.Barrier(len(functions)), [None] * len(functions), []

    def work(i, function):
        try:
            start.wait(30)
            results[i] = function()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=job, daemon=True) for job in enumerate(functions)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert not worker.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return results


# --- threads of Python -----------------------------------------------------------------------------


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


@needs_fused
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_networks_trained_at_once_have_the_bits_of_one_trained_alone(n_threads):
    """Four trainings, each with a team of its own, and predictions and products between them."""
    net = MLP([20, 64, 5], "gelu", seed=0)
    X = np.random.default_rng(0).normal(size=(700, 20)).astype(np.float32)
    expected = net.predict(X, n_threads=1).tobytes()
    plain = kernels.matmul(X.T, X, n_threads=1).tobytes()

    def predictions():
        return {net.predict(X, n_threads=n_threads).tobytes() for _ in range(60)}

    def products():
        return {kernels.matmul(X.T, X, n_threads=n_threads).tobytes() for _ in range(60)}

    narrow, wide, again, double, predicted, multiplied = at_once(
        lambda: digest(trained("float32", BATCH, n_threads)),
        lambda: digest(trained_wide("float32", n_threads)),
        lambda: digest(trained("float32", BATCH, n_threads)),
        lambda: digest(trained("float64", BATCH, n_threads)),
        predictions,
        products,
    )
    assert narrow == again == GOLDEN["float32"]
    assert (wide, double) == (GOLDEN_WIDE["float32"], GOLDEN["float64"])
    assert predicted == {expected}
    assert multiplied == {plain}


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


@pytest.mark.parametrize("n_threads", [1, 2])
def test_other_threads_go_on_while_a_kernel_runs(n_threads):
    """The interpreter may not take the GIL from a thread here: it has to give it back by itself."""
    a = np.ones((400, 400), np.float32)
    net = MLP([400, 400, 10], seed=0)
    y = np.arange(400) % 10
    net.fit(a, y, batch_size=400, verbose=0)
    calls = {
        "matmul": lambda: kernels.matmul(a, a, n_threads=n_threads),
        "activation": lambda: kernels.activation("tanh", a, n_threads=n_threads),
        "predict": lambda: net.predict(a, n_threads=n_threads),
        "train_step": lambda: net.train_step(a, y, n_threads=n_threads),
    }
    ticks, stop = [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0)  # gives the GIL to whoever waits for it

    other = threading.Thread(target=tick, daemon=True)
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(60)
        other.start()
        for name, call in calls.items():
            before, deadline = ticks[0], time.monotonic() + 30
            while ticks[0] == before and time.monotonic() < deadline:
                call()
            assert ticks[0] > before, name
    finally:
        stop.set()
        sys.setswitchinterval(interval)
    other.join(60)


@needs_linux
@pytest.mark.parametrize("n_threads", [1, 2])
def test_python_may_end_while_a_daemon_trains(n_threads):
    script = """
import sys, threading, numpy as np
from minidl import MLP
from minidl.callbacks import Callback
inside = threading.Event()
class Tell(Callback):
    def on_epoch_end(self, net, row):
        inside.set()
def train():
    X, y = np.ones((600, 100), np.float32), np.arange(600) % 10
    options = dict(callbacks=Tell(), batch_size=200, verbose=0, n_threads=int(sys.argv[1]))
    MLP([100, 200, 10], seed=0).fit(X, y, epochs=10**6, **options)
threading.Thread(target=train, daemon=True).start()
assert inside.wait(60)
print("end")
"""
    for _ in range(5):
        done = python("-c", script, n_threads)
        assert (done.stdout, done.stderr) == ("end\n", "")


# --- the team --------------------------------------------------------------------------------------


@needs_fused
@needs_openmp
@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_DYNAMIC": "true"},  # OpenMP may give fewer threads than asked for
        {"OMP_THREAD_LIMIT": "2"},
        {"OMP_MAX_ACTIVE_LEVELS": "0"},
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "64"},
        {"OMP_WAIT_POLICY": "active"},
        {"OMP_WAIT_POLICY": "passive", "OMP_PROC_BIND": "true"},
    ],
    ids=lambda variables: " ".join(f"{name}={value}" for name, value in variables.items()),
)
def test_a_team_of_another_size_than_asked_for(variables):
    script = """
import golden
for n_threads in (2, 5):
    print(golden.digest(golden.trained("float32", golden.BATCH, n_threads)))
    print(golden.digest(golden.trained_wide("float64", n_threads)))
"""
    output = python("-c", script, **variables).stdout.split()
    assert output == [GOLDEN["float32"], GOLDEN_WIDE["float64"]] * 2


@needs_fused
def test_many_more_threads_than_cpus():
    assert digest(trained("float32", BATCH, 64)) == GOLDEN["float32"]


@needs_openmp
def test_the_limit_may_change_between_runs():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(512, 64)).astype(np.float32), rng.integers(0, 10, 512)
    optimizer = SGD(lr=0.05, momentum=0.9)
    once, often = MLP([64, 256, 256, 10], seed=0), MLP([64, 256, 256, 10], seed=0)
    once.fit(X, y, optimizer=optimizer, batch_size=256, epochs=6, verbose=0, n_threads=1)
    for n_threads in (4, 1, 3, 2, 5, 1):
        kernels.set_num_threads(n_threads)
        often.partial_fit(X, y, optimizer=optimizer, batch_size=256)
        assert often.program.n_threads <= n_threads
        assert often.predict(X).tobytes() == often.predict(X, n_threads=1).tobytes()
    assert once.params.flat.tobytes() == often.params.flat.tobytes()


# --- forks -----------------------------------------------------------------------------------------

# The beginning of every script: in the child an alarm ends what hangs.
FORK = """
import os, signal, sys, threading, warnings
import numpy as np
import golden
from minidl import MLP, kernels
from minidl.kernels import threads
warnings.simplefilter("ignore")

def team():
    return golden.digest(golden.trained("float32", golden.BATCH, 2)) == golden.GOLDEN["float32"]

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        os._exit(0 if work() else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def fork(script, *arguments):
    return python("-c", FORK + script, *arguments, OMP_NUM_THREADS="2").stdout.splitlines()


@needs_fused
@needs_openmp
@needs_linux
def test_a_child_starts_a_team_of_its_own():
    """And so does its child; the parent goes on with a new one."""
    script = """
assert team()
print(child(lambda: team() and threads.limit() == (2, "OMP_NUM_THREADS") and child(team) == 0))
print(team(), child(team))
"""
    assert fork(script) == ["0", "True 0"]


@needs_fused
@needs_openmp
@needs_linux
def test_a_fork_from_another_thread():
    """The child has that thread only: neither its team nor that of the main thread is there."""
    script = """
assert team()
def work():
    assert team()
    print(child(team))
    print(team())
other = threading.Thread(target=work)
other.start()
other.join()
print(child(team), team())
"""
    assert fork(script) == ["0", "True", "0 True"]


@needs_fused
@needs_openmp
@needs_linux
@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_fork_while_another_thread_trains(n_threads):
    """The training that the fork cuts off is nobody's any more: the child may train that network again."""
    script = """
from minidl.callbacks import Callback
inside, stop = threading.Event(), threading.Event()
class Tell(Callback):
    def on_epoch_end(self, net, row):
        inside.set()
        return stop.is_set()
net = MLP([100, 200, 10], seed=0)
X, y = np.ones((600, 100), np.float32), np.arange(600) % 10
options = dict(callbacks=Tell(), batch_size=200, verbose=0, n_threads=int(sys.argv[1]), epochs=10**6)
trainer = threading.Thread(target=net.fit, args=(X, y), kwargs=options)
trainer.start()
assert inside.wait(60)
def work():
    net.fit(X, y, epochs=2, n_threads=2, verbose=0)
    return team() and np.isfinite(net.predict(X)).all()
print(*[child(work) for _ in range(5)])
stop.set()
trainer.join()
print(team())
"""
    assert fork(script, n_threads) == ["0 0 0 0 0", "True"]


@needs_fused
@needs_openmp
@needs_linux
def test_workers_of_multiprocessing():
    script = """
import multiprocessing
assert team()
def work(n_threads):
    signal.alarm(60)
    return golden.digest(golden.trained("float32", golden.BATCH, n_threads))
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(set(pool.map(work, [1, 2, 3, 2, 1])) == {golden.GOLDEN["float32"]})
"""
    assert fork(script) == ["True"]


@needs_fused
@needs_openmp
@needs_linux
def test_a_child_whose_parent_kept_its_threads_uses_one():
    """An OpenMP runtime that refuses, or a fork by C code that tells Python only afterwards."""
    script = """
import ctypes
from minidl.kernels import _leaf
assert team()
def work():
    right = threads.limit() == (1, "forked while OpenMP threads were waiting") and team()
    return right and kernels.matmul(np.ones((5, 4)), np.ones((4, 3)), n_threads=2).sum() == 60
pause, _leaf.openmp_pause = _leaf.openmp_pause, lambda: False
print(child(work))
_leaf.openmp_pause = pause
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    ctypes.pythonapi.PyOS_AfterFork_Child()
    signal.alarm(30)
    os._exit(0 if work() else 3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(threads.limit()[0], team())
"""
    assert fork(script) == ["0", "0", "2 True"]


# --- other pools -----------------------------------------------------------------------------------


@needs_fused
@needs_openmp
@needs_linux
@needs_torch
@pytest.mark.parametrize("first", ["torch", "minidl.engine.program"])
def test_a_fork_after_pytorch_has_used_the_same_runtime(first):
    """PyTorch brings an OpenMP runtime that minidl then uses, too: its waiting threads are ours."""
    script = """
import torch
torch.set_num_threads(2)
x = torch.ones(800, 800)
for _ in range(3):
    (x @ x).tanh().exp().sum()
print(child(team))
print(float((x @ x).sum()) > 0, team())
"""
    done = python("-c", f"import {first}\n" + FORK + script, OMP_NUM_THREADS="2")
    assert done.stdout.splitlines() == ["0", "True True"]


@needs_fused
@needs_torch
def test_training_beside_pytorch():
    """One after the other in one thread, then both at once."""
    script = """
import threading, torch, golden
torch.set_num_threads(2)
x = torch.linspace(-1, 1, 300 * 300).reshape(300, 300)
expected = (x @ x).tanh().sum().item()
def multiply():
    for _ in range(20):
        assert abs((x @ x).tanh().sum().item() - expected) < 1
def train():
    assert golden.digest(golden.trained("float32", golden.BATCH, 2)) == golden.GOLDEN["float32"]
    assert golden.digest(golden.trained_wide("float64", 2)) == golden.GOLDEN_WIDE["float64"]
for _ in range(3):
    multiply()
    train()
workers = [threading.Thread(target=f) for f in (multiply, train, multiply, train)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print("end")
"""
    done = python("-c", script)
    assert (done.stdout, done.stderr) == ("end\n", "")


@needs_fused
def test_training_beside_openblas():
    """NumPy's products keep threads of their own, which spin for a while."""
    a = np.linspace(-1, 1, 600 * 600).reshape(600, 600)
    for _ in range(3):
        a @ a
        assert digest(trained("float32", BATCH, 2)) == GOLDEN["float32"]

    def multiply():
        for _ in range(20):
            a @ a

    _, first, second = at_once(
        multiply, lambda: digest(trained("float64", BATCH, 2)), lambda: digest(trained_wide("float32", 2))
    )
    assert (first, second) == (GOLDEN["float64"], GOLDEN_WIDE["float32"])
