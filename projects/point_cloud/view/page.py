"""A self-contained HTML page that shows shapes beside their quantized versions, computed in the browser.

The page needs neither a network nor WebGL. Layout, style and script are in ``page.html``; this module inserts the
shapes.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pcrq.files import write_text
from pcrq.stores import Shape
from projects.point_cloud.view.cloud import PART_COLOURS, ball_radius

_TEMPLATE = Path(__file__).with_name("page.html")


def save_html(
    shapes: Sequence[Shape],
    path: str | Path,
    *,
    title: str = "Randomized quantization",
    bins: Sequence[int] = (5, 10, 30, 60),
    seed: int = 0,
    parts: Sequence[str] = (),
) -> None:
    """Write a page that shows shapes beside their quantized versions, for any number of bins and any seed.

    A point takes 9 bytes, 12 in base64: coordinates are 16-bit cells of the octree of depth 16, so that numbers of
    leaves are exact; normals (or part labels) are bytes.

    Args:
        shapes: at least one, in the order of the menu; coordinates in [-1, 1].
        path: HTML file to write.
        title: heading of the page.
        bins: numbers of the buttons. The slider starts at 30, as in the paper, if it is among them, else at the first.
        seed: first random seed, in [0, 2³²).
        parts: names of the parts, for the legend of shapes with labels.

    Raises:
        InputError: ``path`` cannot be written.
    """
    path = Path(path)
    data = {
        "shapes": [_encode(shape) for shape in shapes],
        "bins": list(bins),
        "seed": seed,
        "parts": list(parts),
        "colours": (PART_COLOURS * 255).round().astype(int).tolist(),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    page = page.replace("@TITLE@", html.escape(title))
    # A name that contains "</script>" must not end the script.
    page = page.replace("@DATA@", json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))
    write_text(path, page)


def _encode(shape: Shape) -> dict:
    cells = np.floor((shape.points.astype(np.float64) + 1) * 2**15).clip(0, 2**16 - 1)
    encoded = {"id": shape.id, "radius": ball_radius(shape.points), "cells": _base64(cells, "<u2")}
    if shape.labels is None:
        return encoded | {"normals": _base64(np.rint(shape.normals * 127).clip(-127, 127), "i1")}
    return encoded | {"labels": _base64(shape.labels, "u1")}


def _base64(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array).astype(dtype).tobytes()).decode("ascii")
