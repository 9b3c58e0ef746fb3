"""The training loop: it learns, counts, validates, stops, restores, goes on, and survives trouble."""

import signal
import time
from functools import partial

import numpy as np
import pytest
from helpers import DTYPES

import minidl
from minidl import MLP, SGD, callbacks, datasets, schedules
from minidl.errors import DivergenceError, ShapeError

TINY = 1e-30  # a learning rate that changes nothing


def blobs(n=60, seed=0, dtype="float64"):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = rng.normal(size=(n, 4)) * 0.7 + np.eye(4)[y] * 2
    return X.astype(dtype), y


def network(seed=0, dtype="float64", sizes=(4, 8, 3)):
    return MLP(sizes, "tanh", seed=seed, dtype=dtype)


def quiet_fit(net, X, y, **options):
    return net.fit(X, y, **{"verbose": 0, "optimizer": SGD(lr=0.1), **options})


# --- it learns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_learns_what_no_linear_model_can(dtype):
    X, y = datasets.spirals(900, classes=3, turns=0.75, seed=1, dtype=dtype)
    Xt, yt = datasets.spirals(300, classes=3, turns=0.75, seed=2, dtype=dtype)
    net = MLP([2, 32, 32, 3], "tanh", seed=0, dtype=dtype)
    before = net.evaluate(Xt, yt)["accuracy"]
    quiet_fit(net, X, y, optimizer=SGD(lr=0.1, momentum=0.9), epochs=60, batch_size=32)
    after = net.evaluate(Xt, yt)
    assert before < 0.6
    assert after["accuracy"] > 0.95
    assert after["accuracy"] == (net.predict(Xt).argmax(axis=1) == yt).mean()
    assert (net.predict_proba(Xt).argmax(axis=1) == yt).mean() == after["accuracy"]
    linear = MLP([2, 3], seed=0, dtype=dtype)
    assert quiet_fit(linear, X, y, epochs=20)["accuracy"][-1] < 0.8


def test_learns_a_regression_and_yes_no_questions():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2))
    y = np.sin(3 * X[:, 0]) * X[:, 1]
    net = MLP([2, 32, 1], "tanh", seed=0)
    quiet_fit(net, X, y, loss="mse", optimizer=SGD(lr=0.1, momentum=0.9), epochs=80)
    assert net.evaluate(X, y)["loss"] < 0.02 * y.var()
    assert set(net.evaluate(X, y)) == {"loss"}
    questions = np.stack([X[:, 0] > 0, X[:, 0] * X[:, 1] > 0], axis=1)
    net = MLP([2, 32, 2], "relu", seed=0)
    options = {"loss": "bce", "optimizer": SGD(lr=0.3, momentum=0.9), "epochs": 60}
    assert quiet_fit(net, X, questions, **options)["accuracy"][-1] > 0.95
    assert ((net.predict_proba(X) > 0.5) == questions).mean() > 0.95


# --- rows, batches, order -------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 32, 59, 60, 1000])
def test_every_row_is_visited_once_per_epoch(batch_size, shuffle):
    """With weights no two of which add up to a third, the epoch's loss is that of all rows."""
    X, y = blobs()
    weight = np.random.default_rng(0).uniform(0.1, 2, 60)
    net = network()
    expected = net.evaluate(X, y, loss="cross_entropy", sample_weight=weight)["loss"]
    history = quiet_fit(
        net,
        X,
        y,
        optimizer=SGD(lr=TINY),
        batch_size=batch_size,
        shuffle=shuffle,
        sample_weight=weight,
        epochs=3,
    )
    assert history["loss"] == pytest.approx([expected] * 3, rel=1e-12)
    assert history["steps"] == [-(-60 // batch_size)] * 3
    assert net.training.steps == 3 * -(-60 // batch_size)


def test_partial_last_batch_is_a_step_of_its_own_mean():
    X, y = blobs(10)
    by_fit, by_step = network(), network()
    history = quiet_fit(by_fit, X, y, batch_size=4, shuffle=False)
    means = [
        by_step.train_step(X[rows], y[rows], optimizer=SGD(lr=0.1))
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10))
    ]
    np.testing.assert_array_equal(by_fit.params.flat, by_step.params.flat)
    assert history["loss"][0] == pytest.approx(np.dot(means, [4, 4, 2]) / 10, rel=1e-14)


def test_order_of_rows_comes_from_the_seed_and_the_epoch():
    X, y = blobs()

    def run(seed=0, epochs=2, shuffle=True, start=0):
        net = network(seed=0)
        net.seed = seed
        net.training.epochs = start
        quiet_fit(net, X, y, batch_size=7, epochs=epochs, shuffle=shuffle)
        return net.params.flat.tobytes()

    assert run() == run()
    assert run() != run(seed=1)
    assert run() != run(shuffle=False)
    assert run(epochs=1) != run(epochs=1, start=1)


# --- validation and weights -----------------------------------------------------------------------


def test_validation_data_are_evaluated_after_each_epoch():
    X, y = blobs()
    Xv, yv = blobs(30, seed=1)
    weight = np.linspace(0, 2, 30)
    net, seen = network(), []

    class Evaluate(callbacks.Callback):
        def on_epoch_end(self, net, row):
            scores = net.evaluate(Xv, yv, sample_weight=weight)
            seen.append((scores["loss"], scores["accuracy"]))

    history = quiet_fit(net, X, y, epochs=3, validation_data=(Xv, yv, weight), callbacks=Evaluate())
    assert list(zip(history["val_loss"], history["val_accuracy"], strict=True)) == seen
    assert len(set(seen)) == 3
    plain = network()
    quiet_fit(plain, X, y, epochs=3)
    np.testing.assert_array_equal(plain.params.flat, net.params.flat)  # they only watch


def test_validation_split_holds_rows_out():
    """The rows whose target does not matter for the parameters are as many as were to be held out."""
    X, y = blobs(40)

    def run(targets):
        net = network()
        history = quiet_fit(net, X, targets, validation_split=0.25, epochs=2, batch_size=8)
        return net.params.flat.tobytes(), history["val_loss"]

    params, val_loss = run(y)
    held_out = []
    for i in range(40):
        changed = np.where(np.arange(40) == i, (y + 1) % 3, y)
        other, other_loss = run(changed)
        if other == params:
            held_out.append(i)
            assert other_loss != val_loss
    assert len(held_out) == 10
    assert held_out != list(range(30, 40))  # chosen by the seed, not the end of the data


@pytest.mark.parametrize("split", [0.0, 0.25])
def test_weight_zero_is_a_row_removed(split):
    X, y = blobs(40)
    weight = np.where(np.arange(40) % 5 == 0, 0.0, 1.0)

    def run(X, y, weight):
        net = network()
        return net, quiet_fit(
            net, X, y, sample_weight=weight, epochs=10, batch_size=40, shuffle=False, validation_split=split
        )

    net, history = run(X, y, weight)
    garbage, other = run(np.where(weight[:, None] == 0, 99.0, X), np.where(weight == 0, 0, y), weight)
    np.testing.assert_allclose(garbage.params.flat, net.params.flat, rtol=1e-12, atol=1e-13)
    for name in ("loss", "val_loss") if split else ("loss",):
        assert other[name] == pytest.approx(history[name], rel=1e-12)
    if not split:
        removed, fewer = run(X[weight > 0], y[weight > 0], None)
        np.testing.assert_allclose(removed.params.flat, net.params.flat, rtol=1e-12, atol=1e-13)
        assert fewer["loss"] == pytest.approx(history["loss"], rel=1e-12)
    unweighted, _ = run(X, y, None)
    assert np.abs(unweighted.params.flat - net.params.flat).max() > 1e-4


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "huber"])
def test_weight_two_is_the_row_twice(loss):
    X, y = blobs(30)
    target = y if loss == "cross_entropy" else np.eye(3)[y]
    weight = np.where(np.arange(30) % 4 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(30), weight.astype(int))
    options = {"loss": loss, "epochs": 10, "batch_size": 100, "shuffle": False}
    weighted, repeated = network(), network()
    a = quiet_fit(weighted, X, target, sample_weight=weight, **options)
    b = quiet_fit(repeated, X[twice], target[twice], **options)
    np.testing.assert_allclose(weighted.params.flat, repeated.params.flat, rtol=1e-12, atol=1e-13)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-12)
    scaled = network()
    quiet_fit(scaled, X, target, sample_weight=7 * weight, **options)  # only ratios matter
    np.testing.assert_allclose(scaled.params.flat, weighted.params.flat, rtol=1e-12, atol=1e-13)


# --- stopping, callbacks, going on ----------------------------------------------------------------


def test_early_stopping_restores_the_best_parameters():
    X, y = blobs(30)
    y = np.where(np.arange(30) % 4 == 0, (y + 1) % 3, y)  # a quarter is noise to be learnt by heart
    held_out = blobs(60, seed=1)
    options = {"optimizer": SGD(lr=0.1), "batch_size": 10, "validation_data": held_out}
    net = network()
    stopping = callbacks.EarlyStopping(patience=3)
    history = quiet_fit(net, X, y, epochs=200, early_stopping=stopping, **options)
    best = int(np.argmin(history["val_loss"])) + 1
    assert 1 < best == stopping.best_epoch == len(history) - 3
    assert "val_loss did not improve" in history.stopped_because
    again = network()
    quiet_fit(again, X, y, epochs=best, **options)
    np.testing.assert_array_equal(net.params.flat, again.params.flat)
    assert net.evaluate(*held_out)["loss"] == min(history["val_loss"])
    by_number = network()
    assert len(quiet_fit(by_number, X, y, epochs=200, early_stopping=3, **options)) == len(history)


def test_callbacks_are_called_in_order():
    X, y = blobs()
    calls = []

    class Note(callbacks.Callback):
        def __init__(self, name):
            self.name = name

        def on_train_begin(self, net, run):
            calls.append((self.name, "begin", run.epochs, run.steps_per_epoch, run.batch_size))

        def on_epoch_end(self, net, row):
            calls.append((self.name, row["epoch"], net.training.steps))
            return self.name == "b" and row["epoch"] == 2

        def on_train_end(self, net, history):
            calls.append((self.name, "end", len(history)))

    history = quiet_fit(network(), X, y, epochs=9, batch_size=32, callbacks=[Note("a"), Note("b")])
    assert calls == [
        ("a", "begin", 9, 2, 32), ("b", "begin", 9, 2, 32),
        ("a", 1, 2), ("b", 1, 2),
        ("a", 2, 4), ("b", 2, 4),
        ("a", "end", 2), ("b", "end", 2),
    ]  # fmt: skip
    assert history.stopped_because == "Note asked to stop at epoch 2"


def test_history_and_going_on(capsys):
    X, y = blobs()
    net = network()
    schedule = schedules.Step(0.1, every=3, factor=0.5)
    first = net.fit(X, y, optimizer=SGD(lr=schedule), epochs=2, batch_size=30, verbose=1)
    assert capsys.readouterr().out.splitlines()[1].startswith("epoch 2/2  loss ")
    assert first.keys() == ["epoch", "loss", "accuracy", "lr", "seconds", "steps"]
    assert first["lr"] == [0.1, 0.05]  # of the last step of the epoch: steps 1 and 3
    assert first.stopped_because == "all 2 epochs are done"
    second = net.fit(X, y, epochs=1, batch_size=30, verbose=0)
    assert capsys.readouterr().out == ""
    assert second["epoch"] == [1]
    assert second["lr"] == [0.05]  # the schedule goes on: step 5
    assert second["loss"][0] < first["loss"][1] < first["loss"][0]
    assert net.history is second
    assert (net.training.steps, net.training.epochs) == (6, 3)
    net.reset()
    np.testing.assert_array_equal(net.params.flat, network().params.flat)
    assert (net.training.steps, net.training.epochs, len(net.history)) == (0, 0, 0)


def test_a_reset_that_fails_leaves_the_net_as_it_was():
    net = MLP([4, 5, 3], "tanh", seed=1)
    net.fit(np.ones((2, 4)), [0, 1], verbose=0)
    before, state, init = net.params.flat.copy(), net.training, net.init
    with pytest.raises(ShapeError, match="even number"):
        net.reset(seed=7, init="mirrored")
    assert np.array_equal(net.params.flat, before)
    assert (net.training, net.init, net.seed) == (state, init, 1)
    assert net.history["epoch"] == [1]


def test_schedule_gives_the_learning_rate_of_each_step():
    X, y = blobs()

    def schedule(step):
        return 0.2 / (1 + step) if step % 2 else 0.3

    net, twin = network(), network()
    quiet_fit(net, X, y, optimizer=SGD(lr=schedule), epochs=3, batch_size=20, shuffle=False)
    for step in range(9):
        rows = slice(step % 3 * 20, step % 3 * 20 + 20)
        twin.gradients(X[rows], y[rows])
        twin.params.flat[...] -= schedule(step) * twin.grads.flat
    np.testing.assert_allclose(net.params.flat, twin.params.flat, rtol=1e-13, atol=1e-14)


# --- divergence -----------------------------------------------------------------------------------


def exploding(dtype="float32", momentum=0.0):
    X, y = blobs(60, dtype=dtype)
    net = MLP([4, 16, 16, 3], "relu", seed=0, dtype=dtype)
    optimizer = SGD(lr=lambda step: 0.01 if step < 8 else 1e7, momentum=momentum)
    return net, X, np.eye(3)[y], optimizer


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_loss_that_is_not_finite_leaves_the_last_good_step(momentum, n_threads):
    net, X, y, optimizer = exploding(momentum=momentum)
    options = {"loss": "mse", "optimizer": optimizer, "batch_size": 10, "shuffle": False}
    with pytest.raises(DivergenceError, match=r"epoch \d+, step \d+: the loss became NaN") as caught:
        quiet_fit(net, X, y, epochs=5, n_threads=n_threads, **options)
    error = caught.value
    steps = 6 * (error.epoch - 1) + error.step - 1
    assert error.epoch >= 2
    assert f"epoch {error.epoch}, step {error.step}" in str(error)
    assert error.layer in ("0", "1", "2", "loss")
    assert "learning rate below 1e+07" in str(error)
    assert net.training.steps == steps >= 9
    assert np.isfinite(net.params.flat).all()
    earlier, *_ = exploding()
    for step in range(steps):
        rows = slice(step % 6 * 10, step % 6 * 10 + 10)
        earlier.train_step(X[rows], y[rows], loss="mse", optimizer=optimizer)
    np.testing.assert_array_equal(net.params.flat, earlier.params.flat)
    assert net.history.stopped_because.startswith("DivergenceError: training diverged")


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("how", ["fit", "train_step"])
def test_gradient_that_overflows_behind_a_finite_loss(how, n_threads):
    """At x = 0 every tanh has slope 1, and the backward pass multiplies by 1e15 per layer."""
    net = MLP([3, 8, 8, 8, 8, 2], "tanh", seed=0, dtype="float32")
    for name, view in net.params.items():
        view[...] *= 1e15 if name.endswith("weight") else 0
    X, y = np.zeros((8, 3), np.float32), np.arange(8) % 2
    before = net.params.flat.copy()
    assert net.evaluate(X, y)["loss"] == pytest.approx(np.log(2), rel=1e-6)
    train = net.train_step if how == "train_step" else partial(net.fit, batch_size=4, verbose=0)
    with pytest.raises(DivergenceError, match="the gradient became NaN or infinite") as caught:
        train(X, y, optimizer=SGD(lr=0.1, momentum=0.9), n_threads=n_threads)
    assert (caught.value.epoch, caught.value.step) == (1, 1)
    assert caught.value.layer in "01234"
    np.testing.assert_array_equal(net.params.flat, before)
    assert not net.training.velocity.flat.any()
    assert net.training.steps == 0


def test_update_that_would_overflow_keeps_the_parameters_finite():
    X, y = blobs(dtype="float32")
    net = network(dtype="float32")
    with pytest.raises(DivergenceError, match=r"step 1: the update of \d\.\w+ overflowed") as caught:
        quiet_fit(net, X * 100, np.eye(3)[y] * 100, loss="mse", optimizer=SGD(lr=1e38))
    assert caught.value.layer in "01"
    assert np.isfinite(net.params.flat).all()


# --- interruption ---------------------------------------------------------------------------------

# Steps of about 20 microseconds, of a millisecond, and one step that takes longer than the wait.
LENGTHS = {"short": (4, 8, 100), "long": (256, 256, 200), "longer": (512, 1024, 6000)}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer of POSIX")
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("length", LENGTHS)
def test_ctrl_c_stops_between_two_steps(length, n_threads, tmp_path):
    features, width, rows = LENGTHS[length]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(rows, features)).astype(np.float32), np.arange(rows) % 3
    sizes, optimizer = (features, width, width, 3), SGD(lr=0.01, momentum=0.9)
    net = network(dtype="float32", sizes=sizes)
    batch_size = rows if length == "longer" else 50
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)  # raises KeyboardInterrupt
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            quiet_fit(
                net,
                X,
                y,
                optimizer=optimizer,
                epochs=10**6,
                batch_size=batch_size,
                shuffle=False,
                n_threads=n_threads,
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 30  # a million epochs would take hours
    assert net.history.stopped_because == "KeyboardInterrupt"
    steps = net.training.steps
    assert net.training.velocity_steps == steps
    twin = network(dtype="float32", sizes=sizes)  # makes as many steps, one by one
    for step in range(steps):
        batch = slice(step * batch_size % rows, step * batch_size % rows + batch_size)
        twin.train_step(X[batch], y[batch], optimizer=optimizer, check_finite=False)
    assert net.params.flat.tobytes() == twin.params.flat.tobytes()
    net.save(tmp_path / "net.safetensors")
    assert minidl.load(tmp_path / "net.safetensors").predict(X[:5]).tobytes() == net.predict(X[:5]).tobytes()
    quiet_fit(net, X[:50], y[:50], batch_size=10)  # and training goes on
    assert net.training.steps == steps + 5
