"""Activations and gradients of the layers of a new network: measured, and predicted by mean-field theory."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from minidl import activations, kernels, theory
from minidl.reproduce.singular_values import mean_singular_value, predicted_mean_singular_value
from minidl.reproduce.training import CLASSES, INPUTS, MONITORED, N_MONITORED, SCHEMES, images, network
from minidl.theory.function import as_function

__all__ = ["BINS", "Prediction", "Signals", "back_propagated", "predict"]

BINS = np.linspace(-1.0, 1.0, 102)  # of the histograms; an odd number of bins, so that one is centred at 0
GRADIENT_REACH = 4.0  # the histogram of gradients ends at so many standard deviations of the top layer's
GROUPS = 30  # of images of similar contrast; theory takes each group by its mean


def back_propagated(net, X: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    r"""Return what goes into each layer, and :math:`\partial C / \partial s` of each row and layer.

    C is the cross-entropy of one row, s = x W + b. This keeps apart what ``net.gradients`` averages.

    Parameters
    ----------
    net : MLP
    X, y : ndarray
        Inputs and labels.

    Returns
    -------
    inputs, gradients : list of ndarray
        For each layer, shapes (n, fan_in) and (n, fan_out).

    Examples
    --------
    >>> net = network("tanh", "normalized", width=8, depth=2, seed=0)
    >>> X, y = images(1, 6)
    >>> inputs, gradients = back_propagated(net, X, y)
    >>> loss = net.gradients(X, y, loss="cross_entropy")
    >>> bool(np.allclose(gradients[1].mean(axis=0), net.grads["1.bias"], atol=1e-7))
    True
    """
    inputs, sums = [], []
    for spec, x in net.walk(X):
        weight, bias = net.params[f"{spec.path}.weight"], net.params[f"{spec.path}.bias"]
        inputs.append(x)
        sums.append(kernels.matmul(x, weight, bias=bias))
    delta = kernels.softmax(sums[-1])
    delta[np.arange(len(y)), y] -= 1.0
    gradients = [delta]
    for path in range(len(sums) - 1, 0, -1):
        delta = kernels.matmul(delta, net.params[f"{path}.weight"], transpose_b=True)
        delta *= activations.derivative(net.layers[path - 1].activation, sums[path - 1])
        gradients.append(delta)
    return inputs, gradients[::-1]


@dataclass(frozen=True)
class Signals:
    """A network at initialization, seen on the 300 monitored images.

    Parameters
    ----------
    activation, scheme, width, depth, seed
        As for :class:`~minidl.reproduce.training.Training`.
    examples : int
        Images at which the Jacobians are taken; 0: no singular values, which are dear.

    Examples
    --------
    >>> result = Signals("tanh", "standard", 50, 3, seed=0, examples=1).measure()
    >>> [len(result[name]) for name in ("activation_std", "gradient_std", "jacobian", "weight_gradient_std")]
    [3, 3, 2, 4]
    """

    activation: str
    scheme: str
    width: int
    depth: int
    seed: int
    examples: int = 0

    @property
    def work(self) -> float:
        """In multiplications."""
        return self.depth * self.width**2 * (3.0 * N_MONITORED + (1 + self.examples) * 4.0 * self.width)

    def measure(self) -> dict:
        """Initialize and measure.

        Returns
        -------
        dict
            By hidden layer: "activation_std" and "gradient_std" over all units and images. "output_gradient",
            the mean squared norm of the gradient at the outputs. By layer, outputs included:
            "weight_gradient_std", over the elements of dC/dW of single images, and
            "batch_weight_gradient_std", of their mean. By hidden-to-hidden layer: "weight" and "jacobian",
            the mean singular values. "activations" and "gradients": a histogram for each hidden layer, the
            latter in units of "gradient_reach". "seconds" of one core.
        """
        started = time.process_time()
        net = network(self.activation, self.scheme, self.width, self.depth, self.seed)
        X, y = images(MONITORED, N_MONITORED)
        inputs, gradients = back_propagated(net, X, y)
        rms = [np.sqrt(_mean(x**2, 1)) for x in inputs], [np.sqrt(_mean(d**2, 1)) for d in gradients]
        net.gradients(X, y, loss="cross_entropy")
        reach = GRADIENT_REACH * float(gradients[-2].std(dtype=np.float64))
        result = {
            "activation_std": [float(x.std(dtype=np.float64)) for x in inputs[1:]],
            "gradient_std": [float(d.std(dtype=np.float64)) for d in gradients[:-1]],
            "output_gradient": float(_mean(np.sum(gradients[-1] ** 2, axis=1))),
            # the mean square of x_i d_j over i and j is the product of the means
            "weight_gradient_std": [float(np.sqrt(_mean((x * d) ** 2))) for x, d in zip(*rms, strict=True)],
            "batch_weight_gradient_std": [
                float(net.grads[f"{path}.weight"].std(dtype=np.float64)) for path in range(len(inputs))
            ],
            "activations": [_histogram(x) for x in inputs[1:]],
            "gradient_reach": reach,
            "gradients": [_histogram(d / reach) for d in gradients[:-1]],
            "weight": [],
            "jacobian": [],
        }
        if self.examples:
            # images of low to high contrast, which stand for equal shares of all
            ranks = (np.arange(self.examples) + 0.5) / self.examples * len(X)
            rows = np.argsort(_mean(X**2, 1))[ranks.astype(int)]
            sums = net.preactivations(X[rows])
            for path in range(1, self.depth):
                weight = net.params[f"{path}.weight"]
                slopes = activations.derivative(self.activation, sums[str(path)])
                result["weight"].append(mean_singular_value(weight))
                result["jacobian"].append(float(np.mean([mean_singular_value(weight * d) for d in slopes])))
        return {**result, "seconds": time.process_time() - started}


def _mean(x: np.ndarray, axis: int | None = None) -> np.ndarray:
    return x.mean(axis=axis, dtype=np.float64)


def _histogram(x: np.ndarray) -> list[int]:
    """Counts in BINS; what lies outside is counted at the border."""
    return np.histogram(np.clip(x, -1.0, 1.0), BINS)[0].tolist()


@dataclass(frozen=True)
class Prediction:
    """What mean-field theory says of :class:`Signals`; lists as there, of single images.

    Gradients are relative to the root of the mean squared norm at the outputs, "output_gradient".
    """

    activation_std: list[float]
    gradient_std: list[float]
    weight_gradient_std: list[float]
    jacobian: list[float]


def predict(activation: str, scheme: str, width: int, depth: int) -> Prediction:
    r"""Predict the signals from the second moments of the monitored images.

    Images of high and of low contrast go through the network on different levels, :math:`q_1 = n_0 V_1 q_0`,
    so :func:`minidl.theory.predict` is asked for 30 groups of images and the variances are averaged.

    Examples
    --------
    >>> prediction = predict("tanh", "standard", width=1000, depth=5)
    >>> [round(std, 3) for std in prediction.activation_std]
    [0.31, 0.172, 0.098, 0.056, 0.032]
    """
    X, _ = images(MONITORED, N_MONITORED)
    sizes = [INPUTS, *[width] * depth, CLASSES]
    variances = [SCHEMES[scheme].variance(*fans) for fans in pairwise(sizes)]
    layers = [
        theory.Layer(n_in, n_out, variance, activation=activation if path < depth else "identity")
        for path, ((n_in, n_out), variance) in enumerate(zip(pairwise(sizes), variances, strict=True))
    ]
    function = as_function(activation)
    seconds, squares, products, values = [], [], [], []
    for group in np.array_split(np.sort(np.mean(np.square(X, dtype=np.float64), axis=1)), GROUPS):
        q0 = float(group.mean())
        prediction = theory.predict(layers, q0)
        second = [function.moments(q).second for q in prediction.q[:-1]]
        square = [g / n for g, n in zip(prediction.gradient, sizes[1:], strict=True)]
        seconds.append(second)
        squares.append(square[:-1])
        products.append([x * d for x, d in zip([q0, *second], square, strict=True)])
        values.append(
            [
                predicted_mean_singular_value(activation, q, width * variance)
                for q, variance in zip(prediction.q[1:depth], variances[1:depth], strict=True)
            ]
        )
    return Prediction(
        [math.sqrt(x) for x in np.mean(seconds, axis=0)],
        [math.sqrt(x) for x in np.mean(squares, axis=0)],
        [math.sqrt(x) for x in np.mean(products, axis=0)],
        np.mean(values, axis=0).tolist(),
    )
