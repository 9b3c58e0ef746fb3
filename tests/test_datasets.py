"""The computed data sets against their recipes, the read ones against files written here."""

import builtins
import gzip
import hashlib
import importlib
import math
import struct
import sys
import types
from fractions import Fraction

import numpy as np
import pytest

from minidl.datasets import digits, mnist, shapeset, spirals
from minidl.datasets.mnist import FILES, MIRRORS, read_idx
from minidl.errors import DataError, DtypeError, OptionError

# The package shows the function of this name; the tests look at the module behind it.
recipe = importlib.import_module("minidl.datasets.shapeset")

CHUNKS = 20  # 20480 images
VERTICES = {0: 3, 1: 4, 2: 20}


@pytest.fixture(scope="module")
def scenes():
    return [recipe.compose(0, chunk) for chunk in range(CHUNKS)]


@pytest.fixture(scope="module")
def images():
    """Grey levels (n, 32, 32) and labels of the same images as `scenes`."""
    X, y = shapeset(CHUNKS * recipe.CHUNK, pixel_range=(0.0, 255.0))
    np.testing.assert_array_equal(X, np.rint(X))
    return X.astype(np.int64).reshape(-1, 32, 32), y


def gather(scenes, get):
    return np.concatenate([get(scene) for scene in scenes])


# ------------------------------------------------------------------------------- shapeset: as a set


def test_shapeset_shapes_dtypes_and_ranges():
    for dtype in ("float32", "float64"):
        X, y = shapeset(50, dtype=dtype)
        assert X.shape == (50, 1024)
        assert X.dtype == dtype
        assert y.shape == (50,)
        assert y.dtype == np.int64
        assert 0.0 <= X.min() < X.max() <= 1.0
        signed, _ = shapeset(50, dtype=dtype, pixel_range=(-1, 1))
        np.testing.assert_allclose(signed, 2 * X.astype("float64") - 1, atol=2e-7)
        # Grey levels are whole numbers of 1/255, rounded once.
        np.testing.assert_array_equal(X, (np.rint(X * 255.0) / 255.0).astype(dtype))


def test_shapeset_is_determined_by_its_seed():
    X, y = shapeset(300, seed=5)
    again, labels = shapeset(300, seed=5)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, labels)
    assert (shapeset(300, seed=6)[0] != X).any(axis=1).all()


@pytest.mark.parametrize("m", [1, 1023, 1024, 1025, 2047])
def test_image_k_does_not_depend_on_n(m):
    X, y = shapeset(2100, seed=2)
    X_short, y_short = shapeset(m, seed=2)
    np.testing.assert_array_equal(X_short, X[:m])
    np.testing.assert_array_equal(y_short, y[:m])


def test_no_image_repeats(images):
    grey, _ = images
    assert len({image.tobytes() for image in grey.astype(np.uint8)}) == len(grey)


def test_golden_hash():
    # Written once: a change here changes every experiment that ran on Shapeset.
    X, y = shapeset(2000, seed=7, pixel_range=(0, 255))
    digest = hashlib.sha256(X.astype(np.uint8).tobytes() + y.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "1d32cc7daf2172cae7f696bb884594ea9b7c0a4dabca7c577b23c236b6b2aeb8"


def test_label_frequencies(images):
    # Not one image of these gave up (test_give_up_is_rare), so the priors are exact.
    _, y = images
    prior = np.array([1 / 6] * 3 + [1 / 9] * 3 + [1 / 18] * 3)
    sigma = np.sqrt(prior * (1 - prior) / len(y))
    assert (np.abs(np.bincount(y, minlength=9) / len(y) - prior) < 5 * sigma).all()


def test_labels_count_the_types(scenes, images):
    counts_of_label = [
        (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (2, 0, 0), (0, 2, 0),
        (0, 0, 2),
    ]  # fmt: skip
    label = iter(images[1])
    for scene in scenes:
        for i in range(recipe.CHUNK):
            counts = [0, 0, 0]
            counts[scene.first.kind[i]] += 1
            if scene.n_shapes[i] == 2:
                counts[scene.second.kind[i]] += 1
            assert counts_of_label[next(label)] == tuple(counts)


# ---------------------------------------------------------------------------- shapeset: grey levels


def test_grey_levels(scenes, images):
    grey, y = images
    ground = grey[:, 0, 0]
    light_ground = ground >= 140
    # The margin: the border is ground, everywhere.
    for border in (grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]):
        assert (border == ground[:, None]).all()
    # Ground on one side of the gap, shapes on the other.
    is_ground = grey == ground[:, None, None]
    is_light = grey >= 140
    assert ((grey <= 114) | is_light).all()
    assert (is_ground == (is_light == light_ground[:, None, None])).all()
    # Each side is used to both ends.
    for side, (low, high) in ((~light_ground, (0, 114)), (light_ground, (140, 255))):
        assert (ground[side].min(), ground[side].max()) == (low, high)
        counts = np.bincount(ground[side] - low)
        expected = side.sum() / (high - low + 1)
        assert (np.abs(counts - expected) < 5 * math.sqrt(expected) + 1).all()
    assert abs(light_ground.mean() - 0.5) < 5 * 0.5 / math.sqrt(len(grey))
    # Levels per image: ground and shape; ground and two shapes, unless they agree by chance.
    ordered = np.sort(grey.reshape(len(grey), -1), axis=1)
    levels = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
    one = y <= 2
    assert (levels[one] == 2).all()
    assert set(levels[~one]) <= {2, 3}
    hidden_or_equal = np.count_nonzero(levels[~one] == 2)
    level = gather(scenes, lambda scene: scene.level)[~one]
    equal = np.count_nonzero(level[:, 0] == level[:, 1])
    p = 0.5 * (1 / 115 + 1 / 116)
    assert abs(equal - p * len(level)) < 5 * math.sqrt(p * len(level))
    # The estimate of the overlap may be wrong now and then, but a shape is rarely hidden whole.
    assert equal <= hidden_or_equal <= equal + 0.01 * len(level)


# ------------------------------------------------------------------------------- shapeset: geometry


def shapes_of(scenes):
    """Every shape that is painted: kind, scale, centre, outline."""
    parts = [scene.first for scene in scenes]
    parts += [scene.second.take(np.flatnonzero(scene.n_shapes == 2)) for scene in scenes]
    return recipe.Shapes(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def shoelace(polygon):
    x, y = polygon[..., 0], polygon[..., 1]
    return 0.5 * np.abs((x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1))


def test_scales_and_areas(scenes):
    shapes = shapes_of(scenes)
    assert (shapes.scale[:, 0] >= shapes.scale[:, 1]).all()
    assert shapes.scale.min() >= 6.4
    assert shapes.scale.max() <= 25.6
    # The map of step 4 has determinant sx sy, whatever the angles.
    for kind, n in VERTICES.items():
        rows = shapes.kind == kind
        polygon = shapes.outline[rows][:, :n]
        assert (shapes.outline[rows][:, n:] == polygon[:, -1:]).all()  # padding
        regular = n / 8 * math.sin(2 * math.pi / n)
        np.testing.assert_allclose(shoelace(polygon), regular * shapes.scale[rows].prod(axis=1), rtol=1e-10)
    # First shapes are not selected, so the mean scale of both axes is that of a uniform draw.
    first = gather(scenes, lambda scene: scene.first.scale).mean(axis=1)
    sigma = 19.2 / math.sqrt(24 * len(first))
    assert abs(first.mean() - 16.0) < 5 * sigma


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_base_is_horizontal_before_the_orientation(kind):
    rng = np.random.default_rng(0)
    shear = rng.uniform(-1, 1, 200) * math.pi / VERTICES[kind]
    scale = -np.sort(-rng.uniform(6.4, 25.6, (200, 2)), axis=1)
    outline = recipe._outline(np.full(200, kind), shear, np.zeros(200), scale)
    outline = outline[:, : VERTICES[kind]]
    # Vertex 0 and the last one are the ends of the edge that is at the bottom, where y is largest.
    np.testing.assert_allclose(outline[:, 0, 1], outline[:, -1, 1], atol=1e-12)
    np.testing.assert_allclose(outline[:, 0, 1], outline[..., 1].max(axis=1), atol=1e-12)
    np.testing.assert_allclose(outline.mean(axis=1), 0.0, atol=1e-12)
    if kind == 1:  # opposite sides of a parallelogram
        np.testing.assert_allclose(outline[:, 0] - outline[:, 1], outline[:, 3] - outline[:, 2])


def test_shear_and_orientation_are_uniform_on_the_grid(monkeypatch):
    seen = []
    place = recipe._place

    def spy(stream, kind, shear, heading):
        seen.append((kind, shear, heading))
        return place(stream, kind, shear, heading)

    monkeypatch.setattr(recipe, "_place", spy)
    firsts = []
    for chunk in range(CHUNKS):
        seen.clear()
        recipe.compose(3, chunk)
        firsts.append(seen[0])
    kind, shear, heading = (np.concatenate(field) for field in zip(*firsts, strict=True))
    steps = np.rint(heading * 255 / (2 * math.pi))
    np.testing.assert_allclose(heading, steps * 2 * math.pi / 255)
    expected = len(steps) / 255
    assert (np.abs(np.bincount(steps.astype(int)) - expected) < 5 * math.sqrt(expected)).all()
    for k, n in VERTICES.items():
        steps = np.rint(shear[kind == k] * 255 / (2 * math.pi)).astype(int)
        assert np.abs(shear[kind == k]).max() <= math.pi / n
        assert len(np.unique(steps)) == 255 // n
        expected = len(steps) / (255 // n)
        counts = np.bincount(steps - steps.min())
        assert (np.abs(counts - expected) < 5 * math.sqrt(expected)).all()


def test_positions_fill_the_room_inside_the_margin(scenes):
    shapes = shapes_of(scenes)
    vertices = shapes.outline + shapes.centre[:, None, :]
    assert vertices.min() >= 1.0 - 1e-12
    assert vertices.max() <= 31.0 + 1e-12
    first = recipe.Shapes(*(gather(scenes, lambda s, f=f: s.first[f]) for f in range(4)))
    vertices = first.outline + first.centre[:, None, :]
    before = vertices.min(axis=1) - 1.0
    after = 31.0 - vertices.max(axis=1)
    relative = before / (before + after)
    sigma = 1 / math.sqrt(12 * len(relative))
    assert (np.abs(relative.mean(axis=0) - 0.5) < 5 * sigma).all()
    assert (np.abs(relative.var(axis=0) - 1 / 12) < 5 / math.sqrt(180 * len(relative))).all()


def estimated_cover(old, new):
    """Step 7 for one pair of shapes, in plain Python."""
    saved = [float(int(c)) for c in old.centre]
    d = math.dist(new.centre, saved)
    ux, uy = (new.centre[0] - saved[0]) / d, (new.centre[1] - saved[1]) / d
    reach_old = max(
        (x + old.centre[0] - saved[0]) * ux + (y + old.centre[1] - saved[1]) * uy for x, y in old.outline
    )
    reach_new = max(-x * ux - y * uy for x, y in new.outline)
    p = reach_old + reach_new
    if p < d:
        return 0.0
    f = 1 - 2 ** (-(p - d) / d)

    def area(shape):
        k = VERTICES[int(shape.kind)]
        return shape.scale[0] * shape.scale[1] * k * math.sin(2 * math.pi / k) / (2 * math.pi)

    return area(new) * f / area(old)


def test_overlap_rule(scenes):
    scene = scenes[0]
    two = np.flatnonzero(scene.n_shapes == 2)
    covers = [estimated_cover(scene.first.take(i), scene.second.take(i)) for i in two]
    assert max(covers) <= 0.5
    assert max(covers) > 0.4
    # The same draws without the rule: some are rejected, and the vectorised rule agrees on which.
    stream = recipe.Stream(11, 0)
    m = 500
    kinds = np.arange(m) % 3
    angles = np.zeros(m)
    old = recipe._place(stream, kinds, angles, angles)
    new = recipe._place(stream, np.roll(kinds, 1), angles, angles + 1.0)
    expected = [estimated_cover(old.take(i), new.take(i)) > 0.5 for i in range(m)]
    assert 0.1 < np.mean(expected) < 0.9
    assert recipe.covers_too_much(old, new).tolist() == expected


def test_equal_centres_count_as_covered():
    stream = recipe.Stream(0, 0)
    zeros = np.zeros(1)
    old = recipe._place(stream, np.array([2]), zeros, zeros)
    old = old._replace(centre=np.trunc(old.centre))
    assert recipe.covers_too_much(old, old).tolist() == [True]


def test_give_up_is_rare(scenes):
    wanted = [recipe.Stream(0, chunk).uniform(2, recipe.CHUNK)[1] < 0.5 for chunk in range(CHUNKS)]
    np.testing.assert_array_equal(np.concatenate(wanted), gather(scenes, lambda scene: scene.n_shapes) == 2)


def test_after_the_last_rejection_one_shape_is_left(monkeypatch):
    usual = recipe.compose(0, 0)
    monkeypatch.setattr(recipe, "MAX_REJECTIONS", 1)
    hasty = recipe.compose(0, 0)
    gave_up = (usual.n_shapes == 2) & (hasty.n_shapes == 1)
    assert 20 < np.count_nonzero(gave_up) < 400
    assert (hasty.n_shapes <= usual.n_shapes).all()
    np.testing.assert_array_equal(recipe.labels_of(hasty)[gave_up], usual.first.kind[gave_up])
    levels = [len(np.unique(image)) for image in recipe.paint(hasty)[gave_up]]
    assert set(levels) == {2}


# ----------------------------------------------------------------------------- shapeset: the pixels


def slow_fill(vertices):
    """The documented fill rule for one polygon, with exact fractions, pixel by pixel."""
    corners = [(int(x), int(y)) for x, y in vertices]
    pixels = np.zeros((32, 32), dtype=bool)
    for row in range(32):
        crossings = []
        for (xa, ya), (xb, yb) in zip(corners, corners[1:] + corners[:1], strict=True):
            if not min(ya, yb) <= row <= max(ya, yb):
                continue
            if ya == yb:
                crossings += [xa, xb]
                continue
            (xt, yt), (xl, yl) = sorted([(xa, ya), (xb, yb)], key=lambda corner: corner[1])
            crossings.append(xt + math.trunc(Fraction((row - yt) * (xl - xt), yl - yt)))
        for column in range(32):
            pixels[row, column] = bool(crossings) and min(crossings) <= column <= max(crossings)
    return pixels


def test_pixels_against_a_slow_rasteriser(scenes, images):
    scene, (grey, _) = scenes[0], images
    for i in range(100):
        expected = np.full((32, 32), scene.ground[i])
        for s, shape in enumerate((scene.first, scene.second)[: scene.n_shapes[i]]):
            n = VERTICES[int(shape.kind[i])]
            expected[slow_fill(shape.outline[i, :n] + shape.centre[i])] = scene.level[i, s]
        np.testing.assert_array_equal(grey[i], expected)


def test_fill_of_degenerate_polygons():
    def mask(*corners):
        outline = np.array(corners, dtype=float)
        outline = np.concatenate([outline, np.repeat(outline[-1:], 20 - len(outline), axis=0)])
        zero = np.zeros((1, 2))
        return recipe.fill(recipe.Shapes(np.zeros(1, int), zero, zero, outline[None]))[0]

    assert np.argwhere(mask((4.9, 7.2), (4.1, 7.9), (4.5, 7.5))).tolist() == [[7, 4]]
    assert np.argwhere(mask((3, 5), (6, 5), (4, 5))).tolist() == [[5, 3], [5, 4], [5, 5], [5, 6]]
    assert np.argwhere(mask((3, 5), (3, 7), (3, 6))).tolist() == [[5, 3], [6, 3], [7, 3]]
    square = np.zeros((32, 32), dtype=bool)
    square[2:6, 3:9] = True
    np.testing.assert_array_equal(mask((3, 2), (8, 2), (8, 5), (3, 5)), square)


def test_pixels_against_the_true_polygon(scenes):
    # Cutting moves a vertex by less than sqrt(2), cutting a crossing by less than 1 more: pixels
    # further than sqrt(2) + 1 from every edge line have the colour of the true, convex polygon.
    shapes = scenes[0].first
    n_inside = 0
    for i in range(300):
        polygon = shapes.outline[i, : VERTICES[int(shapes.kind[i])]] + shapes.centre[i]
        edge = np.roll(polygon, -1, axis=0) - polygon
        inward = np.stack([-edge[:, 1], edge[:, 0]], axis=1)
        inward *= np.sign((inward * (polygon.mean(axis=0) - polygon)).sum(axis=1))[:, None]
        inward /= np.hypot(edge[:, 0], edge[:, 1])[:, None]
        y, x = np.mgrid[:32, :32]
        pixel = np.stack([x, y], axis=-1)[:, :, None, :]
        depth = ((pixel - polygon) * inward).sum(axis=-1).min(axis=-1)
        pixels = recipe.fill(shapes.take(np.array([i])))[0]
        assert pixels[depth > math.sqrt(2) + 1].all()
        assert not pixels[depth < -math.sqrt(2) - 1].any()
        n_inside += np.count_nonzero(depth > math.sqrt(2) + 1)
    assert n_inside > 3000


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_pixel_count_against_the_area(scenes, kind):
    # Corners at whole pixels, rows r to s, widths w(y) before crossings are cut. The pixels are
    # sum(w(y) + 1), plus what the cuts change: nothing in mean over a set that has with every
    # polygon its mirror image. The trapezoid rule is exact between whole corners:
    # sum w(y) = A + (w(r) + w(s)) / 2 with A the area of the cut polygon. And A is in mean the true
    # area, by the shoelace sum: over positions uniform within a pixel the mean of
    # trunc(x) trunc(y) is (x - 1/2) (y - 1/2).
    rng = np.random.default_rng(1)
    n = VERTICES[kind]
    shapes = shapes_of(scenes)
    shapes = shapes.take(np.flatnonzero(shapes.kind == kind))
    outline = np.concatenate([shapes.outline, shapes.outline * [-1, 1]])
    scale = np.tile(shapes.scale, (2, 1))
    centre = 15.0 + rng.random((len(outline), 2))
    shapes = recipe.Shapes(np.full(len(outline), kind), scale, centre, outline)
    corners = np.trunc(outline[:, :n] + centre[:, None, :])
    x, y = corners[..., 0], corners[..., 1]
    rows = np.ptp(y, axis=1) + 1
    ends = 0.0
    for end in (y.min(axis=1), y.max(axis=1)):
        at_end = y == end[:, None]
        ends += np.where(at_end, x, -np.inf).max(axis=1) - np.where(at_end, x, np.inf).min(axis=1)
    area = n / 8 * math.sin(2 * math.pi / n) * scale.prod(axis=1)
    if kind == 2:
        # Cutting dents most 20-gons, and rows fill dents: the sum is exact for those without.
        edge = np.roll(corners, -1, axis=1) - corners
        following = np.roll(edge, -1, axis=1)
        turn = edge[..., 0] * following[..., 1] - edge[..., 1] * following[..., 0]
        convex = (turn >= 0).all(axis=1) | (turn <= 0).all(axis=1)
        area = np.where(convex, shoelace(corners), np.nan)
    excess = recipe.fill(shapes).sum(axis=(1, 2)) - (area + rows + ends / 2)
    excess = excess[~np.isnan(excess)]
    assert len(excess) > 5000
    standard_error = excess.std() / math.sqrt(len(excess))
    assert standard_error < 0.1  # pixels, on areas of about 100
    assert abs(excess.mean()) < 5 * standard_error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0: expected an integer >= 1"),
        ({"n": 2.5}, "n=2.5"),
        ({"n": True}, "n=True"),
        ({"seed": -1}, "seed=-1"),
        ({"pixel_range": (1, 0)}, r"pixel_range\[1\]=0"),
        ({"pixel_range": (0, math.inf)}, r"pixel_range\[1\]=inf"),
        ({"pixel_range": 1}, "pixel_range=1: expected two numbers"),
    ],
)
def test_shapeset_refuses(options, message):
    with pytest.raises(OptionError, match=message):
        shapeset(**options)


@pytest.mark.parametrize("dtype", ["float16", "int32", object, None, "nonsense"])
@pytest.mark.parametrize("load", [shapeset, spirals, digits, mnist])
def test_every_set_refuses_other_dtypes(load, dtype):
    with pytest.raises(DtypeError, match="expected 'float32' or 'float64'"):
        load(dtype=dtype)


# ------------------------------------------------------------------------------------------ spirals


@pytest.mark.parametrize(("classes", "turns"), [(2, 1.5), (3, 1.0), (5, 0.4)])
def test_spirals_lie_on_their_curves(classes, turns):
    n = 4000
    X, y = spirals(n, classes, turns, noise=0.0, dtype="float64")
    assert X.shape == (n, 2)
    assert y.dtype == np.int64
    assert np.ptp(np.bincount(y, minlength=classes)) <= 1
    z = X[:, 0] + 1j * X[:, 1]
    r = np.abs(z)
    on_the_real_axis = z * np.exp(-2j * np.pi * (turns * r + y / classes)) / r
    np.testing.assert_allclose(on_the_real_axis, 1.0, atol=1e-12)
    # Uniform on [0.1, 1].
    assert r.min() >= 0.1 - 1e-12
    assert r.max() <= 1.0 + 1e-12
    assert abs(r.mean() - 0.55) < 5 * 0.9 / math.sqrt(12 * n)


def test_spirals_noise():
    n, noise = 20000, 0.3
    quiet, _ = spirals(n, noise=0.0, dtype="float64")
    loud, _ = spirals(n, noise=noise, dtype="float64")
    e = (loud - quiet) / noise
    assert (np.abs(e.mean(axis=0)) < 5 / math.sqrt(n)).all()
    assert (np.abs(e.var(axis=0) - 1) < 5 * math.sqrt(2 / n)).all()
    assert abs((e[:, 0] * e[:, 1]).mean()) < 5 / math.sqrt(n)


def test_spirals_seed_prefix_and_dtype():
    X = spirals(100, seed=1)[0]
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X, spirals(1000, seed=1)[0][:100])
    np.testing.assert_array_equal(X, spirals(100, seed=1, dtype="float64")[0].astype("float32"))
    assert (spirals(100, seed=2)[0] != X).any()


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"classes": 1}, {"turns": 0}, {"turns": math.nan}, {"noise": -1}]
)
def test_spirals_refuses(options):
    (name,) = options
    with pytest.raises(OptionError, match=f"{name}="):
        spirals(**options)


# ------------------------------------------------------------------------------------------- digits


def test_digits():
    sklearn = pytest.importorskip("sklearn.datasets")
    X, y = digits()
    bunch = sklearn.load_digits()
    assert X.dtype == np.float32
    assert y.dtype == np.int64
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(X * 16, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)
    np.testing.assert_array_equal(digits("float64")[0], X)


def without(monkeypatch, package):
    """Make `import package` fail, installed or not."""
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(f"No module named '{package}'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_digits_without_scikit_learn(monkeypatch):
    without(monkeypatch, "sklearn")
    with pytest.raises(ImportError, match=r"pip install 'minidl\[datasets\]'"):
        digits()


# ---------------------------------------------------------------------------------------- IDX files

IDX = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array):
    """An IDX file, from the description of the format."""
    array = np.asarray(array)
    header = bytes([0, 0, IDX[array.dtype.name], array.ndim])
    header += b"".join(struct.pack(">I", size) for size in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("dtype", list(IDX))
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("compress", [False, True])
def test_read_idx(tmp_path, dtype, shape, compress):
    expected = np.asarray(np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)
    content = idx_bytes(expected)
    path = tmp_path / "some.file"
    path.write_bytes(gzip.compress(content) if compress else content)
    array = read_idx(str(path))
    np.testing.assert_array_equal(array, expected)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.flags.writeable


GOOD = idx_bytes(np.arange(100, dtype=np.uint8).reshape(20, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected an IDX file"),
        (b"\0\0\x08", "expected an IDX file"),
        (b"\x89PNG\r\n", "found the first bytes '89 50 4e 47'"),
        (b"\0\x01" + GOOD[2:], "found the first bytes '00 01 08 02'"),
        (b"\0\0\x0a" + GOOD[3:], "found the first bytes '00 00 0a 02'"),
        (GOOD[:7], "expected a header of 12 bytes for rank 2, found a file of 7 bytes"),
        (GOOD[:-1], r"expected 112 bytes for shape \(20, 5\) of uint8, found 111"),
        (GOOD + b"!", r"expected 112 bytes for shape \(20, 5\) of uint8, found 113"),
        (b"\0\0\x0e\x03" + b"\xff" * 12, "found 16"),  # a huge shape allocates nothing
        (gzip.compress(GOOD)[:-12], "gzip file, found one that is cut or damaged"),
        (gzip.compress(GOOD)[:-8] + b"\0" * 8, "gzip file, found one that is cut or damaged"),
        (gzip.compress(GOOD)[:10] + b"\xff" * 20, "gzip file, found one that is cut or damaged"),
    ],
)
def test_read_idx_names_the_fault(tmp_path, content, message):
    path = tmp_path / "faulty-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        read_idx(path)
    assert str(path) in str(raised.value)


def test_read_idx_missing(tmp_path):
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


# -------------------------------------------------------------------------------------------- MNIST


@pytest.fixture
def files():
    """Four small files in the form of MNIST, by name."""
    rng = np.random.default_rng(0)
    content = {}
    for part, n in (("train", 30), ("t10k", 12)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images.flat[:256] = np.arange(256)
        content[f"{part}-images-idx3-ubyte"] = images
        content[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, n, dtype=np.uint8)
    return content


def write(folder, files, suffix=""):
    folder.mkdir(exist_ok=True)
    for name, array in files.items():
        content = idx_bytes(array)
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)


def assert_is(loaded, files, dtype="float32"):
    for (X, y), part in zip(loaded, ("train", "t10k"), strict=True):
        images = files[f"{part}-images-idx3-ubyte"]
        exact = (images.reshape(-1, 784) / 255.0).astype(dtype)  # float64, rounded
        np.testing.assert_allclose(X, exact, rtol=np.finfo(dtype).eps, atol=0)
        assert (X.min(), X.max()) == (0, 1)
        assert X.dtype == dtype
        assert X.flags.c_contiguous
        np.testing.assert_array_equal(y, files[f"{part}-labels-idx1-ubyte"])
        assert y.dtype == np.int64


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("sub", [".", "mnist"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mnist_from_root_or_environment(tmp_path, monkeypatch, files, suffix, sub, dtype):
    write(tmp_path / sub, files, suffix)
    assert_is(mnist(tmp_path, dtype=dtype), files, dtype)
    assert_is(mnist(str(tmp_path), dtype=dtype), files, dtype)
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    assert_is(mnist(dtype=dtype), files, dtype)


def test_mnist_default_folder_is_the_cache(tmp_path, monkeypatch, files):
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "minidl").mkdir()
    write(tmp_path / "minidl" / "mnist", files, ".gz")
    assert_is(mnist(), files)


def test_mnist_missing(tmp_path, files):
    files.pop("t10k-labels-idx1-ubyte")
    write(tmp_path, files)
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte .* not found") as raised:
        mnist(tmp_path)
    for word in (str(tmp_path), "download=True", "root=", "MINIDL_DATA"):
        assert word in str(raised.value)
    assert "train-images" not in str(raised.value)
    with pytest.raises(DataError, match="train-images-idx3-ubyte, train-labels"):
        mnist(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda a: a[:, :27], r"found uint8 of shape \(30, 27, 28\)"),
        (
            "train-images-idx3-ubyte",
            lambda a: a.reshape(30, 784),
            r"found uint8 of shape \(30, 784\)",
        ),
        ("t10k-images-idx3-ubyte", lambda a: a.astype("int8"), "expected uint8 images"),
        ("train-images-idx3-ubyte", lambda a: a[:29], "expected 29 labels, one for each image"),
        ("t10k-labels-idx1-ubyte", lambda a: a[:11], "expected 12 labels.*found 11"),
        ("t10k-labels-idx1-ubyte", lambda a: a[:, None], "expected uint8 labels of shape"),
        ("t10k-labels-idx1-ubyte", lambda a: a.astype("int32"), "found int32"),
        ("train-labels-idx1-ubyte", lambda a: np.r_[a[:5], np.uint8(10), a[6:]], "found 10 at 5"),
    ],
)
def test_mnist_names_the_fault(tmp_path, files, name, change, message):
    files[name] = change(files[name])
    write(tmp_path, files)
    with pytest.raises(DataError, match=message) as raised:
        mnist(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert name.split("-")[0] in str(raised.value)


def test_mnist_without_images(tmp_path, files):
    write(tmp_path, {name: array[:0] for name, array in files.items()})
    with pytest.raises(DataError, match="expected at least one image"):
        mnist(tmp_path)


def test_mnist_cut_gzip(tmp_path, files):
    write(tmp_path, files, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: expected a whole gzip file"):
        mnist(tmp_path)


def test_mnist_download_fetches_what_is_missing(tmp_path, monkeypatch, files):
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append(url)
        if url.startswith(MIRRORS[0]):
            raise OSError("no route to host")
        name = fname.removesuffix(".gz")
        assert known_hash == f"sha256:{FILES[name]}"
        path.mkdir(exist_ok=True)
        (path / fname).write_bytes(gzip.compress(idx_bytes(files[name])))
        return str(path / fname)

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    kept = {"train-labels-idx1-ubyte": files["train-labels-idx1-ubyte"]}
    write(tmp_path, kept)
    assert_is(mnist(tmp_path, download=True), files)
    wanted = [name for name in FILES if name not in kept]
    assert calls == [mirror + name + ".gz" for name in wanted for mirror in MIRRORS]
    assert_is(mnist(tmp_path), files)  # and now without the network


def test_mnist_download_that_fails_names_every_mirror(tmp_path, monkeypatch):
    def retrieve(url, known_hash, fname, path):
        raise ValueError(f"hash of {url} is wrong")

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    with pytest.raises(DataError, match="could not be fetched") as raised:
        mnist(tmp_path, download=True)
    assert all(mirror in str(raised.value) for mirror in MIRRORS)


def test_mnist_download_with_the_real_pooch(tmp_path, monkeypatch, files):
    # It is called with arguments it knows, and its refusal is caught; nothing is fetched.
    pytest.importorskip("pooch")
    module = importlib.import_module("minidl.datasets.mnist")
    monkeypatch.setattr(module, "MIRRORS", ("nonsense://nowhere/",))
    with pytest.raises(DataError, match="could not be fetched"):
        mnist(tmp_path, download=True)


def test_mnist_download_without_pooch(tmp_path, monkeypatch):
    without(monkeypatch, "pooch")
    with pytest.raises(ImportError, match=r"pip install 'minidl\[datasets\]'"):
        mnist(tmp_path, download=True)
