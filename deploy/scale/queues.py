"""Queues of many servers: exact simulation, first come first served, and the theory that it is held to."""

from __future__ import annotations

import heapq
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


def waits(arrivals: Times, services: Times, servers: int, *, away: tuple[float, float] | None = None) -> Times:
    """How long each job waits for a server, in the unit of its arguments; `arrivals` ascend.

    `away`: from when until when no server begins anything new. Each job takes the server that is free first (Kiefer and
    Wolfowitz, "On the theory of queues with many servers", 1955).
    """
    if servers < 1:
        raise ValueError("there must be a server")
    free = [0.0] * servers
    waited = np.empty(len(arrivals))
    replace = heapq.heapreplace
    for number, (at, takes) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        start = max(at, free[0])
        if away and away[0] <= start < away[1]:
            start = away[1]
        waited[number] = start - at
        replace(free, start + takes)
    return waited


def erlang_c(servers: int, offered: float) -> float:
    """The share of jobs that wait at all, with Poisson arrivals and exponential service times (M/M/c).

    `offered`: arrivals in a service time (Erlang). Source: A. K. Erlang, 1917.
    """
    if offered >= servers:
        return 1.0
    # In logarithms: the powers and factorials of a thousand servers overflow.
    terms = [number * log(offered) - lgamma(number + 1) for number in range(servers)]
    last = servers * log(offered) - lgamma(servers + 1) + log(servers / (servers - offered))
    top = max(*terms, last)
    return exp(last - top) / (sum(exp(term - top) for term in terms) + exp(last - top))


def mean_wait(servers: int, offered: float, service: float) -> float:
    """The mean wait of M/M/c, in the unit of the mean service time."""
    return erlang_c(servers, offered) * service / (servers - offered)
