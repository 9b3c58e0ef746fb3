"""Callbacks, driven by a loop as small as they allow; and the progress display."""

import csv
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from minidl import callbacks
from minidl.callbacks import (
    Callback,
    CallbackList,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    Run,
    StopTraining,
)
from minidl.errors import OptionError
from minidl.history import History
from minidl.progress import Progress

NAN = float("nan")


class Net:
    """As much of a network as a callback may use; its parameters hold the epoch number."""

    def __init__(self):
        self.params = SimpleNamespace(flat=np.zeros(4, dtype=np.float32))
        self.saved = []

    def save(self, path):
        self.saved.append((path, int(self.params.flat[0])))


def train(net, given, values, monitor="val_loss"):
    """Run epochs whose monitored column takes the given values; return the history."""
    history, told = History(), CallbackList(given)
    reason = told.on_train_begin(net, Run(len(values), 10, 32, ("epoch", "loss", monitor)))
    for epoch, value in enumerate(values, start=1):
        if reason:
            break
        net.params.flat[...] = epoch
        row = {"epoch": epoch, "loss": 9.0, monitor: value}
        history.append(row)
        reason = told.on_epoch_end(net, row)
    history.stopped_because = reason or "all epochs done"
    told.on_train_end(net, history)
    return history


# --- the protocol ---


def test_base_class_does_nothing():
    assert len(train(Net(), Callback(), [1.0, 2.0])) == 2
    assert len(train(Net(), None, [1.0, 2.0])) == 2


class Recorder(Callback):
    def __init__(self, log, name, at_epoch=None, answer=None):
        self.log, self.name, self.at_epoch, self.answer = log, name, at_epoch, answer

    def on_train_begin(self, net, run):
        self.log.append((self.name, "begin", run.epochs))

    def on_epoch_end(self, net, row):
        self.log.append((self.name, "epoch", row["epoch"]))
        if row["epoch"] == self.at_epoch:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    def on_train_end(self, net, history):
        self.log.append((self.name, "end", history.stopped_because))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (True, "Recorder asked to stop at epoch 2"),
        (np.bool_(True), "Recorder asked to stop at epoch 2"),
        (StopTraining("good enough"), "good enough"),
        (StopTraining(), "Recorder asked to stop at epoch 2"),
    ],
)
def test_stopping(answer, reason):
    log = []
    given = [Recorder(log, "a", 2, answer), Recorder(log, "b", 2, StopTraining("second"))]
    assert train(Net(), given, [3.0, 2.0, 1.0]).stopped_because == reason
    assert log == [
        ("a", "begin", 3),
        ("b", "begin", 3),
        ("a", "epoch", 1),
        ("b", "epoch", 1),
        ("a", "epoch", 2),
        ("b", "epoch", 2),  # hears of the epoch although a stopped
        ("a", "end", reason),
        ("b", "end", reason),
    ]


@pytest.mark.parametrize("answer", [None, False, np.bool_(False), 0, "no", 1])
def test_only_true_stops(answer):
    assert len(train(Net(), Recorder([], "a", 1, answer), [3.0, 2.0])) == 2


def test_stopping_before_the_first_epoch():
    class Never(Callback):
        def on_train_begin(self, net, run):
            return True

    history = train(Net(), Never(), [1.0])
    assert len(history) == 0
    assert history.stopped_because == "Never asked to stop before the first epoch"


def test_other_exceptions_pass():
    with pytest.raises(ZeroDivisionError):
        train(Net(), Recorder([], "a", 1, ZeroDivisionError()), [1.0])


def test_all_hear_the_end_when_one_raises():
    class Broken(Callback):
        def on_train_end(self, net, history):
            raise ZeroDivisionError

    log = []
    with pytest.raises(ZeroDivisionError):
        train(Net(), [Recorder(log, "a"), Broken(), Recorder(log, "b")], [1.0])
    assert [entry[0] for entry in log if entry[1] == "end"] == ["a", "b"]


def test_duck_typing_and_its_limits():
    log = []
    duck = SimpleNamespace(
        on_train_begin=lambda net, run: None,
        on_epoch_end=lambda net, row: log.append(row["epoch"]),
        on_train_end=lambda net, history: None,
    )
    train(Net(), (c for c in [duck]), [1.0, 2.0])
    assert log == [1, 2]
    for bad in (EarlyStopping, [EarlyStopping], [3], 3, "early_stopping"):
        with pytest.raises(OptionError, match="pass an instance"):
            CallbackList(bad)


# --- EarlyStopping ---


@pytest.mark.parametrize(
    ("values", "patience", "stopped", "best_epoch"),
    [
        ([3.0, 2.0, 1.0, 0.5], 1, None, 4),
        ([3.0, 2.0, 2.5, 1.0], 2, None, 4),
        ([3.0, 2.0, 2.0, 1.0], 1, 3, 2),
        ([3.0, 2.0, 2.5, 2.2, 2.1, 0.0], 3, 5, 2),
        ([3.0, NAN, 2.0, NAN, NAN, 1.0], 2, 5, 3),
        ([NAN, NAN, 1.0], 2, 2, None),
        ([3.0, 4.0], 5, None, 1),
    ],
)
@pytest.mark.parametrize("restore", [True, False])
def test_early_stopping(values, patience, stopped, best_epoch, restore):
    net, stopper = Net(), EarlyStopping(patience=patience, restore_best=restore)
    history = train(net, stopper, values)
    last = stopped or len(values)
    assert len(history) == last
    assert stopper.stopped_epoch == stopped
    assert stopper.best_epoch == best_epoch
    back = restore and best_epoch is not None
    assert (net.params.flat == (best_epoch if back else last)).all()
    assert stopper.restored == (back and best_epoch != last)
    if best_epoch is not None:
        assert stopper.best == values[best_epoch - 1]
    if stopped is None:
        assert history.stopped_because == "all epochs done"


def test_early_stopping_says_why():
    values = [0.5, 0.25, 0.26, 0.3]
    reason = train(Net(), EarlyStopping(patience=2), values).stopped_because
    assert reason == (
        "val_loss did not improve for 2 epochs; best 0.2500 at epoch 2, whose parameters were restored"
    )
    stopper = EarlyStopping(patience=1, min_delta=0.3, restore_best=False)
    reason = train(Net(), stopper, values).stopped_because
    assert reason == "val_loss did not improve by more than 0.3 for 1 epoch; best 0.5000 at epoch 1"
    reason = train(Net(), EarlyStopping(patience=1), [NAN]).stopped_because
    assert reason == "val_loss was not a number for 1 epoch"


def test_early_stopping_prefers_large_accuracies():
    net, stopper = Net(), EarlyStopping("val_accuracy", patience=2)
    train(net, stopper, [0.5, 0.9, 0.8, 0.85, 0.99], monitor="val_accuracy")
    assert (stopper.best, stopper.best_epoch, stopper.stopped_epoch) == (0.9, 2, 4)
    assert (net.params.flat == 2).all()


def test_min_delta_is_a_strict_bound():
    stopper = EarlyStopping(patience=2, min_delta=0.25)
    train(Net(), stopper, [1.0, 0.75, 0.5, 0.25])
    assert (stopper.best_epoch, stopper.stopped_epoch) == (3, None)


def test_early_stopping_begins_anew_with_each_run():
    net, stopper = Net(), EarlyStopping(patience=1)
    train(net, stopper, [1.0, 2.0])
    assert stopper.stopped_epoch == 2
    train(net, stopper, [9.0, 8.0, 7.0])
    assert (stopper.best, stopper.best_epoch, stopper.stopped_epoch) == (7.0, 3, None)
    assert not stopper.restored
    assert (net.params.flat == 3).all()


@pytest.mark.parametrize("given", [EarlyStopping(), Checkpoint("x", monitor="val_loss")], ids=repr)
def test_the_monitored_column_must_exist(given):
    text = r"monitor='val_loss' is not recorded.*Available: epoch, loss, val_lss.*validation_data"
    with pytest.raises(OptionError, match=text):
        train(Net(), given, [1.0], monitor="val_lss")
    # a column that was promised but is not there
    given.on_train_begin(Net(), Run(1, 1, 1, ("epoch", "val_loss")))
    with pytest.raises(OptionError, match=r"Available: epoch\."):
        given.on_epoch_end(Net(), {"epoch": 1, "val_loss": None})


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"patience": 0}, "patience"),
        ({"patience": 2.5}, "patience"),
        ({"min_delta": -1}, "min_delta"),
        ({"min_delta": NAN}, "min_delta"),
        ({"monitor": 3}, "monitor"),
    ],
)
def test_bad_options(options, argument):
    with pytest.raises(OptionError, match=f"^{argument}="):
        EarlyStopping(**options)
    with pytest.raises(OptionError, match=r"^path=3"):
        CSVLog(3)
    with pytest.raises(OptionError, match=r"^monitor=3"):
        Checkpoint("x", monitor=3)


# --- files ---


def test_csv_log_is_whole_after_every_epoch(tmp_path):
    path = tmp_path / "run.csv"
    log = CSVLog(path)

    class Reader(Callback):
        def on_epoch_end(self, net, row):
            with open(path, newline="", encoding="utf-8") as file:
                assert [int(r["epoch"]) for r in csv.DictReader(file)][-1] == row["epoch"]

    train(Net(), [log, Reader()], [0.5, 0.25, 0.125])
    train(Net(), [log], [0.1])
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [0.5, 0.25, 0.125, 0.1]
    train(Net(), CSVLog(path), [7.0])  # a new log begins afresh
    assert path.read_text(encoding="utf-8") == "epoch,loss,val_loss\n1,9.0,7.0\n"


def test_checkpoint():
    net, every = Net(), Checkpoint("a")
    train(net, every, [3.0, 4.0])
    assert net.saved == [("a", 1), ("a", 2)]
    assert every.saved_epoch == 2
    net, best = Net(), Checkpoint("b", monitor="val_loss")
    train(net, best, [3.0, 4.0, NAN, 2.0, 2.0])
    assert net.saved == [("b", 1), ("b", 4)]
    train(net, best, [2.5, 1.0])  # the file still holds 2.0, which 2.5 must not replace
    assert net.saved[2:] == [("b", 2)]
    assert best.saved_epoch == 2


def test_public_names_are_documented():
    for name in callbacks.__all__:
        assert getattr(callbacks, name).__doc__


# --- progress ---


class Terminal(io.StringIO):
    def isatty(self):
        return True


ROW = {
    "epoch": 3,
    "loss": 0.08123,
    "accuracy": 0.97531,
    "val_loss": 0.09131,
    "val_accuracy": None,
    "lr": 0.1,
    "seconds": 0.611,
}
LINE = "epoch  3/10  loss 0.0812  accuracy 0.9753  val_loss 0.0913  0.61 s\n"


def show(progress):
    progress.begin(epochs=10, steps_per_epoch=50)
    progress.update(20, 0.5)
    progress.update(50, 0.1)
    progress.epoch_end(ROW)
    progress.close()
    progress.close()


@pytest.mark.parametrize("tqdm_installed", [True, False])
def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch, tqdm_installed):
    if not tqdm_installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setattr(sys, "stderr", Terminal())
    show(Progress(verbose=1))
    assert capsys.readouterr().out == LINE
    if not tqdm_installed:
        assert sys.stderr.getvalue() == ""


def test_bar_on_a_terminal(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show(Progress())
    assert capsys.readouterr().out == LINE
    assert "/50" in terminal.getvalue()


def test_silence(capsys, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show(Progress(verbose=0))
    assert capsys.readouterr().out == terminal.getvalue() == ""


def test_no_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    show(Progress())


@pytest.mark.parametrize("verbose", [2, -1, "yes", None])
def test_bad_verbose(verbose):
    with pytest.raises(OptionError, match=r"^verbose="):
        Progress(verbose)
