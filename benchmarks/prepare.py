"""Stages of the preparation of a mesh on one thread, and the scanner beside surface sampling in the whole pipeline.

Times are means over the meshes, in CPU time, so that other load on the machine disturbs them little. A complete run
with a worker for every core is in wall-clock time.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import trimesh

from benchmarks.timing import Options, Row
from data_prep.bounding_sphere import bounding_sphere
from data_prep.labelled_folder import collect_meshes
from data_prep.pipeline import Pipeline, cluster_patches, make_shape, simplify
from data_prep.point_cloud import PointCloud
from data_prep.run import Item, prepare
from data_prep.sampling import sample, scan

MESHES = 24  # of which the stages are timed


def rows(options: Options) -> Iterator[Row]:
    """The stages, the pipeline by both methods, and a complete run; nothing of it uses a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        source = options.meshes or _generate(Path(folder) / "meshes", 2 if options.quick else MESHES)
        items = collect_meshes(source).items
        chosen = items[:: max(1, len(items) // MESHES)]
        seconds, faces, points = _time_stages(chosen)
        size = f"of {len(chosen)} meshes, {faces:,.0f} faces and {points:,.0f} points on average"
        by_sample = seconds.pop("pipeline by sample")
        yield Row(f"prepare a mesh ({size})", seconds.pop("pipeline by scan"), "by surface sampling", by_sample)
        for stage, mean in seconds.items():
            yield Row(f"prepare a mesh: {stage}", mean)
        jobs = 1 if options.quick else os.cpu_count() or 1
        classes = sorted({item.category for item in items} - {""})
        summary = prepare(items, Path(folder) / "all.h5", classes=classes, jobs=jobs)
        size = f"{summary.store_bytes / summary.values:.1f} bytes a point"
        yield Row(f"prepare {summary.entries} meshes, {jobs} workers, {size}", summary.seconds)


def _time_stages(items: list[Item]) -> tuple[dict[str, float], float, float]:
    """Mean CPU seconds of every stage, mean number of faces, and mean number of points of the prepared shapes."""
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
        hits = timed("scan, 14 views of 255×255 rays", lambda mesh=mesh: scan(mesh))
        timed("scan, 14 views of 128×128 rays", lambda mesh=mesh: scan(mesh, 128))
        timed("sample, 50,000 points", lambda mesh=mesh: sample(mesh, 50_000, seed=0))
        center, radius = timed("bounding sphere", lambda hits=hits: bounding_sphere(hits.points))
        cloud = PointCloud((hits.points - center) / radius, hits.normals)
        thin = timed("simplify, 64³", lambda cloud=cloud: simplify(cloud))
        timed("100 patches", lambda thin=thin: cluster_patches(thin.points, 100, seed=0))
        for method in ("scan", "sample"):
            timed(f"pipeline by {method}", lambda: make_shape(item.load(), item.id, Pipeline(method)))  # noqa: B023
        points.append(len(thin.points))
        faces.append(len(mesh.faces))
    return {stage: float(np.mean(times)) for stage, times in stages.items()}, np.mean(faces), np.mean(points)


def _generate(folder: Path, count: int) -> Path:
    """OBJ files of 300 to 80,000 faces: spheres, tori and boxes side by side."""
    folder.mkdir()
    for index in range(count):
        ball = trimesh.creation.icosphere(2 + index % 5)
        torus = trimesh.creation.torus(1, 0.2 + 0.02 * index).apply_translation((2, index / count, 0))
        box = trimesh.creation.box((3, 0.1, 2)).apply_translation((1, -1, 0))
        trimesh.util.concatenate([ball, torus, box]).export(folder / f"{index:03}.obj")
    return folder
