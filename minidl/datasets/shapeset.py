"""Shapeset-3x2: the online image set of Glorot and Bengio (2010), drawn here in NumPy.

All images of a chunk are made at once: every step of the recipe is one array operation over the
chunk, and rejection is a loop over the images that are still rejected.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..data import float_dtype
from ..errors import OptionError
from ..options import count, number

SIDE = 32  # pixels per side
CHUNK = 1024  # images per seed of the bit generator; changing it changes every image
DARK = (0, 114)  # grey levels int(255 * u) for u in [0, 0.45], both ends included
LIGHT = (140, 255)  # for u in [0.55, 1]
SCALE = (0.2 * SIDE, 0.8 * SIDE)  # diameter of the prototype's circle in pixels, per axis
MARGIN = 1.0  # pixels between a shape and the image border
ANGLES = 255  # steps of the full circle
MAX_COVER = 0.5  # of the first shape, by the estimate of `covers_too_much`
MAX_REJECTIONS = 50

SIDES = np.array([3, 4, 20])  # triangle, parallelogram, ellipse
LABEL_OF_ONE = np.array([0, 1, 2])
LABEL_OF_TWO = np.array([[6, 3, 5], [3, 7, 4], [5, 4, 8]])


def _prototypes() -> np.ndarray:
    """Regular polygons of 3, 4, 20 vertices on a circle of radius 0.5, shape (3, 20, 2).

    The y axis points down, as rows do, and one edge lies horizontal at the bottom. The short ones
    are padded by repeating their last vertex: an edge of length 0 changes neither fill nor reach.
    """
    polygons = np.empty((3, SIDES.max(), 2))
    for polygon, sides in zip(polygons, SIDES, strict=True):
        t = np.minimum(np.arange(SIDES.max()), sides - 1)
        angle = 2.0 * math.pi * (t / sides + 1.0 / (2.0 * sides) + 0.25)
        polygon[:] = 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return polygons


PROTOTYPES = _prototypes()
# Area of a regular polygon over the area of its circle.
AREA_RATIO = SIDES * np.sin(2.0 * math.pi / SIDES) / (2.0 * math.pi)


class Shapes(NamedTuple):
    """One shape in each of m images."""

    kind: np.ndarray  # (m,) 0 triangle, 1 parallelogram, 2 ellipse
    scale: np.ndarray  # (m, 2) sx >= sy, pixels
    centre: np.ndarray  # (m, 2) x, y in pixels
    outline: np.ndarray  # (m, 20, 2) vertices relative to the centre

    def take(self, rows: np.ndarray) -> Shapes:
        return Shapes(*(field[rows] for field in self))


class Scene(NamedTuple):
    """What there is to see in the images of one chunk, before it is painted."""

    n_shapes: np.ndarray  # (CHUNK,) 1 or 2
    ground: np.ndarray  # (CHUNK,) grey level
    level: np.ndarray  # (CHUNK, 2) grey level of each shape
    first: Shapes
    second: Shapes  # its rows mean something only where n_shapes == 2


class Stream:
    """Uniform numbers from the raw 64-bit words of PCG64.

    The raw words of a NumPy bit generator never change between releases (NEP 19); the methods of
    ``numpy.random.Generator`` may.
    """

    def __init__(self, seed: int, chunk: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(chunk,)))

    def uniform(self, *shape: int) -> np.ndarray:
        """Uniform float64 in [0, 1)."""
        words = self._bits.random_raw(math.prod(shape)) >> np.uint64(11)
        return (words * 2.0**-53).reshape(shape)

    def between(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Uniform integers in [low, high], both included; the shape is that of `low`."""
        return low + np.floor(self.uniform(*low.shape) * (high - low + 1)).astype(np.int64)


def _rotate(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotate (m, v, 2) points by (m,) angles, from the x axis towards the y axis."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=-1)


def _outline(kind: np.ndarray, shear: np.ndarray, heading: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Steps 4 and 5: a regular polygon becomes a general triangle, parallelogram or ellipse."""
    # A base along x points along (sx cos, sy sin) after the first two; the third undoes that turn.
    undo = -np.arctan(scale[:, 1] / scale[:, 0] * np.tan(shear))
    points = _rotate(PROTOTYPES[kind], shear) * scale[:, None, :]
    return _rotate(points, undo + heading)


def _place(stream: Stream, kind: np.ndarray, shear: np.ndarray, heading: np.ndarray) -> Shapes:
    """Steps 4 to 6: draw a scale and a position for shapes whose type and angles are given."""
    scale = SCALE[0] + (SCALE[1] - SCALE[0]) * stream.uniform(len(kind), 2)
    scale = -np.sort(-scale, axis=1)
    outline = _outline(kind, shear, heading, scale)
    low = MARGIN - outline.min(axis=1)
    high = SIDE - MARGIN - outline.max(axis=1)
    centre = low + (high - low) * stream.uniform(len(kind), 2)
    return Shapes(kind, scale, centre, outline)


def covers_too_much(old: Shapes, new: Shapes) -> np.ndarray:
    """Step 7: whether each `new` shape hides, by estimate, more than half of its `old` one.

    With d the distance of the centres and p the summed reach of both shapes along the line between
    them, the share of the new shape that covers the old one is taken as 0 when p < d, else as
    1 - 2^(-(p - d) / d).
    """
    saved_centre = np.trunc(old.centre)  # the original stores whole pixels
    old_vertices = old.outline + (old.centre - saved_centre)[:, None, :]
    line = new.centre - saved_centre
    d = np.maximum(np.hypot(line[:, 0], line[:, 1]), 1e-9)  # equal centres: all covered, no 0 / 0
    angle = np.arctan2(line[:, 1], line[:, 0])
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, :, None]
    p = (old_vertices @ direction).max(axis=(1, 2)) - (new.outline @ direction).min(axis=(1, 2))
    share = np.where(p >= d, 1.0 - np.exp2(-np.maximum(p - d, 0.0) / d), 0.0)
    new_area = new.scale.prod(axis=1) * AREA_RATIO[new.kind]
    old_area = old.scale.prod(axis=1) * AREA_RATIO[old.kind]
    return new_area * share > MAX_COVER * old_area


def compose(seed: int, chunk: int) -> Scene:
    """Draw everything that is random in the images of one chunk (steps 1 to 7)."""
    stream = Stream(seed, chunk)
    light_ground = (stream.uniform(CHUNK) < 0.5)[:, None]
    n_shapes = 1 + (stream.uniform(CHUNK) < 0.5).astype(np.int64)
    ground = stream.between(*np.where(light_ground, LIGHT, DARK).T)
    kind = np.floor(stream.uniform(CHUNK, 2) * 3).astype(np.int64)
    step = 2.0 * math.pi / ANGLES
    steps = ANGLES // SIDES[kind]  # within one symmetry of the polygon: 85, 63, 12
    lowest = -((steps - 1) // 2)
    shear = step * stream.between(lowest, lowest + steps - 1)
    heading = step * np.floor(ANGLES * stream.uniform(CHUNK, 2))

    first = _place(stream, kind[:, 0], shear[:, 0], heading[:, 0])
    second = Shapes(*(np.zeros_like(field) for field in first))
    waiting = np.flatnonzero(n_shapes == 2)
    for _ in range(MAX_REJECTIONS):
        if waiting.size == 0:
            break
        trial = _place(stream, kind[waiting, 1], shear[waiting, 1], heading[waiting, 1])
        rejected = covers_too_much(first.take(waiting), trial)
        for field, drawn in zip(second, trial, strict=True):
            field[waiting[~rejected]] = drawn[~rejected]
        waiting = waiting[rejected]
    n_shapes[waiting] = 1

    foreground = np.where(light_ground, DARK, LIGHT)
    level = stream.between(*np.stack([foreground, foreground]).transpose(2, 1, 0))
    return Scene(n_shapes, ground, level, first, second)


def fill(shapes: Shapes) -> np.ndarray:
    """Step 8: the pixels of each shape, a mask of shape (m, 32, 32), rows first.

    Vertices are cut to whole pixels. Row y is filled from the smallest to the largest of its
    crossings with the edges that meet it, both ends included; a crossing is cut to a whole pixel
    towards the x of the edge's upper end. So every row between the highest and the lowest vertex
    gets at least one pixel.
    """
    vertices = np.trunc(shapes.outline + shapes.centre[:, None, :]).astype(np.float32)
    rows = np.arange(SIDE, dtype=np.float32)
    left = np.full((len(vertices), SIDE), SIDE, dtype=np.float32)
    right = np.full_like(left, -1)
    for v in range(vertices.shape[1]):
        a, b = vertices[:, v - 1], vertices[:, v]
        upside_down = (a[:, 1] > b[:, 1])[:, None]
        top, bottom = np.where(upside_down, b, a), np.where(upside_down, a, b)
        run, rise = (bottom - top).T
        below = rows - top[:, 1:]
        # Exact in float32: a quotient of integers below 1024 is whole, or 1/32 away from it.
        x = top[:, :1] + np.trunc(below * run[:, None] / np.maximum(rise, 1)[:, None])
        met = (below >= 0) & (rows <= bottom[:, 1:])
        np.minimum(left, x, out=left, where=met)
        np.maximum(right, x, out=right, where=met)
    columns = np.arange(SIDE, dtype=np.int8)
    left, right = left.astype(np.int8)[..., None], right.astype(np.int8)[..., None]
    return (columns >= left) & (columns <= right)


def paint(scene: Scene) -> np.ndarray:
    """Paint the shapes in order, the second over the first: (CHUNK, 32, 32) uint8."""
    ground = scene.ground.astype(np.uint8)
    level = scene.level.astype(np.uint8)
    images = np.where(fill(scene.first), level[:, 0, None, None], ground[:, None, None])
    two = np.flatnonzero(scene.n_shapes == 2)
    mask = fill(scene.second.take(two))
    images[two] = np.where(mask, level[two, 1, None, None], images[two])
    return images


def labels_of(scene: Scene) -> np.ndarray:
    """Classes 0 to 8 by the counts of triangles, parallelograms and ellipses."""
    pair = LABEL_OF_TWO[scene.first.kind, scene.second.kind]
    return np.where(scene.n_shapes == 1, LABEL_OF_ONE[scene.first.kind], pair)


def shapeset(
    n: int = 10000,
    seed: int = 0,
    dtype: DTypeLike = "float32",
    pixel_range: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, np.ndarray]:
    r"""Draw `n` images of Shapeset-3x2: one or two shapes on a 32 by 32 ground, nine classes.

    Each image is drawn in the steps of the authors' generator [2]_ with the settings of their
    paper [1]_:

    1. Contrast, probability 1/2 each: light shapes (grey 140..255) on a dark ground (0..114), or
       the reverse.
    2. One or two shapes, and the grey level of the ground, uniform.
    3. Per shape a type, uniform: triangle, parallelogram, ellipse; a regular polygon of 3, 4 or 20
       vertices on a circle of radius 1/2.
    4. Shear: an angle :math:`\theta_1` uniform on a grid of :math:`2\pi/255` within
       :math:`\pm\pi/\text{vertices}`, and scales :math:`s_x \ge s_y`, two uniform draws from
       [6.4, 25.6] pixels. Rotate by :math:`\theta_1`, scale, rotate by
       :math:`-\arctan(\frac{s_y}{s_x}\tan\theta_1)`: the base is horizontal again.
    5. Orientation, uniform on the same grid of the full circle.
    6. Position, uniform where the shape keeps 1 pixel from the border.
    7. A second shape that covers more than half of the first, by an estimate from centres, reaches
       and areas, gets a new scale and position. After 50 rejections the image keeps one shape.
    8. Paint in order, the second shape over the first, without anti-aliasing: vertices are cut to
       whole pixels; each row is filled between its outermost crossings, both included, a crossing
       being cut towards the x of its edge's upper end.
    9. Map grey 0..255 to `pixel_range`.

    Three small things differ from the original: the random numbers are others, the two grids of
    angles lack its off-by-one gaps, and the rows of an image are its y axis.

    Parameters
    ----------
    n : int
        Number of images, at least 1. Image k does not depend on n.
    seed : int
        Seed, at least 0. Different seeds give independent sets: for an endless stream take one seed
        after the other; for training, validation and test take three.
    dtype : {"float32", "float64"}
        The dtype of the pixels.
    pixel_range : (float, float)
        Values of grey 0 and grey 255; the experiments of the paper exist with (0, 1) and (-1, 1).

    Returns
    -------
    X : ndarray of shape (n, 1024)
        Pixels row by row.
    y : ndarray of shape (n,), int64
        Class. One shape: 0 triangle, 1 parallelogram, 2 ellipse (probability 1/6 each). Two shapes:
        3 triangle and parallelogram, 4 parallelogram and ellipse, 5 triangle and ellipse (1/9
        each), 6 two triangles, 7 two parallelograms, 8 two ellipses (1/18 each). An image
        that gave up in step 7 counts as one shape; not one in the first 500,000 of seed 0 did.

    Raises
    ------
    OptionError
        An argument is outside its range.
    DtypeError
        `dtype` is not one of the two.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
       networks", AISTATS 2010, section 2.1.
    .. [2] X. Glorot, Shapeset, https://github.com/glorotxa/Shapeset, revision a0cd8be.

    Examples
    --------
    >>> from minidl.datasets import shapeset
    >>> X, y = shapeset(100, seed=3)
    >>> X.shape, str(X.dtype), y.shape
    ((100, 1024), 'float32', (100,))
    >>> bool((shapeset(5, seed=3)[0] == X[:5]).all())
    True
    """
    n = count("n", n, 1)
    seed = count("seed", seed, 0)
    dtype = float_dtype(dtype)
    try:
        low, high = pixel_range
    except (TypeError, ValueError):
        raise OptionError(
            f"pixel_range={pixel_range!r}: expected two numbers (value of black, value of white)."
        ) from None
    low = number("pixel_range[0]", low, "a finite number", lambda value: True)
    high = number("pixel_range[1]", high, "a number > pixel_range[0]", lambda value: value > low)
    value_of_grey = (low + (high - low) * (np.arange(256) / 255.0)).astype(dtype)

    X = np.empty((n, SIDE * SIDE), dtype=dtype)
    y = np.empty(n, dtype=np.int64)
    for start in range(0, n, CHUNK):
        scene = compose(seed, start // CHUNK)
        stop = min(start + CHUNK, n)
        grey = paint(scene).reshape(CHUNK, -1)[: stop - start]
        np.take(value_of_grey, grey, out=X[start:stop], mode="clip")  # no uint8 exceeds 255
        y[start:stop] = labels_of(scene)[: stop - start]
    return X, y
