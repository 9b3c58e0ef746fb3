"""Many independent calls at once, in processes of one thread each.

A network that is small gains little from a second thread; two networks on two cores gain all of it. So
comparisons and reproductions train each network on one thread and many of them side by side.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

__all__ = ["each"]


def each(function: Callable, items: Iterable, processes: int = 1) -> Iterator[tuple]:
    """Call a function with each item and yield (item, result) as they are finished.

    If the caller leaves early (an exception, Ctrl-C, ``close()``), what is not finished is given up at once.

    Parameters
    ----------
    function : callable
        With more than one process: of a module, so that another process finds it.
    items : iterable
        Hashable, picklable arguments, the longest work first.
    processes : int
        With 1 nothing is started: the calls are made here, in the order of the items.

    Yields
    ------
    item, result

    Examples
    --------
    >>> dict(each(abs, [-3, 2]))
    {-3: 3, 2: 2}
    """
    items = list(items)
    processes = min(processes, len(items))
    if processes <= 1:
        for item in items:
            yield item, function(item)
        return
    # spawn: a fork would copy threads that other libraries may have started
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        # workers inherit the block: a Ctrl-C while one of them still starts must not print its traceback
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = {pool.submit(function, item): item for item in items}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:  # interrupted, or a worker failed
        workers = set(multiprocessing.active_children()) - others
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
    pool.shutdown()


def _start_worker() -> None:
    """One thread, and silence at Ctrl-C, which the terminal sends to all processes."""
    from minidl import set_num_threads

    set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
