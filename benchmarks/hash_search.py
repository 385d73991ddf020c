"""Seconds and peak memory of the search for copies among many hashes, with the truth planted in them.

    python -m benchmarks.hash_search [--counts 10000,100000,1000000] [--mirrored] [--workers 2]

The hashes are those of made-up pictures: low frequencies drawn at 1/f, from which pHash and dHash are computed as
imagehash does, so that many share blocks as photographs do (`skewed`); and, to compare, evenly drawn ones (`even`).
One in ten has a planted copy, at 0 to 20 bits in both hashes together. A search answers both rules at once: p + d <= 12
is the same picture, p + d <= 16 is kin. Recall is that of the planted pairs within 16 bits; each size runs in a process
of its own, whose peak memory is that of everything in it, the interpreter included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.hash_search import Hashes, near_pairs

SAME, KIN = 12, 16


def even_hashes(count: int, rng: np.random.Generator) -> tuple[Hashes, Hashes]:
    """Every bit a toss of a coin: pHash and dHash, uint64 [count] each."""
    return rng.integers(0, 2**64, count, dtype=np.uint64), rng.integers(0, 2**64, count, dtype=np.uint64)


def skewed_hashes(count: int, rng: np.random.Generator) -> tuple[Hashes, Hashes]:
    """Hashes of pictures of 8 x 8 cosine waves whose amplitude falls as 1/f, or 1/f^2 in one of 20: [count] each.

    Two of them then agree in two of ten blocks as often as two of 801 real photographs do (2^-12.2 for each hash;
    evenly drawn ones 2^-12.8).
    """
    rise = np.hypot(*np.meshgrid(np.arange(8), np.arange(8), indexing="ij"))
    rise[0, 0] = 1.0
    rows = np.cos(np.pi * np.outer(np.arange(8), (2 * np.arange(8) + 1) / 16))
    columns = np.cos(np.pi * np.outer(np.arange(8), (2 * np.arange(9) + 1) / 18))
    phash, dhash = [], []
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        steepness = rng.choice([1.0, 2.0], (size, 1, 1), p=[0.95, 0.05])
        waves = rng.normal(0, 1, (size, 8, 8)) * rise**-steepness
        waves[:, 0, 0] = np.abs(waves[:, 0, 0]) + 10  # the mean brightness, always above the median
        phash.append(_packed(waves > np.median(waves.reshape(size, 64), axis=1)[:, None, None]))
        brightness = np.einsum("nuv,ux,vy->nxy", waves, rows, columns, optimize=True)
        dhash.append(_packed(brightness[:, :, 1:] > brightness[:, :, :-1]))
    return np.concatenate(phash), np.concatenate(dhash)


def plant(phash: Hashes, dhash: Hashes, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Make the last tenth copies of the first: changed in place; the rows (original, copy, distance)."""
    planted = len(phash) // 10
    rows = []
    for k, distance in enumerate(rng.integers(0, 21, planted).tolist()):
        copy = len(phash) - planted + k
        bits = rng.choice(128, distance, replace=False).tolist()
        phash[copy] = phash[k] ^ np.uint64(sum(1 << bit for bit in bits if bit < 64))
        dhash[copy] = dhash[k] ^ np.uint64(sum(1 << bit - 64 for bit in bits if bit >= 64))
        rows.append((k, copy, distance))
    return np.array(rows, dtype=np.int64).reshape(planted, 3)


def measure(count: int, kind: str, mirrored: bool, workers: int) -> dict[str, float]:
    """Search once: seconds, peak memory in MB, pairs found by rule, recall of the planted ones."""
    rng = np.random.default_rng(0)
    draw = {"even": even_hashes, "skewed": skewed_hashes}[kind]
    phash, dhash = draw(count, rng)
    truth = plant(phash, dhash, rng)
    views = [(phash, dhash), *([draw(count, rng)] if mirrored else [])]
    seen = np.stack([p for p, _ in views]), np.stack([d for _, d in views])
    made_mb = _peak_mb()
    began = time.perf_counter()
    same = kin = hit = 0
    wanted = np.sort(truth[truth[:, 2] <= KIN, 0] * count + truth[truth[:, 2] <= KIN, 1])
    for pairs in near_pairs(*seen, KIN, workers):
        same += int((pairs.distance <= SAME).sum())
        kin += int((pairs.distance > SAME).sum())
        hit += int(np.isin(pairs.i * count + pairs.j, wanted)[pairs.orientation == 0].sum())
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds, "peak_mb": _peak_mb(), "before_mb": made_mb,
        "same": same, "kin": kin, "planted": len(wanted), "recall": hit / max(1, len(wanted)),
    }  # fmt: skip


def _packed(bits: npt.NDArray[np.bool_]) -> Hashes:
    return np.packbits(bits.reshape(len(bits), 64), axis=1).view(">u8").ravel().astype(np.uint64)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure each size in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10000,100000,1000000", help="comma-separated")
    parser.add_argument("--mirrored", action="store_true", help="search mirror images too: twice the hashes")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--one", metavar="KIND", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(int(given.counts), given.one, given.mirrored, given.workers)))
        return
    print("hashes  pictures   seconds  peak MB  (before)  p+d<=12  13 to 16  planted  recall")
    for kind in ("even", "skewed"):
        for count in given.counts.split(","):
            command = [sys.executable, "-m", "benchmarks.hash_search", "--one", kind, "--counts", count]
            command += ["--workers", str(given.workers), *(["--mirrored"] if given.mirrored else [])]
            got = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(
                f"{kind:6}  {int(count):9,}  {got['seconds']:7.2f}  {got['peak_mb']:7.0f}  {got['before_mb']:8.0f}"
                f"  {got['same']:7}  {got['kin']:8}  {got['planted']:7}  {got['recall']:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
