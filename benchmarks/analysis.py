"""What a million votes cost: the whole command, and Bradley-Terry beside `choix`.

`python -m benchmarks.analysis [--votes 1000000] [--keep FILE]` draws votes of 1,000 people on 2,000 items
between 8 conditions, with ties, and runs `manage.py analyze FILE --json` as a user would: a process of its
own, from reading the file to printing. Then it fits the first votes with
Davidson's model and their wins with `choix.opt_pairwise`, which takes minutes for a million, in one run.
It ends with 1 beyond 5 s, 2 GB, 20 times, or 1e-6.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import choix
import numpy as np
from numpy.typing import NDArray

from studies.statistics.bradley_terry import bradley_terry
from studies.statistics.pairs import TIE, tally

ROOT = Path(__file__).resolve().parent.parent
PEOPLE, ITEMS = 1000, 2000
NAMES = ["baseline", *(f"se2p-rho{i}" for i in range(1, 8))]
SECONDS, GIGABYTES, TIMES, CLOSE = 5.0, 2.0, 20.0, 1e-6
Codes = NDArray[np.int64]


def draw(n: int, seed: int = 0) -> tuple[Codes, Codes, Codes, Codes, Codes]:
    """Participant, item, left, right, choice of n votes; nobody judges an item twice."""
    rng = np.random.default_rng(seed)
    each = n // PEOPLE
    person = np.repeat(np.arange(PEOPLE), each)
    item = np.concatenate([rng.permutation(ITEMS)[:each] for _ in range(PEOPLE)])
    left = rng.integers(0, len(NAMES), len(person))
    right = (left + rng.integers(1, len(NAMES), len(person))) % len(NAMES)
    ability = np.linspace(0, 1, len(NAMES)) + rng.normal(0, 0.5, (ITEMS, len(NAMES)))
    taste = rng.normal(0, 0.3, (PEOPLE, len(NAMES)))
    gap = (ability[item] + taste[person])[np.arange(len(person)), left]
    gap = gap - (ability[item] + taste[person])[np.arange(len(person)), right]
    weight = np.stack([np.exp(gap / 2), np.exp(-gap / 2), np.full(len(gap), 0.3)], axis=1)
    choice = (rng.random((len(gap), 1)) > np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)).sum(
        axis=1
    )
    return person, item, left, right, choice


def write(path: Path, votes: tuple[Codes, ...]) -> None:
    words = ("left", "right", "tie")
    with path.open("w", encoding="utf-8") as file:
        file.write("participant,item,left,right,choice\n")
        for p, i, a, b, c in zip(*(column.tolist() for column in votes), strict=True):
            file.write(f"person-{p:04d},item-{i:04d},{NAMES[a]},{NAMES[b]},{words[c]}\n")


def command(path: Path) -> tuple[float, float, float, dict[str, Any]]:
    """Seconds, seconds of processor time, peak GB and the result of `analyze`."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "analyze", str(path), "--json"], cwd=ROOT, stdout=out
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"analyze failed with status {status}")
        out.seek(0)
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, json.load(out)


def beside_choix(left: Codes, right: Codes, choice: Codes) -> tuple[float, float, float]:
    """Seconds of Davidson's fit of all votes, of choix on the wins, and how far wins-only fits differ."""
    start = time.perf_counter()
    bradley_terry(tally(left, right, choice, len(NAMES)), NAMES)
    ours = time.perf_counter() - start
    decided = choice != TIE
    winner, loser = np.where(choice == 0, left, right)[decided], np.where(choice == 0, right, left)[decided]
    pairs = list(zip(winner.tolist(), loser.tolist(), strict=True))
    start = time.perf_counter()
    other = choix.opt_pairwise(len(NAMES), pairs, alpha=0.0, method="Newton-CG", tol=1e-10)
    theirs = time.perf_counter() - start
    alone = bradley_terry(tally(left[decided], right[decided], choice[decided], len(NAMES)), NAMES).ability
    assert alone is not None
    return ours, theirs, float(np.abs(alone - (other - other[0])).max())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--choix-votes", type=int, default=50_000, help="choix needs minutes for a million")
    parser.add_argument("--keep", type=Path, help="where to leave the file of votes")
    options = parser.parse_args()
    votes = draw(options.votes)
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "votes.csv"
        write(path, votes)
        seconds, processor, gigabytes, found = command(path)
    counted = found["blocks"]["all"]["n_votes"]
    spent = f"at most {SECONDS:g}; {processor:.2f} s of processor time"
    print(f"analyze: {counted} votes in {seconds:.2f} s ({spent})")
    print(f"memory: {gigabytes:.2f} GB (at most {GIGABYTES:g})")
    ours, theirs, apart = beside_choix(*(column[: options.choix_votes] for column in votes[2:]))
    times = theirs / ours
    print(
        f"Bradley-Terry of {options.choix_votes} votes: {ours:.3f} s with ties, choix {theirs:.1f} s without"
    )
    print(f"that is {times:.0f} times as fast (at least {TIMES:g})")
    print(f"log abilities of the wins alone differ by {apart:.1e} (at most {CLOSE:g})")
    kept = seconds <= SECONDS and gigabytes <= GIGABYTES and times >= TIMES and apart <= CLOSE
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
