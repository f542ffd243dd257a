"""Render clouds: as pictures without a screen, or in an Open3D window.

Pictures show every point as a shaded ball, drawn by Open3D through EGL. If Open3D cannot draw because system libraries
are missing, matplotlib draws flat discs instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Sequence

import numpy as np

from pcrq import InputError
from projects.point_cloud.view.cloud import Cloud

logger = logging.getLogger(__name__)

SYSTEM_LIBRARIES = (
    "libusb-1.0-0 libgl1 libegl1 libgl1-mesa-dri libgomp1"  # Debian's names of the libraries that Open3D loads
)
CAMERA = np.array([-0.55, 0.38, -0.75])  # direction of the camera: the front of shapes is at -z
UP = np.array([0.0, 1.0, 0.0])
LIGHT = np.array([-0.25, 0.80, -0.55])
_FIELD_OF_VIEW = 25.0  # degrees: narrow, so that equal sizes look equal
_ZOOM = 0.55  # fraction of the bounding box that fills the picture
_GAP = 2.1  # between the centres of neighbouring clouds in the window
_SUPERSAMPLING = 2  # Open3D has no antialiasing without a screen


def render(clouds: Sequence[Cloud], size: int, radius: float) -> list[np.ndarray]:
    """Draw every cloud into its own picture, all with the same camera, scale and light, on white.

    Args:
        clouds: clouds inside the unit ball.
        size: width and height of a picture in pixels.
        radius: radius of the balls.

    Returns:
        A (size, size, 3) uint8 picture for every cloud.
    """
    try:
        return _render_open3d(clouds, size, radius)
    except _CannotDraw as reason:
        logger.warning(
            "Open3D cannot render on this machine (%s); matplotlib draws flat discs. For shaded balls install %s",
            reason,
            SYSTEM_LIBRARIES,
        )
        return _render_matplotlib(clouds, size, radius)


class _CannotDraw(Exception):
    """Open3D cannot render on this machine."""


def _render_open3d(clouds: Sequence[Cloud], size: int, radius: float) -> list[np.ndarray]:
    try:
        import open3d
    except (ImportError, OSError) as error:
        raise _CannotDraw(str(error)) from error
    pixels = size * _SUPERSAMPLING
    window = open3d.visualization.Visualizer()
    with _quiet_about_screens(open3d):
        if not window.create_window(width=pixels, height=pixels, visible=False):
            raise _CannotDraw("no EGL context")
    try:
        # The shading is part of the colours of the balls, as Open3D's lights depend on its version.
        window.get_render_option().light_on = False
        return [_shrink(_snapshot(window, _balls(cloud, radius))) for cloud in clouds]
    finally:
        window.destroy_window()


@contextlib.contextmanager
def _quiet_about_screens(open3d):
    """Silence the warnings of Open3D and Wayland that there is no screen."""
    unset = "XDG_RUNTIME_DIR" not in os.environ
    if unset:
        os.environ["XDG_RUNTIME_DIR"] = tempfile.gettempdir()
    try:
        with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
            yield
    finally:
        if unset:
            del os.environ["XDG_RUNTIME_DIR"]


def _snapshot(window, mesh) -> np.ndarray:
    window.clear_geometries()
    window.add_geometry(mesh)
    camera = window.get_view_control()
    camera.change_field_of_view(step=(_FIELD_OF_VIEW - camera.get_field_of_view()) / 5)  # a step is 5 degrees
    camera.set_lookat(np.zeros(3))
    camera.set_front(CAMERA)
    camera.set_up(UP)
    camera.set_zoom(_ZOOM)
    window.poll_events()
    window.update_renderer()
    return np.array(window.capture_screen_float_buffer(do_render=True))


def _shrink(picture: np.ndarray) -> np.ndarray:
    size = len(picture) // _SUPERSAMPLING
    picture = picture.reshape(size, _SUPERSAMPLING, size, _SUPERSAMPLING, 3).mean((1, 3))
    return np.rint(picture * 255).astype(np.uint8)


def _balls(cloud: Cloud, radius: float):
    """Return one mesh with a ball per distinct point, shaded by the colours of its vertices."""
    import open3d

    _, kept = np.unique(cloud.points, axis=0, return_index=True)
    points, colours = cloud.points[kept], cloud.colours[kept]
    ball = open3d.geometry.TriangleMesh.create_sphere(1.0, resolution=6)
    directions, faces = np.asarray(ball.vertices), np.asarray(ball.triangles)
    vertices = (points[:, None] + radius * directions).reshape(-1, 3)
    triangles = (np.arange(len(points))[:, None, None] * len(directions) + faces).reshape(-1, 3)
    shaded = (colours[:, None] * _shade(directions)[:, None]).reshape(-1, 3)
    # Two vertices without triangles fix the bounding box, from which Open3D computes the distance of the camera.
    vertices, shaded = np.append(vertices, [[-1] * 3, [1] * 3], axis=0), np.append(shaded, np.ones((2, 3)), axis=0)
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(triangles.astype(np.int32))
    )
    mesh.vertex_colors = open3d.utility.Vector3dVector(shaded)
    return mesh


def _shade(directions: np.ndarray) -> np.ndarray:
    """Map (M, 3) unit normals to (M,) brightness in [0, 1]."""
    light = LIGHT / np.linalg.norm(LIGHT)
    return 0.55 + 0.45 * (directions @ light).clip(0, 1)


def _render_matplotlib(clouds: Sequence[Cloud], size: int, radius: float) -> list[np.ndarray]:
    return [_discs(cloud, size, radius) for cloud in clouds]


def _discs(cloud: Cloud, size: int, radius: float) -> np.ndarray:
    """Draw flat discs from far to near."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    near = CAMERA / np.linalg.norm(CAMERA)
    right = np.cross(UP, near)
    right /= np.linalg.norm(right)
    order = np.argsort(cloud.points @ near)
    points, colours = cloud.points[order], cloud.colours[order]

    figure = Figure(figsize=(1, 1), dpi=size, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    limits = (-1.1, 1.1)
    axes = figure.add_axes((0, 0, 1, 1), xlim=limits, ylim=limits)
    axes.set_axis_off()
    area = (72 * 2 * radius / 2.2) ** 2  # the square of the diameter, in 1/72 of the one inch that the picture is wide
    edges = {"edgecolors": 0.7 * colours, "linewidths": 0.1 * area**0.5}
    axes.scatter(points @ right, points @ np.cross(near, right), s=area, c=colours, **edges)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


# Window


def show_window(clouds: Sequence[Cloud], *, title: str) -> None:
    """Show clouds side by side in a window that the mouse rotates, until it is closed.

    Args:
        clouds: clouds inside the unit ball, from left to right.
        title: title of the window.

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
    """Place clouds in a row, left to right as seen by the camera.

    Returns:
        (sum of N, 3) float64 points centred on the origin, and their (sum of N, 3) colours.
    """
    right = np.cross(UP, CAMERA)
    right /= np.linalg.norm(right)
    places = (np.arange(len(clouds)) - (len(clouds) - 1) / 2) * _GAP
    points = np.concatenate([cloud.points + place * right for cloud, place in zip(clouds, places, strict=True)])
    return points.astype(np.float64), np.concatenate([cloud.colours for cloud in clouds]).astype(np.float64)


def require_screen(instead: str = "--save picture.png or --save page.html") -> None:
    """Check that there is a screen; without one Open3D would wait forever.

    Args:
        instead: options that the error suggests.

    Raises:
        InputError: there is no screen.
    """
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return
    raise InputError(f"there is no screen to show a window on; add {instead}")
