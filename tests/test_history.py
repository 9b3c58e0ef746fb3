"""History: columns, the table, CSV and JSON."""

import csv
import json
import os
import pickle

import numpy as np
import pytest

from minidl.errors import OptionError
from minidl.history import History


def make_history(epochs=3):
    history = History()
    for epoch in range(1, epochs + 1):
        row = {"seconds": 0.1 * epoch, "epoch": epoch, "loss": 1.0 / epoch, "lr": 0.1, "steps": 7}
        if epoch % 2 == 0:
            row["val_loss"] = 1.5 / epoch
        history.append(row)
    return history


def test_columns():
    history = make_history()
    assert list(history) == ["epoch", "loss", "val_loss", "lr", "seconds", "steps"]
    assert history.keys() == list(history)
    assert history["epoch"] == [1, 2, 3]
    assert history["val_loss"] == [None, 0.75, None]
    assert dict(history) == dict(history.items())
    assert history.values()[0] == [1, 2, 3]
    assert "loss" in history
    assert "accuracy" not in history
    assert len(history) == 3
    assert history.last["epoch"] == 3
    assert history.rows[1]["val_loss"] == 0.75
    with pytest.raises(KeyError, match="no column 'acc'; this history has: epoch, loss"):
        history["acc"]


def test_empty():
    history = History()
    assert len(history) == 0
    assert history.last == {}
    assert list(history) == []
    assert str(history) == "History: no epochs yet"
    assert "0 epochs" in repr(history)


def test_append_copies_and_converts():
    history = History()
    row = {"epoch": np.int64(1), "loss": np.float32(0.5), "mine": np.bool_(True), "val_loss": None}
    with pytest.raises(OptionError, match="'mine'"):
        history.append(row)
    assert len(history) == 0  # nothing half-changed
    row["mine"] = 7
    history.append(row)
    row["loss"] = 9.0
    assert history.last == {"epoch": 1, "loss": 0.5, "mine": 7, "val_loss": None}
    assert type(history.last["epoch"]) is int
    assert type(history.last["loss"]) is float
    assert history.keys() == ["epoch", "loss", "val_loss", "mine"]
    with pytest.raises(OptionError, match="expected a number"):
        history.append({"loss": "0.5"})
    with pytest.raises(OptionError, match="expected a string"):
        history.append({1: 0.5})


def test_round_trips():
    history = make_history()
    history.stopped_because = "all epochs done"
    for twin in (
        History.from_dict(json.loads(json.dumps(history.to_dict()))),
        pickle.loads(pickle.dumps(history)),
    ):
        assert twin.rows == history.rows
        assert twin.stopped_because == "all epochs done"
    history.to_dict()["rows"][0]["loss"] = 7.0
    assert history["loss"][0] == 1.0


def test_csv_keeps_every_bit(tmp_path):
    history = make_history()
    history.append({"epoch": 4, "loss": 0.1 + 0.2, 'odd, "name"': 1})
    path = tmp_path / "run.csv"
    path.write_text("old")
    history.to_csv(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == history.keys()
    for name in history:
        read = [float(row[name]) if row[name] else None for row in rows]
        assert read == history[name]
    assert os.listdir(tmp_path) == ["run.csv"]


def test_csv_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    path.write_text("old")

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        make_history().to_csv(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["run.csv"]


def test_table_is_aligned():
    history = make_history()
    history.append({"epoch": 4, "loss": 1e-9, "val_loss": float("nan")})
    history.stopped_because = "all epochs done"
    lines = str(history).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[0].split() == history.keys()
    assert lines[1].split() == ["1", "1.0000", "-", "0.1000", "0.1000", "7"]
    assert lines[4].split() == ["4", "1.000e-09", "nan", "-", "-", "-"]
    assert lines[5] == "stopped: all epochs done"


def test_long_table_is_cut():
    lines = str(make_history(1000)).splitlines()
    assert len(lines) == 22
    assert lines[1].split()[0] == "1"
    assert lines[11] == "... 980 more ..."
    assert lines[12].split()[0] == "991"
    assert lines[-1].split()[0] == "1000"
    assert len(str(make_history(20)).splitlines()) == 21
