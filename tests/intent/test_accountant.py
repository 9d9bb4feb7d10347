"""The accountant against closed forms, the exact answer where there is one, and published figures."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from components.intent import accountant


@pytest.mark.parametrize(("epsilon", "sigma"), [(1, 3.26), (3, 1.48), (8, 0.87)])
def test_the_noise_is_that_of_opacus(epsilon: float, sigma: float) -> None:
    """Opacus 1.6, RDP: 2,500 users, 256 a step, 50 steps, delta 1e-5; its search stops at a hundredth of epsilon."""
    found = accountant.sigma(epsilon, rate=256 / 2500, steps=50, delta=1e-5)
    assert found == pytest.approx(sigma, abs=0.015)
    spent = accountant.epsilon(sigma=found, rate=256 / 2500, steps=50, delta=1e-5)
    assert 0.99 * epsilon < spent <= epsilon


def test_the_divergence_is_the_binomial_sum_at_whole_orders() -> None:
    for order, sigma, q in ((2, 0.8, 0.1), (5, 1.3, 0.01), (32, 4.0, 0.5), (17, 0.6, 0.2)):
        terms = [
            math.log(math.comb(order, k)) + (order - k) * math.log(1 - q) + k * math.log(q) + (k * k - k) / 2 / sigma**2
            for k in range(order + 1)
        ]
        exact = float(np.logaddexp.reduce(terms)) / (order - 1)
        assert accountant.divergence(order, sigma=sigma, rate=q) == pytest.approx(exact, rel=1e-6)


def test_the_tutorial_of_tensorflow_privacy() -> None:
    """60,000 rows, 256 a step, 60 epochs, noise 1.1: (3.01, 1e-5) by the older conversion, log(1 / delta) / (a - 1)."""
    steps = 60 * 60_000 // 256
    spent = [
        steps * accountant.divergence(float(a), sigma=1.1, rate=256 / 60_000) + math.log(1e5) / (a - 1)
        for a in accountant.ORDERS
    ]
    assert min(spent) == pytest.approx(3.01, abs=0.02)


@pytest.mark.parametrize(("sigma", "steps"), [(2.0, 1), (5.0, 20), (1.0, 1), (30.0, 100)])
def test_with_all_users_in_each_step_it_is_never_below_the_exact_answer(sigma: float, steps: int) -> None:
    """Gaussian steps compose to one with mu = sqrt(steps) / sigma (Dong, Roth and Su, 2019)."""
    mu, delta = math.sqrt(steps) / sigma, 1e-5

    def exact(epsilon: float) -> float:
        return float(norm.cdf(-epsilon / mu + mu / 2) - math.exp(epsilon) * norm.cdf(-epsilon / mu - mu / 2))

    found = accountant.epsilon(sigma=sigma, rate=1.0, steps=steps, delta=delta)
    assert exact(found) <= delta, "what is claimed holds"
    assert exact(0.85 * found) > delta, "and not much less would"


def test_more_noise_or_fewer_steps_or_users_spend_less() -> None:
    base = {"sigma": 1.0, "rate": 0.1, "steps": 100, "delta": 1e-5}
    spent = accountant.epsilon(**base)  # type: ignore[arg-type]
    for change in ({"sigma": 1.1}, {"rate": 0.09}, {"steps": 90}, {"delta": 1e-4}):
        assert accountant.epsilon(**(base | change)) < spent  # type: ignore[arg-type]


def test_a_budget_that_no_noise_keeps_is_infinite_noise() -> None:
    assert accountant.sigma(1e-4, rate=1.0, steps=10_000, delta=1e-9) == float("inf")
