"""What ``minidl reproduce`` does with its options."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from minidl.bench import write_json
from minidl.compare.report import aligned
from minidl.kernels import threads
from minidl.options import count
from minidl.pictures import check_picture
from minidl.reproduce import REPRODUCTIONS, get
from minidl.reproduce.base import Reproduction
from minidl.reproduce.report import Report

__all__ = ["draw", "listing", "main"]

SIZE = (8.0, 5.2)  # inches of a picture


def listing() -> str:
    """Return a table of the reproductions and their profiles.

    Examples
    --------
    >>> print(listing())
    name        profile  cost                     what
    glorot2010  quick    2.5 minutes of one core  signals, ...
    """
    rows = [("name", "profile", "cost", "what")]
    papers = []
    for name, reproduction in REPRODUCTIONS.items():
        what = reproduction.description
        for label, profile in reproduction.profiles.items():
            rows.append((name, label, profile.cost, what))
            name = what = ""
        papers.append(f"{reproduction.name}: {reproduction.paper}")
    return aligned(rows, left=(0, 1, 2, 3)) + "\n\n" + "\n".join(papers)


def is_folder(path: str) -> bool:
    """Whether pictures go into a folder of that name, or side by side into a file.

    Examples
    --------
    >>> is_folder("figures"), is_folder("all.png")
    (True, False)
    """
    return Path(path).is_dir() or not (Path(path).suffix or Path(path).exists())


def draw(reproduction: Reproduction, report: Report, path: str) -> list[str]:
    """Draw the pictures of a report: a file each into a folder, or all into one file.

    Parameters
    ----------
    reproduction : Reproduction
    report : Report
        One of its own.
    path : str
        A folder (made if it is not there), or a file that ends in .png, .svg, .pdf, ...

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    OptionError
        If matplotlib is not installed, or does not know the suffix.

    Examples
    --------
    >>> draw(get("glorot2010"), Report("demo", "demo", ()), "all.docx")
    Traceback (most recent call last):
    minidl.errors.OptionError: all.docx: expected a file name that ends in ...
    """
    folder = is_folder(path)
    check_picture("picture.png" if folder else path)
    from matplotlib.figure import Figure

    pictures = reproduction.pictures()
    if not folder:
        figure = Figure(figsize=(SIZE[0], SIZE[1] * len(pictures)), layout="constrained")
        for part, picture in zip(figure.subfigures(len(pictures), 1), pictures.values(), strict=True):
            picture(part, report.data)
        figure.savefig(path, dpi=110)
        return [path]
    Path(path).mkdir(parents=True, exist_ok=True)
    files = []
    for name, picture in pictures.items():
        figure = Figure(figsize=SIZE, layout="constrained")
        picture(figure, report.data)
        files.append(str(Path(path) / f"{reproduction.name}-{name}.png"))
        figure.savefig(files[-1], dpi=110)
    return files


def main(options: Namespace) -> None:
    """Without a name list what there is; with one run it, print the table, write the files.

    Examples
    --------
    >>> main(Namespace(name=None))
    name        profile ...
    """
    if options.name is None:
        print(listing())
        return
    reproduction = get(options.name)
    profile = "quick" if options.profile is None else options.profile
    reproduction.profile(profile, options.seeds)
    processes = threads.get_num_threads()
    if options.threads is not None:
        processes = count("--threads", options.threads, 1)
    if options.plot is not None:
        check_picture("picture.png" if is_folder(options.plot) else options.plot)
    report = reproduction.run(
        profile,
        options.seeds,
        processes=processes,
        cache=options.cache,
        progress=_show if sys.stderr.isatty() else None,
    )
    print(report)
    if options.json is not None:
        write_json(options.json, report.record())
        print(f"written to {options.json}")
    if options.plot is not None:
        print(f"drawn to {', '.join(draw(reproduction, report, options.plot))}")


def _show(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    print(f"\r{done} of {total} jobs", end=end, file=sys.stderr, flush=True)
