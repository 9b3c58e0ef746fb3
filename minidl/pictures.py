"""What every picture needs: matplotlib, and a file name whose ending it knows."""

from __future__ import annotations

from pathlib import Path

from .errors import OptionError


def check_picture(path: str | Path) -> None:
    """Raise now, before any work, what would keep a picture from being written to a file.

    Parameters
    ----------
    path : str or Path
        The ending says the format: .png, .svg, .pdf, ...

    Raises
    ------
    OptionError
        If matplotlib is not installed, or does not know the ending.

    Examples
    --------
    >>> check_picture("curves.docx")
    Traceback (most recent call last):
    minidl.errors.OptionError: curves.docx: expected a file name that ends in ...
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise OptionError("a picture needs matplotlib: pip install matplotlib.") from None
    endings = sorted(FigureCanvasAgg.get_supported_filetypes())
    if Path(path).suffix[1:].lower() not in endings:
        raise OptionError(f"{path}: expected a file name that ends in .{', .'.join(endings)}.")
