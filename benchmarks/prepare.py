"""How long each stage of the preparation takes, and the scanner beside surface sampling through the whole pipeline.

    python benchmarks/prepare.py                    # meshes made here
    python benchmarks/prepare.py FOLDER_OR_ZIP      # meshes of yours
    python benchmarks/prepare.py FOLDER --jobs 2    # and a whole run, in shapes a second
    python benchmarks/prepare.py FOLDER --resolution 255  # with 255×255 rays a view

Stages run on one thread of this process and are given in its CPU time, so that other load on the machine disturbs them
little. Both methods take turns on the same meshes, so that the ratio is fair.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import trimesh
from timing import describe, machine

from data_prep.bounding_sphere import bounding_sphere
from data_prep.labelled_folder import collect_meshes
from data_prep.pipeline import Pipeline, cluster_patches, make_shape, simplify
from data_prep.point_cloud import PointCloud
from data_prep.run import Item, prepare
from data_prep.sampling import sample, scan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, help="a folder or zip archive of meshes")
    parser.add_argument("--meshes", type=int, default=24, help="how many of them, evenly chosen (default 24)")
    parser.add_argument("--resolution", type=int, default=128, help="rays along each side of a view (default 128)")
    parser.add_argument("--jobs", type=int, help="also time a whole run of all meshes with so many workers")
    args = parser.parse_args()
    print(describe(machine(torch.device("cpu"))))
    with tempfile.TemporaryDirectory() as folder:
        source = args.source or _generate(Path(folder) / "meshes", args.meshes)
        items = collect_meshes(source).items
        chosen = items[:: max(1, len(items) // args.meshes)]
        _time_stages(chosen, args.resolution)
        if args.jobs:
            settings = Pipeline(resolution=args.resolution)
            summary = prepare(
                items, Path(folder) / "all.h5", classes=_classes(items), pipeline=settings, jobs=args.jobs
            )
            print(
                f"{summary.entries} shapes with {args.jobs} workers in {summary.seconds:.1f} s, start-up included:",
                end="",
            )
            print(f" {summary.prepared / summary.seconds:.1f} a second", end="")
            print(f", {summary.store_bytes / summary.values:.1f} bytes a point, {len(summary.refused)} refused")


def _time_stages(items: list[Item], resolution: int) -> None:
    """Print milliseconds per mesh of every stage, and the ratio of the two methods."""
    stages: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable):
        started = time.process_time()
        result = work()
        stages.setdefault(stage, []).append(time.process_time() - started)
        return result

    make_shape(items[0].load(), "warm-up")  # imports, and looking for the thread pools
    points, faces = [], []
    for item in items:
        mesh = timed("load and clean", item.load)
        hits = timed(f"scan, 14 views of {resolution}×{resolution} rays", lambda mesh=mesh: scan(mesh, resolution))
        timed("sample, 50,000 points", lambda mesh=mesh: sample(mesh, 50_000, seed=0))
        center, radius = timed("bounding sphere", lambda hits=hits: bounding_sphere(hits.points))
        cloud = PointCloud((hits.points - center) / radius, hits.normals)
        thin = timed("simplify, 64³", lambda cloud=cloud: simplify(cloud))
        timed("100 patches", lambda thin=thin: cluster_patches(thin.points, 100, seed=0))
        for method in ("scan", "sample"):
            settings = Pipeline(method, resolution)
            work = timed(f"whole pipeline by {method}", lambda: make_shape(item.load(), item.id, settings))  # noqa: B023
            assert len(work.points) > 0
        points.append(len(thin.points))
        faces.append(len(mesh.faces))
    print(f"{len(items)} meshes, {np.mean(faces):,.0f} faces and {np.mean(points):,.0f} points each on average")
    for stage, seconds in stages.items():
        print(f"{stage:32} {1000 * np.mean(seconds):8.1f} ms CPU a mesh, slowest {1000 * max(seconds):8.1f} ms")
    by_scan, by_sample = (sum(stages[f"whole pipeline by {method}"]) for method in ("scan", "sample"))
    print(f"scanning takes {by_scan / by_sample:.2f} times as long as sampling, loading and all")


def _generate(folder: Path, count: int) -> Path:
    """OBJ files of 300 to 80,000 faces: spheres, tori and boxes side by side."""
    folder.mkdir()
    for index in range(count):
        ball = trimesh.creation.icosphere(2 + index % 5)
        torus = trimesh.creation.torus(1, 0.2 + 0.02 * index).apply_translation((2, index / count, 0))
        box = trimesh.creation.box((3, 0.1, 2)).apply_translation((1, -1, 0))
        trimesh.util.concatenate([ball, torus, box]).export(folder / f"{index:03}.obj")
    return folder


def _classes(items: list[Item]) -> list[str]:
    return sorted({item.category for item in items} - {""})


if __name__ == "__main__":
    main()
