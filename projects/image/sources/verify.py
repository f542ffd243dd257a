"""Decode every image of a source, on all cores, to find those that cannot be used."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from projects.image.sources.source import ImageSource, UnreadableImage


@dataclass(frozen=True)
class Refusal:
    """An image that cannot be used, and why."""

    name: str
    reason: str


def verify(source: ImageSource, jobs: int = -1) -> list[Refusal]:
    """Decode all images once.

    Args:
        source: what to check.
        jobs: processes; -1 for one on every core.

    Returns:
        What cannot be used, in the order of the source; empty where all is well.
    """
    import joblib
    from tqdm import tqdm

    indices = np.arange(len(source))
    chunks = np.array_split(indices, max(1, len(source) // 256))
    pool = joblib.Parallel(jobs, return_as="generator")
    found = []
    with tqdm(total=len(source), desc="checking", unit="image", mininterval=0.2 if sys.stderr.isatty() else 10) as bar:
        for chunk, refusals in zip(chunks, pool(joblib.delayed(refused)(source, c) for c in chunks), strict=True):
            found += refusals
            bar.update(len(chunk))
    return found


def refused(source: ImageSource, indices: np.ndarray) -> list[Refusal]:
    """Those of some images that cannot be used."""
    found = []
    for index in indices:
        try:
            source[int(index)]
        except UnreadableImage as error:
            found.append(Refusal(error.name, error.reason))
    return found
