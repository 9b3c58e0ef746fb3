"""How fast each scheme converges, by data set, activation and depth.

All cells are trained once, in ``setup_cache``, on all CPUs, one thread each; the benchmarks look the numbers
up. Finished cells are kept in benchmarks/.asv/convergence, so that a run that was interrupted goes on. They
belong to the code that was installed: another build computes its own.
"""

from __future__ import annotations

import math
import sys

from minidl import init
from minidl.errors import MinidlError

from .common import BENCHMARKS, choose, code_digest, n_cpus

try:
    from minidl import compare
except ImportError:  # a version from before there was such a thing
    compare = None

DATA = choose(("digits",), ("digits",), ("digits", "shapeset", "mnist"))
ACTIVATIONS = choose(("relu", "tanh"), *[("relu", "tanh", "gelu", "selu", "sigmoid", "silu")] * 2)
DEPTHS = choose((3, 10), (3, 10, 30), (3, 10, 30))
COMMON = ("he_normal", "xavier_uniform")
REGULAR = (
    "auto",
    *COMMON,
    "lecun_normal",
    "orthogonal",
    "lsuv",
    "torch_default",
    "normal(std=0.01)",
    "zeros",
)
FULL = (  # the catalogue: LEFT_OUT names the rest
    *REGULAR,
    "he_uniform",
    "he_normal(mode='fan_out')",
    "he_truncated_normal",
    "xavier_normal",
    "xavier_normal(gain=4.0)",
    "lecun_uniform",
    "uniform(-0.1, 0.1)",
    "truncated_normal(std=0.1)",
    "variance_scaling(mode='fan_avg')",
    "sklearn_default",
    "ntk",
    "small_init",
    "mup(base_width=16)",
    "gain",
    "orthogonal(gain='relu')",
    "semi_orthogonal",
    "critical",
    "doubly_critical",
    "edge_of_chaos",
    "centered",
    "mirrored",
    "random_walk",
    "tanh_init",
    "nguyen_widrow",
    "randomized_asymmetric",
    "self_normalizing",
    "spectral",
    "identity",
    "id_init",
    "zer_o",
    "sparse",
    "sinusoidal",
    "krahenbuhl_within",
    "krahenbuhl_between",
    "weight_norm_init",
    "swim",
    "gradinit",
    "metainit",  # minutes for one deep net
    "constant(0.1)",
    "ones",
)
LEFT_OUT = {
    "for residual branches": ("deep_norm", "depth_scaled", "fixup", "rezero", "skip_init"),
    "for convolutions; a dense layer gets what identity and orthogonal give": ("dirac", "delta_orthogonal"),
    "for sine activations": ("siren",),
    "made of other schemes, or of numbers that somebody has": (
        "clipped",
        "concat",
        "fixed",
        "from_model",
        "pair",
        "plan",
        "prior_bias",
        "scaled",
        "split",
        "then",
    ),
    "the law of an orthogonal matrix, element by element": ("sphere_coordinate",),
}
SCHEMES = choose(COMMON, REGULAR, FULL)


def known_schemes() -> list[str]:
    """Return the schemes of the profile that the installed version has."""
    known = []
    for scheme in SCHEMES:
        try:
            init.get(scheme)
        except MinidlError:
            continue
        known.append(scheme)
    return known


def available_data() -> list[str]:
    """Return the data sets of the profile that are there; say how to provide the others."""
    found = []
    for data in DATA:
        try:
            compare.load(data)
        except (MinidlError, ImportError) as error:
            print(f"convergence: no cells on {data}. {error}", file=sys.stderr)
            continue
        found.append(data)
    return found


def setup_cache() -> dict:
    """Train all cells that are not finished; return (data, activation, depth, scheme) -> record."""
    if compare is None:
        return {}
    schemes = known_schemes()
    cells = [
        compare.Cell(data, activation, depth, scheme)
        for data in available_data()
        for activation in ACTIVATIONS
        for depth in DEPTHS
        for scheme in schemes
    ]
    results = compare.Results(BENCHMARKS / ".asv" / "convergence" / code_digest())
    records = compare.run(cells, jobs=n_cpus(), results=results)
    return {(c.data, c.activation, c.depth, c.scheme): record for c, record in records.items()}


setup_cache.timeout = 7 * 24 * 3600


class Convergence:
    """A cell at the best of its learning rates: medians over the seeds.

    Steps and seconds are n/a where more than half of the seeds fail; ``track_failed_seeds`` then says so.
    """

    params = (DATA, ACTIVATIONS, DEPTHS, SCHEMES)
    param_names = ("data", "activation", "depth", "scheme")
    version = "1"  # of the tasks and of how they are trained: raised by hand when these change

    def setup(self, records, *cell):
        if cell not in records:
            raise NotImplementedError("this version lacks the scheme, or this machine the data")
        self.record = records[cell]
        if "refused" in self.record:
            raise NotImplementedError(self.record["refused"])

    def _number(self, name: str) -> float:
        value = self.record[name]
        return math.nan if value is None else value

    def track_steps(self, records, *cell):
        return self._number("steps")

    track_steps.unit = "steps to the target loss"

    def track_spread(self, records, *cell):
        return self._number("steps_high") - self._number("steps_low")

    track_spread.unit = "steps between the quartiles"

    def track_failed_seeds(self, records, *cell):
        return self.record["failed"]

    track_failed_seeds.unit = "seeds that miss the target"

    def track_seconds(self, records, *cell):
        return self._number("seconds")

    track_seconds.unit = "s of one core to the target"

    def track_test_error(self, records, *cell):
        return 100.0 * self.record["test_error"]

    track_test_error.unit = "% wrong on test rows"
