"""When products by themselves deserve a team although each is little work: while they follow one another.

A thread of OpenMP waits some milliseconds for its next work before it sleeps. To call one that is awake takes
a microsecond, to wake one more than a hundred. Products that follow one another closely are likely to go on;
so from some number on they wake a team, and keep it awake. If it takes half as long again as one thread did,
and not for the first time, which wakes it, somebody else needs its cores: it is left alone, for longer each
time.
"""

import threading

CLOSE_SECONDS = 2e-4  # between the end of a product and the next one of a row
BURST = 8  # products of a row before a team is woken
SLOWER = 1.5  # a team that takes so much longer than one thread is too slow
SHORTEST_PAUSE = 256  # products without a team after that, at first
LONGEST_PAUSE = 65536

cdef double _CLOSE_SECONDS = CLOSE_SECONDS, _SLOWER = SLOWER
cdef int _BURST = BURST, _SHORTEST_PAUSE = SHORTEST_PAUSE, _LONGEST_PAUSE = LONGEST_PAUSE


cdef class Burst:
    """A row of products of one Python thread: each has an OpenMP team of its own.

    Examples
    --------
    >>> row = Burst()
    >>> teams = []
    >>> for i in range(10):
    ...     start = i * 3e-5
    ...     team = 2 if row.is_awake(start) else 1
    ...     row.note(start, start + 2e-5 / team, flops=2e6, team=team, large=False)
    ...     teams.append(team)
    >>> teams
    [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
    """

    def __init__(self):
        self.ended = float("-inf")
        self.count = 0
        self.cost = 0.0
        self.slow = 0
        self.pause = _SHORTEST_PAUSE

    cpdef bint is_awake(self, double now) noexcept:
        """Return whether a team is awake, or worth waking, for a product that starts now.

        Parameters
        ----------
        now : float
            Seconds.
        """
        if now - self.ended > _CLOSE_SECONDS:
            self.count = min(self.count, 0)
            self.cost = 0.0
        return self.count >= _BURST and self.cost > 0.0

    cpdef void note(self, double start, double end, double flops, int team, bint large) noexcept:
        """Note a product, to compare teams with one thread.

        Parameters
        ----------
        start, end : float
            Seconds.
        flops : float
            Its operations.
        team : int
        large : bool
            It was worth a team by itself.
        """
        cdef double cost = (end - start) / flops
        self.ended = end
        if team == 1:
            self.count = min(self.count + 1, _BURST)
            self.cost = cost if self.cost == 0.0 else min(self.cost, cost)
        elif large:
            if self.count >= 0:
                self.count = _BURST  # its team is awake now
        elif cost <= _SLOWER * self.cost:
            self.slow = 0
            self.pause = _SHORTEST_PAUSE
        else:
            self.slow += 1
            if self.slow > 1:
                self.count = -self.pause
                self.pause = min(4 * self.pause, _LONGEST_PAUSE)
                self.slow = 0


_of_thread = threading.local()


cdef Burst burst_of_thread():
    """The row of products of the calling Python thread."""
    try:
        return _of_thread.burst
    except AttributeError:
        _of_thread.burst = Burst()
        return _of_thread.burst
