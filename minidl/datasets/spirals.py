"""Interleaved spirals: the picture of a problem that no linear model solves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import DTypeLike

from ..data import float_dtype
from ..options import count, non_negative, positive

# Arms meet at the origin, so the innermost tenth is left out: classes are disjoint without noise.
INNER_RADIUS = 0.1


def spirals(
    n: int = 1000,
    classes: int = 3,
    turns: float = 1.0,
    noise: float = 0.02,
    seed: int = 0,
    dtype: DTypeLike = "float32",
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw points from `classes` Archimedean spirals around the origin, one spiral per class.

    Point :math:`i` has class :math:`y = i \bmod c`, radius :math:`r` uniform in [0.1, 1] and
    position

    .. math:: x = r\,(\cos\theta, \sin\theta) + \text{noise}\cdot(\varepsilon_1, \varepsilon_2),
              \qquad \theta = 2\pi\,(\text{turns}\cdot r + y / c),

    with independent standard normal :math:`\varepsilon`. Neighbouring arms are
    :math:`1 / (c \cdot \text{turns})` apart along a radius: compare `noise` with that. The first
    points of a longer draw are the points of a shorter one.

    Parameters
    ----------
    n : int
        Number of points, at least 1.
    classes : int
        Number of spirals, at least 2.
    turns : float
        Turns of a spiral over a radius of 1, greater than 0. More turns are harder.
    noise : float
        Standard deviation of the noise in each coordinate, at least 0.
    seed : int
        Seed, at least 0. The same seed gives the same points.
    dtype : {"float32", "float64"}
        The dtype of the points.

    Returns
    -------
    X : ndarray of shape (n, 2)
        The points.
    y : ndarray of shape (n,), int64
        The class, 0 to ``classes - 1``; class sizes differ by at most one.

    Raises
    ------
    OptionError
        An argument is outside its range.

    References
    ----------
    .. [1] K. J. Lang, M. J. Witbrock, "Learning to Tell Two Spirals Apart", Proceedings of the 1988
       Connectionist Models Summer School, 52-59.

    Examples
    --------
    >>> import numpy as np
    >>> from minidl.datasets import spirals
    >>> X, y = spirals(9, classes=3, noise=0.0)
    >>> y.tolist()
    [0, 1, 2, 0, 1, 2, 0, 1, 2]
    >>> bool((np.hypot(X[:, 0], X[:, 1]) <= 1).all())
    True
    """
    n = count("n", n, 1)
    classes = count("classes", classes, 2)
    turns = positive("turns", turns)
    noise = non_negative("noise", noise)
    seed = count("seed", seed, 0)
    dtype = float_dtype(dtype)
    # One stream per role, so that the length of one draw does not shift the other.
    streams = np.random.SeedSequence(seed).spawn(2)
    radii, jitter = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
    y = np.arange(n, dtype=np.int64) % classes
    r = INNER_RADIUS + (1.0 - INNER_RADIUS) * radii.random(n)
    theta = 2.0 * math.pi * (turns * r + y / classes)
    X = np.stack([r * np.cos(theta), r * np.sin(theta)], axis=1)
    X += noise * jitter.standard_normal((n, 2))
    return X.astype(dtype), y
