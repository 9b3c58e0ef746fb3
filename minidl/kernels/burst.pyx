"""When products by themselves deserve a team although each is little work: while they follow one another.

A thread of OpenMP waits some milliseconds for its next work before it sleeps. To call one that is awake takes
a microsecond, to wake one more than a hundred. Products that follow one another closely are likely to go on;
so from some number on they wake a team, and keep it awake. If it is slower than one thread was, and not for
the first time, which wakes it, somebody else needs its cores: it is left alone, for longer each time.
"""

CLOSE_SECONDS = 2e-4  # between the end of a product and the next one of a row
BURST = 8  # products of a row before a team is woken
SLOWER = 2.0  # a team that takes so much longer than one thread is too slow
SHORTEST_PAUSE = 256  # products without a team after that, at first
LONGEST_PAUSE = 65536

cdef double _CLOSE_SECONDS = CLOSE_SECONDS, _SLOWER = SLOWER
cdef int _BURST = BURST, _SHORTEST_PAUSE = SHORTEST_PAUSE, _LONGEST_PAUSE = LONGEST_PAUSE


cdef class Burst:
    """A row of products, as :func:`minidl.kernels.matmul` sees it; the GIL is held in every call.

    Examples
    --------
    >>> row = Burst()
    >>> calls = []
    >>> for i in range(10):
    ...     team = 2 if row.is_awake(i * 3e-5) else 1
    ...     row.note(i * 3e-5 + 2e-5 / team, flops=2e6, team=team, alone=False)
    ...     calls.append(team)
    >>> calls
    [1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
    """

    def __init__(self):
        self.started = 0.0
        self.ended = float("-inf")
        self.count = 0
        self.cost = 0.0
        self.slow = 0
        self.pause = _SHORTEST_PAUSE

    cpdef bint is_awake(self, double now) noexcept:
        """Note that a product starts; return whether a team is awake, or worth waking.

        Parameters
        ----------
        now : float
            Seconds.
        """
        self.started = now
        if now - self.ended > _CLOSE_SECONDS:
            self.count = min(self.count, 0)
            self.cost = 0.0
        self.count += 1
        return self.count > _BURST

    cpdef void note(self, double now, double flops, int team, bint alone) noexcept:
        """Note that the product has ended.

        Parameters
        ----------
        now : float
            Seconds.
        flops : float
            Its operations.
        team : int
        alone : bool
            It was worth a team even without the others.
        """
        cdef double cost = (now - self.started) / flops
        self.ended = now
        if team == 1:
            self.cost = cost if self.cost == 0.0 else min(self.cost, cost)
            return
        if not alone and self.cost > 0.0 and cost > _SLOWER * self.cost:
            self.slow += 1
            if self.slow > 1:
                self.count = -self.pause
                self.pause = min(4 * self.pause, _LONGEST_PAUSE)
                self.slow = 0
            return
        self.slow = 0
        if not alone:
            self.pause = _SHORTEST_PAUSE
        if self.count >= 0:
            self.count = max(self.count, _BURST)
