"""Networks in files: everything comes back, others can read them, damage is one clear error."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from helpers import DTYPES, ELSEWHERE

import minidl
from minidl import MLP, SGD, Activation, Dense, Sequential, activations, init, losses, schedules
from minidl.errors import FileFormatError, MinidlError, OptionError
from minidl.io import read_safetensors, write_safetensors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))
Y = np.arange(20) % 3

INITIALIZERS = [
    init.Auto(),
    init.Constant(0.25),
    init.Fixed(RNG.normal(size=(4, 5))),
    init.He(distribution="uniform", mode="fan_out", slope=0.2),
    init.LeCun(distribution="truncated_normal"),
    init.Normal(0.3),
    init.Ones(),
    init.Pair(weight=init.He(), bias=init.Uniform(-0.1, 0.1)),
    init.TruncatedNormal(0.3),
    init.Uniform(-0.5, 0.25),
    init.VarianceScaling(1.5, "fan_avg", "uniform"),
    init.Xavier(gain=1.7),
    init.Zeros(),
]
OPTIMIZERS = [
    SGD(lr=0.1),
    SGD(lr=0.1, momentum=0.9, dampening=0.2, weight_decay=1e-3),
    SGD(lr=0.1, momentum=0.9, nesterov=True),
    SGD(lr=schedules.Constant(0.2)),
    SGD(lr=schedules.Step(0.1, every=3, factor=0.5), momentum=0.5),
    SGD(lr=schedules.Exponential(0.1, factor=0.99)),
    SGD(lr=schedules.WarmUp(4, then=schedules.Cosine(0.1, steps=50, final_lr=0.01))),
]
LOSSES = [
    losses.CrossEntropy(label_smoothing=0.1),
    losses.BinaryCrossEntropy(),
    losses.MSE(),
    losses.MAE(),
    losses.Huber(delta=0.5),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


def round_trip(net, path):
    net.save(path)
    return minidl.load(path)


def target(loss):
    return Y if loss.name == "cross_entropy" else np.eye(3)[Y]


def check_same(a, b):
    assert [layer.to_dict() for layer in a.layers] == [layer.to_dict() for layer in b.layers]
    assert a.init == b.init
    assert (a.dtype, a.seed, a.n_inputs, a.n_outputs) == (b.dtype, b.seed, b.n_inputs, b.n_outputs)
    assert list(a.params) == list(b.params)
    assert a.params.flat.tobytes() == b.params.flat.tobytes()
    ours, theirs = a.training, b.training
    assert (ours.loss, ours.optimizer) == (theirs.loss, theirs.optimizer)
    assert (ours.steps, ours.epochs, ours.velocity_steps) == (
        theirs.steps, theirs.epochs, theirs.velocity_steps
    )  # fmt: skip
    assert (ours.velocity is None) == (theirs.velocity is None)
    if ours.velocity is not None:
        assert ours.velocity.flat.any()
        assert ours.velocity.flat.tobytes() == theirs.velocity.flat.tobytes()
    assert a.predict(X).tobytes() == b.predict(X).tobytes()


def rewrite(path, change):
    """Change the description in a file."""
    tensors, entries = read_safetensors(path)
    described = json.loads(entries["minidl"])
    change(described)
    write_safetensors(path, tensors, {"minidl": json.dumps(described)})


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_kinds_of_layers(path, dtype):
    layers = [Activation("arctan"), Dense(17, "elu(0.5)"), Dense(9, use_bias=False)]
    layers += [Activation("leaky_relu(0.2)"), Dense(3, "softmax", init="zeros")]
    net = Sequential(layers, n_inputs=4, init="he_uniform", seed=2**63 + 5, dtype=dtype)
    check_same(round_trip(net, path), net)
    assert isinstance(minidl.load(os.fspath(path)), Sequential)
    for name in activations.names():
        net = MLP([4, 5, 3], name, seed=0, dtype=dtype)
        check_same(round_trip(net, path), net)


@pytest.mark.parametrize("initializer", INITIALIZERS, ids=lambda x: type(x).__name__)
def test_initializers(path, initializer):
    layers = [Dense(5, "tanh", init=initializer), Dense(3)]
    net = Sequential(layers, n_inputs=4, seed=3, dtype="float64")
    loaded = round_trip(net, path)
    check_same(loaded, net)
    loaded.params.flat[...] = 0
    loaded.reset()  # draws again by what the file says
    assert loaded.params.flat.tobytes() == net.params.flat.tobytes()


def test_a_function_cannot_be_saved_and_leaves_no_file(path):
    net = MLP([4, 3], init=lambda shape, stream, dtype: np.ones(shape), seed=0)
    with pytest.raises(OptionError, match="cannot be written to a file"):
        net.save(path)
    net = MLP([4, 3], seed=0)
    net.fit(X, Y, optimizer=SGD(lr=lambda step: 0.1), verbose=0)
    with pytest.raises(OptionError):
        net.save(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: x.name)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizers_and_losses_go_on_from_the_file(path, optimizer, loss):
    options = {"loss": loss, "optimizer": optimizer, "batch_size": 7, "verbose": 0}
    whole, part = (MLP([4, 6, 3], "tanh", seed=1, dtype="float64") for _ in range(2))
    whole.fit(X, target(loss), epochs=4, **options)
    part.fit(X, target(loss), epochs=2, **options)
    loaded = round_trip(part, path)
    check_same(loaded, part)
    assert loaded.params.flat.tobytes() != whole.params.flat.tobytes()
    loaded.fit(X, target(loss), batch_size=7, epochs=2, verbose=0)
    check_same(loaded, whole)


# --- the file for others --------------------------------------------------------------------------


def test_the_safetensors_package_reads_it(path):
    safetensors = pytest.importorskip("safetensors")
    numpy_api = pytest.importorskip("safetensors.numpy")
    net = MLP([4, 17, 3], seed=0)
    net.fit(X, Y, optimizer=SGD(momentum=0.9), verbose=0)
    net.save(path)
    tensors = numpy_api.load_file(path)
    assert set(tensors) == {*net.params, *(f"velocity:{name}" for name in net.params)}
    for name, view in net.params.items():
        np.testing.assert_array_equal(tensors[name], view)
        np.testing.assert_array_equal(tensors[f"velocity:{name}"], net.training.velocity[name])
        assert tensors[name].shape == view.shape  # no pads in the file
    with safetensors.safe_open(path, framework="numpy") as file:
        described = json.loads(file.metadata()["minidl"])
    assert described["version"] == minidl.__version__
    assert [layer["layer"] for layer in described["layers"]] == ["Dense", "Dense"]
    assert described["training"]["steps"] == 1
    assert described["training"]["optimizer"]["momentum"] == 0.9
    assert "He()" in described["init_plan"]


LOAD_UNDER_WATCH = """
import sys, minidl
minidl.load(sys.argv[1])  # whatever is imported on demand is here now
forbidden = ("exec", "import", "pickle.find_class", "os.system", "os.exec", "subprocess.Popen")
def watch(event, arguments):
    if event in forbidden:
        sys.stderr.write(f"{event} {arguments}\\n")
        raise RuntimeError(event)
sys.addaudithook(watch)
minidl.load(sys.argv[1])
print("whole")
try:
    minidl.load(sys.argv[2])
except ValueError as error:
    print(error)
"""


def test_loading_runs_no_code_from_the_file(path):
    """Under a hook that forbids to execute, import or unpickle anything."""
    net = MLP([4, 5, 3], "leaky_relu", seed=0)
    net.fit(X, Y, optimizer=SGD(lr=schedules.Cosine(0.1, steps=9), momentum=0.9), verbose=0)

    net.save(path)
    evil = path.with_name("evil.safetensors")
    evil.write_bytes(path.read_bytes())
    rewrite(evil, lambda d: d["layers"][0].update(activation="__import__('os').abort()"))
    command = [sys.executable, "-c", LOAD_UNDER_WATCH, str(path), str(evil)]
    done = subprocess.run(command, cwd=ELSEWHERE, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "whole"
    assert "activation=" in done.stdout.splitlines()[1]


# --- writing --------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    net = MLP([4, 5, 3], seed=0)
    net.save(path)
    before = path.read_bytes()
    net.fit(X, Y, verbose=0)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # no temporary file either
    net.save(path)
    assert path.read_bytes() != before


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        MLP([4, 3], seed=0).save(tmp_path / "nowhere" / "net.safetensors")


# --- damage ---------------------------------------------------------------------------------------


def test_a_file_cut_anywhere(path):
    net = MLP([4, 5, 3], seed=0)
    net.save(path)
    whole = path.read_bytes()
    for length in {*range(0, 64), *range(64, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"net.safetensors: expected .*found"):
            minidl.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(FileFormatError, match="bytes of data, as the header says"):
        minidl.load(path)


def test_a_file_with_flipped_bytes_loads_or_says_what_is_wrong(path):
    net = MLP([4, 5, 3], seed=0)
    net.save(path)
    whole = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for position in range(0, header, 11):
        damaged = whole.copy()
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        try:
            loaded = minidl.load(path)
        except FileFormatError:
            refused += 1
        else:  # in a number or a text that is as good as another
            assert np.isfinite(loaded.params.flat).all()
    assert refused > header / 11 / 3


def unit(described):
    described["layers"][0]["units"] = 6


DAMAGE = {
    "no layers": (lambda d: d.pop("layers"), "incomplete .*layers"),
    "no training": (lambda d: d.pop("training"), "incomplete .*training"),
    "no seed": (lambda d: d.pop("seed"), "incomplete .*seed"),
    "layers empty": (lambda d: d.update(layers=[]), "layers is empty"),
    "layers text": (lambda d: d.update(layers="Dense"), "description"),
    "layer unknown": (lambda d: d["layers"][0].update(layer="Conv2d"), "layer kind 'Conv2d' is unknown"),
    "layer option": (lambda d: d["layers"][0].update(stride=2), "stride"),
    "units": (unit, r"0.weight: expected shape \(4, 6\) of float32, found \(4, 5\)"),
    "activation": (lambda d: d["layers"][0].update(activation="os.abort"), "activation='os.abort'"),
    "initializer": (lambda d: d.update(init={"name": "os.system"}), "'os.system' is unknown"),
    "initializer text": (lambda d: d.update(init="he_normal"), "initializer"),
    "dtype": (lambda d: d.update(dtype="float16"), "dtype='float16'"),
    "other dtype": (lambda d: d.update(dtype="float64"), "of float64, found .* of float32"),
    "seed": (lambda d: d.update(seed="zero"), "seed='zero'"),
    "inputs": (lambda d: d.update(n_inputs=-1), "n_inputs=-1"),
    "loss": (lambda d: d["training"].update(loss={"name": "focal"}), "loss='focal' is unknown"),
    "optimizer": (lambda d: d["training"].update(optimizer={"name": "adam"}), "'adam' is unknown"),
    "optimizer lr": (lambda d: d["training"]["optimizer"].update(lr=-1), "lr=-1"),
    "steps": (lambda d: d["training"].update(steps="many"), "many"),
    "schema": (lambda d: d.update(schema=99), "schema 99, this version reads 1. Upgrade minidl"),
    "no schema": (lambda d: d.pop("schema"), "description of the network is damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_description_that_is_wrong(path, case):
    net = MLP([4, 5, 3], seed=0)
    net.fit(X, Y, verbose=0)
    net.save(path)
    change, words = DAMAGE[case]
    rewrite(path, change)
    with pytest.raises(FileFormatError, match=words) as caught:
        minidl.load(path)
    assert str(caught.value).startswith(str(path))


def test_tensors_that_are_missing_or_too_many(path):
    net = MLP([4, 5, 3], seed=0)
    net.fit(X, Y, optimizer=SGD(momentum=0.9), verbose=0)
    net.save(path)
    tensors, entries = read_safetensors(path)
    for name in tensors:
        write_safetensors(path, {k: v for k, v in tensors.items() if k != name}, entries)
        with pytest.raises(FileFormatError, match=f"expected the tensors .*{name}"):
            minidl.load(path)
    write_safetensors(path, tensors | {"9.weight": np.ones(3)}, entries)
    with pytest.raises(FileFormatError, match=r"found .*9\.weight"):
        minidl.load(path)


def test_files_of_others(path):
    write_safetensors(path, {"w": np.ones(3)}, {"format": "pt"})
    with pytest.raises(FileFormatError, match="a safetensors file, but not one that minidl wrote"):
        minidl.load(path)
    write_safetensors(path, {}, {"minidl": "{not json"})
    with pytest.raises(FileFormatError, match="description of the network is damaged"):
        minidl.load(path)
    np.save(path.with_suffix(".npy"), np.ones(3))
    with pytest.raises(FileFormatError, match="expected"):
        minidl.load(path.with_suffix(".npy"))
    with pytest.raises(MinidlError):
        minidl.load(__file__)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_trains_like_the_original_and_shares_nothing(duplicate):
    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    net = MLP([3, 9, 2], "tanh", seed=0)
    net.fit(X, y, optimizer=SGD(lr=0.1, momentum=0.9), batch_size=16, verbose=0)
    twin = duplicate(net)
    before = net.params.flat.copy()
    twin.fit(X, y, batch_size=16, verbose=0)
    np.testing.assert_array_equal(net.params.flat, before)
    assert np.shares_memory(twin.params["0.weight"], twin.params.flat)
    net.fit(X, y, batch_size=16, verbose=0)
    np.testing.assert_array_equal(net.params.flat, twin.params.flat)
