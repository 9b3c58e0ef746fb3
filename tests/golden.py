"""The trainings whose bits are the promise: the same on every machine with FMA (minidl/engine/README.md)."""

import hashlib

import numpy as np

import minidl
from minidl import SGD

ROWS, EPOCHS = 185, 40
BATCH = 37  # 5 steps per epoch, 200 in all
PARTIAL = 36  # the sixth batch of an epoch has 5 rows

# sha256 of the parameters that `trained(dtype, BATCH)` leaves on every level with FMA.
GOLDEN = {
    "float32": "cccf2d4bf7ca897db150829eefab3028dee2745a0d8674c96ce1f2c0b2845c9e",
    "float64": "59776810b6edbe7ef4daffe3dab3fc909b20841d071fe3ac522d1f6a26d554c5",
}
# The same of `trained_wide(dtype)`.
GOLDEN_WIDE = {
    "float32": "8d678e49d8d19833ffe3358589982d4fdefbba5722a9699bf181621c3fbf5394",
    "float64": "4afbb7270dd39719f041232e1746b9d7599edd176d33b5286fc1fa3f83a20e65",
}


def data(dtype, rows=ROWS, columns=11):
    """Numbers that need no generator and no rounding: the same everywhere."""
    i, j = np.arange(rows)[:, None], np.arange(columns)[None, :]
    X = ((i * 7919 + j * 104729 + i * j * 31) % 1024) / 256 - 2
    return X.astype(dtype), (np.arange(rows) * 5 + np.arange(rows) // 3) % 7


def keeping(second_moment):
    """The scheme of these trainings, whatever `auto` chooses today: 1 / (E[act(z)^2] fan_in)."""
    return minidl.init.VarianceScaling(1.0 / second_moment)


def network(dtype):
    layers = [
        minidl.Dense(33, "gelu", init=keeping(0.4252214826)),
        minidl.Dense(19, "tanh", init="xavier_uniform", use_bias=False),
        minidl.Dense(16, init=keeping(0.3557755198)),
        minidl.Activation("silu"),
        minidl.Dense(7, init="lecun_normal"),
    ]
    return minidl.Sequential(layers, seed=12345, dtype=dtype)


def trained(dtype, batch_size, n_threads=1, epochs=EPOCHS):
    net = network(dtype)
    optimizer = SGD(lr=0.05, momentum=0.9, weight_decay=1e-4)
    X, y = data(dtype)
    net.fit(X, y, optimizer=optimizer, epochs=epochs, batch_size=batch_size, n_threads=n_threads, verbose=0)
    return net


def trained_wide(dtype, n_threads=1):
    """More than one block of 256 in every sum, and rows so wide that the product packs by itself.

    Batches of 300, 300 and 13 rows; products over k = 300, 1050, 50 and 7.
    """
    plan = minidl.init.Plan(default=keeping(0.6449454175), output="lecun_normal")
    net = minidl.MLP([300, 1050, 50, 7], "elu", init=plan, seed=6789, dtype=dtype)
    X, y = data(dtype, 613, 300)
    optimizer = SGD(lr=0.02, momentum=0.8, nesterov=True)
    net.fit(X, y, optimizer=optimizer, epochs=2, batch_size=300, n_threads=n_threads, verbose=0)
    return net


def digest(net):
    """Return the sha256 of the bytes of all parameters, in order, without pads."""
    sha = hashlib.sha256()
    for name, view in net.params.items():
        sha.update(name.encode())
        sha.update(np.ascontiguousarray(view).astype(view.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()
