"""Glorot and Bengio, 2010: signals and gradients at initialization, and what they cost in training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from minidl.compare.report import aligned
from minidl.reproduce.base import Reproduction
from minidl.reproduce.report import Report, Row
from minidl.reproduce.signals import Prediction, Signals, predict
from minidl.reproduce.training import BATCH, SCHEMES, Training
from minidl.reproduce.work import Cache, complete

__all__ = ["CONFIGURATIONS", "Glorot2010", "Profile"]

SUFFIX = {"standard": "", "normalized": " N"}  # as in the paper's tables
#: name in the paper's Table 1 -> activation, scheme, test error in per cent on Shapeset
CONFIGURATIONS = {
    "Softsign": ("softsign", "standard", 16.27),
    "Softsign N": ("softsign", "normalized", 16.06),
    "Tanh": ("tanh", "standard", 27.15),
    "Tanh N": ("tanh", "normalized", 15.60),
    "Sigmoid": ("sigmoid", "standard", 82.61),
}
DEPTH = 5  # hidden layers
SATURATION_DEPTH = 4  # of the sigmoid network of Fig. 2
SATURATION_SHARE = 0.1  # of the updates in which the top layer is to fall
CHANCE = 100.0 * 5.0 / 6.0  # error of always answering the most frequent class
PICK_SEED = 1000  # the learning rate is picked with a seed that no result uses
LOOKS = 60


@dataclass(frozen=True)
class Profile:
    """The sizes of an experiment.

    Parameters
    ----------
    nets, signal_width, examples : int
        At initialization: networks, their width, and images for which Jacobians are taken.
    width, updates, pick_updates : int
        Of the trainings, and of those that pick the learning rate.
    learning_rates : tuple of float
        To pick from.
    seeds : int
        Trainings of each configuration.
    cost : str
        In words.

    Examples
    --------
    >>> Profile(updates=100).seeds
    3
    """

    nets: int = 5
    signal_width: int = 1000
    examples: int = 2
    width: int = 100
    updates: int = 12_000
    pick_updates: int = 4_000
    learning_rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    seeds: int = 3
    cost: str = ""


class Glorot2010(Reproduction):
    r"""Glorot and Bengio, *Understanding the difficulty of training deep feedforward neural networks*, 2010.

    The paper compares two initializations of weights, biases 0, n inputs and m outputs of a layer:

    .. math:: U\left(-\tfrac{1}{\sqrt n}, \tfrac{1}{\sqrt n}\right) \text{ (standard)}, \qquad
              U\left(-\sqrt{\tfrac{6}{n + m}}, \sqrt{\tfrac{6}{n + m}}\right) \text{ (normalized, "N")}.

    With the first, n Var(W) = 1/3, and the squared gradient falls to a third per layer. The networks at
    initialization are as wide as the paper's. The trainings are scaled down: the paper's took 5 million
    updates of networks of 1000 units per layer, 1.5e15 operations each.

    Examples
    --------
    >>> class Small(Glorot2010):
    ...     profiles = {"small": Profile(1, 40, 1, 8, 40, 20, (0.1,), 1)}
    >>> report = Small().run("small")
    >>> print(report)
    glorot2010, small: ...
    statement ...
    >>> [row.statement for row in report.rows][:2]
    ['weights, standard: mean singular value', 'weights, normalized: mean singular value']
    """

    name = "glorot2010"
    paper = "Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks"
    description = "signals, gradients, Jacobians at initialization; test errors on Shapeset-3x2; saturation"
    profiles: Mapping[str, Profile] = {
        "quick": Profile(cost="2.5 minutes of one core"),
        "full": Profile(
            examples=3, width=300, updates=60_000, pick_updates=20_000, cost="21 minutes of one core"
        ),
    }

    def measure(self, profile: Profile, label: str, processes: int, cache: Cache, progress) -> Report:
        """Measure the new networks and pick the rates, then train."""
        signals = {
            (activation, scheme): [
                Signals(
                    activation,
                    scheme,
                    profile.signal_width,
                    DEPTH,
                    seed,
                    profile.examples if activation == "tanh" else 0,
                )
                for seed in range(profile.nets)
            ]
            for activation in ("tanh", "softsign")
            for scheme in SCHEMES
        }
        picks = {
            name: [
                _training(profile, activation, scheme, lr, PICK_SEED, profile.pick_updates)
                for lr in profile.learning_rates
            ]
            for name, (activation, scheme, _) in CONFIGURATIONS.items()
        }
        n_first = math.ceil(SATURATION_SHARE * profile.updates)
        saturation = {
            lr: [
                _training(profile, "sigmoid", "standard", lr, seed, n_first, SATURATION_DEPTH)
                for seed in range(profile.seeds)
            ]
            for lr in profile.learning_rates
        }
        first = [job for group in (signals, picks, saturation) for jobs in group.values() for job in jobs]
        done = complete(first, cache, processes=processes, progress=progress)
        rates = {name: min(jobs, key=lambda job: _merit(done[job])).lr for name, jobs in picks.items()}
        trainings = {
            name: [
                _training(profile, activation, scheme, rates[name], seed, profile.updates)
                for seed in range(profile.seeds)
            ]
            for name, (activation, scheme, _) in CONFIGURATIONS.items()
        }
        second = [job for jobs in trainings.values() for job in jobs]
        done |= complete(second, cache, processes=processes, progress=progress)

        new = {key: [done[job] for job in jobs] for key, jobs in signals.items()}
        tried = {name: {job.lr: done[job] for job in jobs} for name, jobs in picks.items()}
        trained = {name: [done[job] for job in jobs] for name, jobs in trainings.items()}
        saturated = {lr: [done[job] for job in jobs] for lr, jobs in saturation.items()}
        predictions = {key: predict(*key, profile.signal_width, DEPTH) for key in signals}
        rows = [
            *singular_value_rows(new, predictions),
            *signal_rows(new, predictions),
            *gradient_rows(new, predictions),
            *error_rows(tried, rates, trained),
            *saturation_rows(saturated),
        ]
        title = (
            f"{self.name}, {label}: at initialization {profile.nets} networks of {DEPTH} x "
            f"{profile.signal_width}; trained {profile.updates} updates of {BATCH} images, {DEPTH} x "
            f"{profile.width}, {profile.seeds} seed{'s' if profile.seeds > 1 else ''}"
        )
        tables = {
            "Standard deviations by hidden layer, predicted and measured": signal_table(new, predictions),
            f"Validation error [%] after {profile.pick_updates} updates by learning rate, * picked": (
                rate_table(tried, rates)
            ),
        }
        data = {
            "depth": DEPTH,
            "signals": [
                {"activation": a, "scheme": s, "predicted": vars(predictions[a, s]), "nets": new[a, s]}
                for a, s in new
            ],
            "rates": rates,
            "tried": [
                {"name": name, "lr": lr, **run} for name, runs in tried.items() for lr, run in runs.items()
            ],
            "trained": trained,
            "saturation": [{"lr": lr, "runs": runs} for lr, runs in saturated.items()],
        }
        seconds = sum(result["seconds"] for result in done.values())
        return Report(self.name, title, tuple(rows), tables, data, seconds)

    def pictures(self):
        """See :mod:`minidl.reproduce.glorot2010_pictures`."""
        from minidl.reproduce.glorot2010_pictures import PICTURES

        return PICTURES


def _training(profile, activation, scheme, lr, seed, updates, depth=DEPTH) -> Training:
    look = max(1, math.ceil(updates / LOOKS))
    return Training(activation, scheme, profile.width, depth, lr, seed, updates, look)


def _merit(result: dict) -> tuple:
    """The lowest validation error, then the lowest loss; what diverged comes last."""
    return result["diverged"], result["validation_error"], result["validation_loss"]


def _cost(results: Iterable[dict]) -> float:
    return sum(result["seconds"] for result in results)


New = Mapping[tuple[str, str], list[dict]]
Predictions = Mapping[tuple[str, str], Prediction]


def singular_value_rows(new: New, predictions: Predictions) -> list[Row]:
    r"""Eq. 17: the mean singular value, :math:`\frac{8}{3\pi}\sqrt{n \mathrm{Var}(W)}` without activation."""
    of_weights, of_jacobians = [], []
    for scheme, n_var, paper, low, high in (
        ("standard", 1.0 / 3.0, "0.5", 0.44, 0.50),
        ("normalized", 1.0, "0.8", 0.60, 0.86),
    ):
        nets, cost = new["tanh", scheme], _cost(new["tanh", scheme])
        linear = 8.0 / (3.0 * math.pi) * math.sqrt(n_var)
        of_weights.append(
            Row(
                f"weights, {scheme}: mean singular value",
                tuple(float(np.mean(net["weight"])) for net in nets),
                theory=linear,
                low=0.99 * linear,
                high=1.01 * linear,
                digits=3,
                seconds=cost,
            )
        )
        of_jacobians.append(
            Row(
                f"Jacobian, tanh {scheme}: mean singular value",
                tuple(float(np.mean(net["jacobian"])) for net in nets),
                "eq. 17",
                paper,
                float(np.mean(predictions["tanh", scheme].jacobian)),
                low,
                high,
                digits=3,
                seconds=cost,
            )
        )
    return of_weights + of_jacobians


def _relative(nets: list[dict], prediction: Prediction, name: str) -> np.ndarray:
    """Measured over predicted standard deviations, shape (nets, layers)."""
    predicted = np.array(getattr(prediction, name))
    if name == "activation_std":
        return np.array([net[name] for net in nets]) / predicted
    scale = math.sqrt(np.mean([net["output_gradient"] for net in nets]))
    return np.array([net[name] for net in nets]) / (predicted * scale)


def signal_rows(new: New, predictions: Predictions) -> list[Row]:
    """Mean-field theory within 5 %: the layer where it is farthest off, by the mean over the networks."""
    rows = []
    for (activation, scheme), nets in new.items():
        for name, what in (("activation_std", "activations"), ("gradient_std", "dC/ds")):
            ratio = _relative(nets, predictions[activation, scheme], name)
            layer = int(np.argmax(np.abs(ratio.mean(axis=0) - 1.0)))
            rows.append(
                Row(
                    f"std of {what}, {activation} {scheme}, layer {layer + 1}: ours / theory",
                    tuple(ratio[:, layer].tolist()),
                    theory=1.0,
                    low=0.95,
                    high=1.05,
                    by="mean",
                    digits=3,
                    seconds=_cost(nets),
                )
            )
    return rows


def gradient_rows(new: New, predictions: Predictions) -> list[Row]:
    """Figs. 7 and 8: gradients vanish towards the input, the gradients of the weights do not."""
    rows = []
    for scheme, limits in (("standard", {"high": 0.15}), ("normalized", {"low": 0.3})):
        predicted = predictions["tanh", scheme].gradient_std
        rows.append(
            Row(
                f"std of dC/ds, tanh {scheme}: layer 1 / layer {DEPTH}",
                tuple(net["gradient_std"][0] / net["gradient_std"][-1] for net in new["tanh", scheme]),
                "Fig. 7",
                theory=predicted[0] / predicted[-1],
                **limits,
                digits=3,
                seconds=_cost(new["tanh", scheme]),
            )
        )
    nets, predicted = new["tanh", "standard"], predictions["tanh", "standard"].weight_gradient_std
    for name, what, theory in (
        ("weight_gradient_std", "one image", _spread(predicted)),
        ("batch_weight_gradient_std", "mean of 300", None),
    ):
        rows.append(
            Row(
                f"std of dC/dW, tanh standard, {what}: max / min of layers 2-{DEPTH}",
                tuple(_spread(net[name]) for net in nets),
                "Fig. 8",
                theory=theory,
                high=2.0,
                seconds=_cost(nets),
            )
        )
    return rows


def _spread(stds: list[float]) -> float:
    """Largest over smallest of the layers between hidden ones."""
    inner = stds[1:-1]
    return max(inner) / min(inner)


def _percent(runs: list[dict], name: str = "error") -> np.ndarray:
    return 100.0 * np.array([run[name] for run in runs])


def error_rows(tried: Mapping, rates: Mapping, trained: Mapping) -> list[Row]:
    """Table 1. The errors are for comparison, for the paper's took 5 million updates; judged is the order."""
    errors = {name: _percent(runs) for name, runs in trained.items()}
    cost = {name: _cost(runs) + _cost(tried[name].values()) for name, runs in trained.items()}
    rows = []
    for name, (_, _, paper) in CONFIGURATIONS.items():
        runs, grid = trained[name], sorted(tried[name])
        note = f"learning rate {rates[name]:g}"
        if len(grid) > 1 and rates[name] in (grid[0], grid[-1]):
            note += ", at the border of the grid"
        if any(run["diverged"] for run in runs):
            note += f"; {sum(run['diverged'] for run in runs)} trainings diverged and ended there"
        if np.median(errors[name]) > CHANCE - 1.0:
            note += f"; no better than chance, {CHANCE:.1f}"
        judged = name == "Sigmoid"
        rows.append(
            Row(
                f"test error, {name} [%]",
                tuple(errors[name].tolist()),
                "Table 1",
                f"{paper:.2f}",
                CHANCE if judged else None,
                low=75.0 if judged else None,
                seconds=cost[name],
                note=f"{note}.",
            )
        )
    tanh = errors["Tanh"] - errors["Tanh N"]
    softsign = np.abs(errors["Softsign"] - errors["Softsign N"])
    rows.append(
        Row(
            "test error, Tanh - Tanh N [points]",
            tuple(tanh.tolist()),
            "Table 1",
            "11.55",
            low=5.0,
            seconds=cost["Tanh"] + cost["Tanh N"],
            note=_both(errors, "Tanh", "Tanh N"),
        )
    )
    rows.append(
        Row(
            "test error, |Softsign - Softsign N| [points]",
            tuple(softsign.tolist()),
            "Table 1",
            "0.21",
            high=3.0,
            seconds=cost["Softsign"] + cost["Softsign N"],
            note=_both(errors, "Softsign", "Softsign N"),
        )
    )
    return rows


def _both(errors: Mapping[str, np.ndarray], one: str, other: str) -> str:
    medians = {name: float(np.median(errors[name])) for name in (one, other)}
    stuck = [name for name, error in medians.items() if error > CHANCE - 1.0]
    text = ", ".join(f"{name} {error:.1f}" for name, error in medians.items())
    if stuck:
        text += f"; {' and '.join(stuck)} did not leave the plateau at chance in these updates"
    if len(stuck) == 2:
        text += ", so their difference says nothing"
    return f"medians {text}."


def saturation_rows(saturated: Mapping[float, list[dict]]) -> list[Row]:
    """Fig. 2: the top hidden layer of a sigmoid network falls to 0 early, while the others stay near 1/2.

    The paper's network had the learning rate that was best in the end. Here all networks are still at chance
    when the updates are over, so validation prefers none: the rates are shown one by one.
    """
    rows = []
    for lr, runs in saturated.items():
        top = [min((means[-1] for means in run["means"]), default=math.nan) for run in runs]
        rows.append(
            Row(
                f"sigmoid, lr {lr:g}: lowest mean of top layer, first 10 %",
                tuple(top),
                "Fig. 2",
                "0",
                high=0.1,
                digits=3,
                seconds=_cost(runs),
                note=_drift(lr, runs),
            )
        )
    runs = [run for runs in saturated.values() for run in runs]
    lower = [
        min((min(means[:-1]) for run in seed for means in run["means"]), default=math.nan)
        for seed in zip(*saturated.values(), strict=True)
    ]
    rows.append(
        Row(
            "sigmoid, all rates: lowest mean of other layers, first 10 %",
            tuple(lower),
            "Fig. 2",
            "> 0.5",
            low=0.4,
            digits=3,
            seconds=_cost(runs),
        )
    )
    return rows


def _drift(lr: float, runs: list[dict]) -> str:
    """How far the top layer came, and by how much training: what moves it is rate times updates."""
    ends = [run["means"][-1][-1] for run in runs if run["means"]]
    if not ends:
        return "diverged at once."
    n = max(run["updates"][-1] for run in runs if run["updates"])
    return f"mean {np.median(ends):.3f} after {n} updates, rate x updates = {lr * n:.4g}."


def signal_table(new: New, predictions: Predictions) -> str:
    """By layer: the mean over the networks of what is measured, beside the prediction."""
    rows = [("activation", "scheme", "std of", "", *(f"layer {k + 1}" for k in range(DEPTH)))]
    for (activation, scheme), nets in new.items():
        scale = math.sqrt(np.mean([net["output_gradient"] for net in nets]))
        for name, what, unit in (("activation_std", "activations", 1.0), ("gradient_std", "dC/ds", scale)):
            predicted = unit * np.array(getattr(predictions[activation, scheme], name))
            measured = np.mean([net[name] for net in nets], axis=0)
            for words, values in (("theory", predicted), ("ours", measured)):
                rows.append((activation, scheme, what, words, *(f"{value:.4g}" for value in values)))
    return aligned(rows, left=(0, 1, 2, 3))


def rate_table(tried: Mapping[str, Mapping[float, dict]], rates: Mapping[str, float]) -> str:
    """The validation errors that picked the learning rates."""
    grid = list(next(iter(tried.values())))
    rows = [("", *(f"{lr:g}  " for lr in grid))]
    for name, runs in tried.items():
        rows.append(
            (
                name,
                *(
                    f"{100.0 * runs[lr]['validation_error']:.1f} {'*' if lr == rates[name] else ' '}"
                    for lr in grid
                ),
            )
        )
    return aligned(rows)
