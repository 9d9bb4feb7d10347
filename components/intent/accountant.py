"""How much privacy a training by noisy gradients spends, and how much noise a budget asks for.

The mechanism is the Gaussian one over a Poisson sample: each step takes each user with the same probability, bounds
each one's gradient by the norm C, adds up, and adds noise of spread sigma * C. Its Renyi divergence at the order a is
that of Mironov, Talwar and Zhang, "Renyi differential privacy of the sampled Gaussian mechanism" (2019),

    (1 / (a - 1)) log E[((1 - q) + q exp((2 z - 1) / (2 sigma^2)))^a],  z ~ N(0, sigma^2),

integrated here on a grid; steps add up, and Canonne, Kamath and Steinke (2020, proposition 12) turn it into (epsilon,
delta). Neighbours are data with and without one user. Pure numpy, and knows no model.
"""

import numpy as np

ORDERS = np.concatenate([np.arange(11, 110) / 10, np.arange(11, 64), 2 ** np.arange(6, 11)])
REACH = 14.0  # spreads of the noise to either side that the integral covers
LEAST_SIGMA, MOST_SIGMA = 0.3, 1000.0
PRECISE = 1e-4  # of sigma, which is rounded up


def divergence(order: float, *, sigma: float, rate: float) -> float:
    """Return the Renyi divergence of one step, in nats; `rate` is the probability that a user is taken.

    >>> round(divergence(2.0, sigma=2.0, rate=1.0), 6)  # all users: order / (2 sigma^2)
    0.25
    """
    step = min(sigma / 20, sigma**2 / 4)  # the integrand has zeros pi sigma^2 beside the axis
    z = np.arange(-REACH * sigma, order + REACH * sigma, step)
    with np.errstate(divide="ignore"):
        ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + (2 * z - 1) / (2 * sigma**2))
    logs = order * ratio - z**2 / (2 * sigma**2)
    highest = logs.max()
    total = highest + np.log(np.exp(logs - highest).sum() * step) - np.log(sigma * np.sqrt(2 * np.pi))
    return float(max(total, 0.0) / (order - 1))


def epsilon(*, sigma: float, rate: float, steps: int, delta: float) -> float:
    """Return the epsilon that so many steps spend at a delta."""
    spent = np.array([steps * divergence(float(order), sigma=sigma, rate=rate) for order in ORDERS])
    bound = spent + np.log1p(-1 / ORDERS) - (np.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    return float(max(bound.min(), 0.0))


def sigma(wanted: float, *, rate: float, steps: int, delta: float) -> float:
    """Return the least noise, in clipping norms, with which so many steps spend at most `wanted`; inf beyond bounds."""
    low, high = LEAST_SIGMA, LEAST_SIGMA
    while epsilon(sigma=high, rate=rate, steps=steps, delta=delta) > wanted:
        low, high = high, 2 * high
        if high > MOST_SIGMA:
            return float("inf")
    while high - low > PRECISE * high:
        middle = (low + high) / 2
        if epsilon(sigma=middle, rate=rate, steps=steps, delta=delta) > wanted:
            low = middle
        else:
            high = middle
    return high
