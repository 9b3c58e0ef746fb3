"""What the tests of initializers share: specs, drawing weights, networks of equal layers, laws."""

import math

import numpy as np
from scipy import stats

from minidl import activations, init
from minidl.init import LayerSpec
from minidl.kernels import random

FAN_IN, FAN_OUT = 800, 200  # far apart: confusing the two is a factor of 4


def ids(cases):
    """Names of test cases: the initializer of each."""
    return [repr(case[0] if isinstance(case, tuple) else case) for case in cases]


def spec(path="0", shape=(FAN_IN, FAN_OUT), **more):
    """Return what an initializer is told of a layer."""
    return init.LayerSpec(path, shape, **more)


def filled(initializer, spec, seed=0, dtype=np.float64):
    """Return the weight and the bias of a layer by its spec."""
    weight = np.full(spec.shape, 7.0, dtype)
    bias = np.full(spec.n_outputs, 7.0, dtype)
    initializer.init_layer(spec, seed, weight, bias)
    return weight, bias


def draw(x, shape, seed=0, dtype="float64", **more):
    """Weights of initializer x for the first layer."""
    return x.init(shape, init.Stream(seed, "0", "weight"), dtype, **more)


def gaussian(shape, stream):
    """The normal numbers of a stream, in the order in which an initializer takes them."""
    out = np.empty(shape)
    random.fill_normal(out, stream.key, 0.0, 1.0)
    return out


def weights_of(x, specs, seed=0, dtype="float64"):
    """The weights that initializer x gives to each of some layers."""
    made = []
    for spec in specs:
        made.append(np.full(spec.shape, np.nan, dtype))
        x.init_layer(spec, seed, made[-1])
    return made


def layer(x, shape, seed=0, dtype=np.float64, bias=True, **facts):
    """Return the weight and the bias that an initializer gives a layer."""
    spec = LayerSpec(facts.pop("path", "1"), shape, **facts)
    weight = np.full(shape, 7.0, dtype)
    made = np.full(spec.n_outputs, 7.0, dtype) if bias else None
    x.init_layer(spec, seed, weight, made)
    return weight, made


def network(x, activation, width, depth, seed=0):
    """Return weights and biases of a stack of equal layers."""
    layers = []
    for index in range(depth):
        first = index == 0
        facts = {
            "path": str(index),
            "role": "input" if first else "hidden",
            "activation": activation,
            "input_activation": "identity" if first else activation,
            "index": index,
            "depth": depth + 1,
        }
        layers.append(layer(x, (width, width), seed, **facts))
    return layers


def propagate(layers, activation, x, rng):
    """Return the mean square of each layer's pre-activations, and that of their gradients over the last."""
    zs, signal = [], x
    for weight, bias in layers:
        zs.append(signal @ weight + bias)
        signal = activations.forward(activation, zs[-1])
    grad = rng.normal(size=zs[-1].shape)
    squares = [np.mean(grad**2)]
    for (weight, _), z in zip(layers[:0:-1], zs[-2::-1], strict=True):
        grad = (grad @ weight.T) * activations.derivative(activation, z)
        squares.append(np.mean(grad**2))
    return np.array([np.mean(z**2) for z in zs]), np.array(squares[::-1]) / squares[0]


def fits(x, variance, kurtosis, cdf):
    """Check a sample against a law: mean, variance and distribution, 5 sigma."""
    x = np.asarray(x).ravel()
    assert abs(x.mean()) < 5 * math.sqrt(variance / x.size)
    assert abs(x.var() / variance - 1.0) < 5 * math.sqrt((kurtosis - 1.0) / x.size)
    assert stats.kstest(x, cdf).pvalue > 1e-4


def specs_of(activation, depth):
    """Return the descriptions of a network of `depth` weights."""
    return [
        LayerSpec(
            str(i),
            (8, 8),
            activation="identity" if i == depth - 1 else activation,
            input_activation=activation if i else "identity",
            role="output" if i == depth - 1 else "hidden" if i else "input",
            index=i,
            depth=depth,
        )
        for i in range(depth)
    ]
