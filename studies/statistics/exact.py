"""How many votes an exact test needs when each vote is a person's only one."""

import numpy as np
from scipy.stats import binom

MOST = 5_000


def votes_needed(share: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Least n such that from n on the two-sided exact binomial test of ½ has at least `power`.

    share: the true share of preference, not ½. Power rises in a saw-tooth with n, so the first n that
    reaches it can be followed by some that don't; this is the n after which none falls back (sustained).
    Assumes independent votes: for people who give several, see `planning`.
    Raises ValueError where more than 5,000 votes are needed, or none would do.
    """
    if not 0 < share < 1 or share == 0.5:
        raise ValueError(f"share = {share}: between 0 and 1 and not 0.5, where there is nothing to find")
    n = np.arange(1, MOST + 1)
    # The largest k with 2 P(X ≤ k) ≤ α under ½; -1 where even k = 0 is no evidence.
    k = binom.ppf(alpha / 2, n, 0.5)
    k = np.where(2 * binom.cdf(k, n, 0.5) <= alpha, k, k - 1)
    reached = binom.cdf(k, n, share) + binom.sf(n - k - 1, n, share) >= power
    if not reached[-1]:
        raise ValueError(f"share = {share}: more than {MOST:,} votes are needed for a power of {power}")
    return int(n[-1] if reached.all() else n[~reached][-1] + 1)
