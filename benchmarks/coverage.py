"""Do the intervals and the p of a preference keep their promise? Simulated studies, many of each kind.

`python -m benchmarks.coverage [--runs 5000]` prints coverage of nominal 95 % intervals and
errors of tests at nominal .05, with Wilson's interval and the exact binomial, which take votes for
independent, beside the default. Then studies whose prompts share seeds, with and without clustering by seed.
It ends with 1 where the default leaves its bounds: coverage .93 to .985, error at most .07, in both designs
of 33 people with 25 trials each; coverage also with shared seeds.
"""

import argparse
import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from studies.statistics.intervals import preference, wilson_bounds
from studies.statistics.simulation import Design, items_like_these, simulate, these_items

DESIGNS = {
    "33 × 25": Design(33, 25, 25),
    "33 × 25 of 100": Design(33, 25, 100),
    "10 × 10": Design(10, 10, 10),
}
BOUND = ("33 × 25", "33 × 25 of 100")
SPREADS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.8), (0.5, 0.8))
SHARES = (0.58, 0.85, 0.95)
COVERAGE, ERROR = (0.93, 0.985), 0.07
Z = 1.959963984540054


@dataclass(frozen=True)
class Row:
    """Share of studies, for share ½ in which p < .05, else in which the interval holds the true share.

    items: the interval for exactly these items and their own share; NaN where it is null or has no test.
    """

    design: str
    spread: tuple[float, float]
    share: float
    default: float
    items: float
    wilson: float
    binomial: float

    @property
    def kept(self) -> bool:
        if self.design not in BOUND:
            return True
        if self.share == 0.5:
            return self.default <= ERROR
        return COVERAGE[0] <= self.default <= COVERAGE[1]


def measure(name: str, spread: tuple[float, float], share: float, runs: int, seed: int) -> Row:
    """One line of the table from `runs` simulated studies."""
    design = replace(DESIGNS[name], preference=share, sd_participant=spread[0], sd_item=spread[1])
    item, n = design.assignment(), design.votes
    hits: dict[str, list[NDArray[np.bool_]]] = {key: [] for key in ("default", "items", "wilson", "binomial")}
    wins = np.arange(n + 1)
    low, high = wilson_bounds(wins / n, np.full(n + 1, float(n)), Z)
    exact_low = np.nan_to_num(stats.beta.ppf(0.025, wins, n - wins + 1), nan=0.0)
    exact_high = np.nan_to_num(stats.beta.ppf(0.975, wins + 1, n - wins), nan=1.0)
    exact_p = np.array([stats.binomtest(int(k), n).pvalue for k in wins[: n // 2 + 1]])
    exact_p = np.concatenate([exact_p, exact_p[: n - n // 2][::-1]])[: n + 1]
    for batch in simulate(design, runs, seed):
        found, fixed = (
            items_like_these(batch.y, item, design.reached),
            these_items(batch.y, item, design.reached),
        )
        k = batch.y.sum(axis=(1, 2)).astype(int)
        if share == 0.5:
            hits["default"].append(found.p < 0.05)
            hits["wilson"].append((low[k] > 0.5) | (high[k] < 0.5))
            hits["binomial"].append(exact_p[k] < 0.05)
        else:
            a, b = found.interval()
            hits["default"].append((a <= share) & (share <= b))
            hits["wilson"].append((low[k] <= share) & (share <= high[k]))
            hits["binomial"].append((exact_low[k] <= share) & (share <= exact_high[k]))
            if fixed is not None:
                a, b = fixed.interval()
                hits["items"].append((a <= batch.truth) & (batch.truth <= b))
    mean = {
        key: float(np.concatenate(parts).mean()) if parts else float("nan") for key, parts in hits.items()
    }
    return Row(name, spread, share, **mean)


def shared_seeds(seeds: int, runs: int) -> tuple[float, float]:
    """Coverage of the default with the seeds, and without, in studies of 12 people on 20 prompts × seeds.

    SDs on the logit scale: people .5, prompts .3, seeds .8; everyone sees all; the true share is ½.
    """
    rng = np.random.default_rng(seeds)
    person, prompt, seed = (axis.ravel() for axis in np.indices((12, 20, seeds)))
    held = np.zeros((runs, 2), bool)
    for run in range(runs):
        logit = rng.normal(0, 0.5, 12)[person] + rng.normal(0, 0.3, 20)[prompt]
        logit = logit + rng.normal(0, 0.8, seeds)[seed]
        y = rng.random(len(logit)) < 1 / (1 + np.exp(-logit))
        for k, known in enumerate((seed, None)):
            found = preference(y, person, prompt * seeds + seed, prompt, known)
            assert found.low is not None and found.high is not None
            held[run, k] = found.low <= 0.5 <= found.high
    with_seeds, without = held.mean(axis=0).tolist()
    return with_seeds, without


def table(rows: list[Row], share_of: str) -> str:
    """The rows as Markdown."""
    lines = [
        f"| design | SDs | share | {share_of}: items like these | these items | Wilson | binomial |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        fixed = "–" if np.isnan(row.items) else f"{row.items:.3f}"
        default = f"{row.default:.3f}" if row.kept else f"{row.default:.3f} **out of bounds**"
        cells = [
            row.design,
            f"{row.spread[0]:g} / {row.spread[1]:g}",
            f"{row.share:g}",
            default,
            fixed,
            f"{row.wilson:.3f}",
            f"{row.binomial:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5000, help="studies of each kind (default 5000)")
    runs = parser.parse_args().runs
    rows = [
        measure(name, spread, share, runs, seed)
        for seed, (name, spread, share) in enumerate(
            (name, spread, share) for share in (*SHARES, 0.5) for name in DESIGNS for spread in SPREADS
        )
    ]
    print(table([row for row in rows if row.share != 0.5], "coverage"))
    print()
    print(table([row for row in rows if row.share == 0.5], "error at .05"))
    print("\n| 12 people, 20 prompts × seeds | by person, prompt and seed | by person and prompt |")
    print("| --- | --- | --- |")
    of_seeds = {seeds: shared_seeds(seeds, runs) for seeds in (4, 10)}
    for seeds, (with_seeds, without) in of_seeds.items():
        print(f"| {seeds} seeds | {with_seeds:.3f} | {without:.3f} |")
    left = [row for row in rows if not row.kept]
    out = len(left) + sum(not COVERAGE[0] <= held <= COVERAGE[1] for held, _ in of_seeds.values())
    print(f"\n{len(rows) + len(of_seeds)} kinds of study, {runs} of each; {out} out of bounds")
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main())
