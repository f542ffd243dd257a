"""Clouds side by side in an Open3D window that the mouse turns."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np

from pcrq.errors import InputError
from projects.point_cloud.view.cloud import Cloud
from projects.point_cloud.view.render import CAMERA, SYSTEM_LIBRARIES, UP

_GAP = 2.1  # between the middles of two clouds; a cloud lies in the unit ball


def show_window(clouds: Sequence[Cloud], *, title: str) -> None:
    """Show clouds side by side, as seen from the front, until the window is closed.

    Args:
        clouds: what to show, from left to right, inside the unit ball.
        title: of the window.

    Raises:
        InputError: there is no screen.
    """
    require_screen()
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise InputError(
            f"Open3D cannot be loaded ({error}); install {SYSTEM_LIBRARIES}, or add --save page.html"
        ) from error
    points, colours = side_by_side(clouds)
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.colors = open3d.utility.Vector3dVector(colours)
    window = open3d.visualization.Visualizer()
    if not window.create_window(window_name=title, width=min(1800, 480 * len(clouds)), height=600):
        raise InputError("Open3D cannot open a window on this screen; add --save picture.png or --save page.html")
    try:
        window.add_geometry(cloud)
        window.get_render_option().point_size = 4.0
        camera = window.get_view_control()
        camera.set_front(CAMERA)
        camera.set_up(UP)
        camera.set_zoom(0.5)
        window.run()
    finally:
        window.destroy_window()


def side_by_side(clouds: Sequence[Cloud]) -> tuple[np.ndarray, np.ndarray]:
    """Move clouds apart, to the right as the camera sees it.

    Returns:
        (sum of N, 3) float64 points centred on the origin, and their (sum of N, 3) colours.
    """
    right = np.cross(UP, CAMERA)
    right /= np.linalg.norm(right)
    places = (np.arange(len(clouds)) - (len(clouds) - 1) / 2) * _GAP
    points = np.concatenate([cloud.points + place * right for cloud, place in zip(clouds, places, strict=True)])
    return points.astype(np.float64), np.concatenate([cloud.colours for cloud in clouds]).astype(np.float64)


def require_screen(instead: str = "--save picture.png or --save page.html") -> None:
    """Make sure that a window can appear; without a screen Open3D would draw unseen and wait for ever.

    Args:
        instead: what the error advises to add to the command.

    Raises:
        InputError: there is no screen.
    """
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    raise InputError(f"there is no screen for a window here; add {instead}")
