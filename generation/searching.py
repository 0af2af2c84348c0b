"""The minimum of a function of one number, with as few looks at it as can be."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

NEAR = 1e-3  # of the range: nearer to a bound than this is at it
FINE = 1e-3
DECIMALS = 4  # of a value: a search that is taken up again asks for the same, whatever the last bits were
COARSE = 9  # values that bracket the optimum, the bounds among them

Objective = Callable[[float], float]


@dataclass(frozen=True)
class Found:
    """The best value of one parameter. tried: (value, objective) in the order in which they were tried."""

    value: float
    objective: float
    at_bound: bool
    tried: tuple[tuple[float, float], ...]


def spread(bounds: tuple[float, float], count: int) -> list[float]:
    """So many values evenly spaced, the bounds among them."""
    return [round(float(value), DECIMALS) for value in np.linspace(*bounds, count)]


def search(
    objective: Objective,
    bounds: tuple[float, float],
    *,
    budget: int = 60,
    coarse: int = COARSE,
    accuracy: float = FINE,
) -> Found:
    """The minimum of an objective between two bounds: bracketed on a coarse grid, then by Brent's method.

    budget: the most evaluations. coarse: of these, evenly spaced, the bounds among them; the objective may
    have several dips, so long as the deepest is the one at the best of these. Raises ValueError.
    """
    low, high = bounds
    if not low < high or coarse < 3 or budget < coarse:
        raise ValueError(f"bounds {bounds}, {coarse} values of {budget}: nothing to search")
    tried: dict[float, float] = {}

    def ask(x: float) -> float:
        value = round(float(x), DECIMALS)
        if value not in tried:
            tried[value] = float(objective(value))
        return tried[value]

    grid = spread(bounds, coarse)
    best = min(range(coarse), key=lambda i: ask(grid[i]))
    if (left := budget - coarse) > 1:  # Brent's method asks for two values at least
        optimize.minimize_scalar(
            ask,
            bounds=(grid[max(best - 1, 0)], grid[min(best + 1, coarse - 1)]),
            method="bounded",
            options={"maxiter": left, "xatol": accuracy},
        )
    value = min(tried, key=tried.__getitem__)
    at_bound = min(value - low, high - value) <= NEAR * (high - low) + accuracy
    return Found(value, tried[value], at_bound, tuple(tried.items()))
