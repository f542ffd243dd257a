"""Pictures of shapes beside their quantized versions."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from ocnn.octree import Octree, Points

from pcrq.stores.shape_store import Shape
from projects.point_cloud.view import render as rendering
from projects.point_cloud.view.cloud import PART_COLOURS, Cloud, ball_radius, original, quantized, random_subset
from projects.point_cloud.view.figure import figure_quantized, quantized_rows
from projects.point_cloud.view.render import render, require_screen, side_by_side

WHITE = np.array([255, 255, 255])


def egg(count: int = 1500, labels: bool = False) -> Shape:
    normals = np.random.default_rng(count).normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = (normals * (0.5, 0.9, 0.3)).astype(np.float32)
    parts = (points[:, 1] > 0).astype(np.int64) if labels else None
    return Shape(points, normals.astype(np.float32), "egg", labels=parts)


def dot(x: float, y: float, z: float, colour=(1.0, 0.0, 0.0)) -> Cloud:
    return Cloud(np.array([[x, y, z]], np.float32), np.array([colour], np.float32))


@pytest.fixture(params=["open3d", "matplotlib"])
def renderer(request, monkeypatch):
    """Either way of drawing; without EGL only the second one can be tested."""
    if request.param == "matplotlib":
        monkeypatch.setitem(sys.modules, "open3d", None)  # importing it fails, as without its system libraries
        return request.param
    try:
        rendering._render_open3d([dot(0, 0, 0)], 32, 0.1)
    except rendering._CannotDraw as reason:
        pytest.skip(f"Open3D cannot draw here: {reason}")
    return request.param


def place(picture: np.ndarray) -> np.ndarray:
    """(right, up) of the middle of what is drawn, from the middle of the picture, in halves of the picture."""
    rows, columns = np.nonzero((picture != WHITE).any(axis=2))
    half = len(picture) / 2
    return np.array([columns.mean() + 0.5 - half, half - rows.mean() - 0.5]) / half


class TestRender:
    def test_points_stand_where_the_camera_sees_them(self, renderer):
        # The camera looks from −x, +y, −z, so −x lies to the right of it and −z to the left.
        middle, minus_x, minus_z, up = render(
            [dot(0, 0, 0), dot(-0.8, 0, 0), dot(0, 0, -0.8), dot(0, 0.8, 0)], 200, 0.05
        )
        np.testing.assert_allclose(place(middle), (0, 0), atol=0.02)
        assert place(minus_x)[0] > 0.2
        assert place(minus_z)[0] < -0.2
        right, height = place(up)
        assert abs(right) < 0.02
        assert 0.4 < height < 1

    def test_nearer_points_hide_farther_ones_and_keep_their_colour(self, renderer):
        near, far = 0.6 * rendering.CAMERA, -0.6 * rendering.CAMERA
        points = np.array([near, far], np.float32)
        for order in ([0, 1], [1, 0]):
            colours = np.array([(1, 0, 0), (0, 0, 1)], np.float32)
            (picture,) = render([Cloud(points[order], colours[order])], 200, 0.1)
            red, _, blue = picture[100, 100]
            assert red > 2 * blue

    def test_scale_does_not_depend_on_the_cloud(self, renderer):
        small = Cloud(original(egg()).points / 2, original(egg()).colours)
        heights = [np.ptp(np.nonzero((p != WHITE).any(axis=2))[0]) for p in render([original(egg()), small], 200, 0.01)]
        assert heights[1] == pytest.approx(heights[0] / 2, rel=0.1)

    def test_unit_ball_fits_into_the_picture(self, renderer):
        ball = egg().normals
        (picture,) = render([Cloud(ball, np.zeros_like(ball))], 200, 0.01)
        border = np.ones((200, 200), bool)
        border[1:-1, 1:-1] = False
        assert (picture[border] == WHITE).all()
        assert np.ptp(np.nonzero((picture != WHITE).any(axis=2)), axis=1).min() > 150

    def test_fallback_says_what_to_install(self, monkeypatch, caplog):
        monkeypatch.setitem(sys.modules, "open3d", None)
        with caplog.at_level(logging.WARNING):
            render([dot(0, 0, 0)], 50, 0.1)
        assert "libegl1" in caplog.text


class TestCloud:
    def test_leaves_are_those_of_ocnn(self):
        for cloud in (original(egg()), quantized(original(egg()), 30, torch.Generator().manual_seed(0))):
            octree = Octree(depth=6, full_depth=2)
            octree.build_octree(Points(torch.from_numpy(cloud.points)))
            assert cloud.leaves == octree.nnum_nempty[6]

    def test_quantized_axes_take_at_most_as_many_values_as_bins(self):
        cloud = quantized(original(egg()), 7, torch.Generator().manual_seed(0))
        assert [len(np.unique(axis)) <= 7 for axis in cloud.points.T] == [True] * 3
        assert cloud.distinct == len({tuple(point) for point in cloud.points.tolist()}) <= 7**3
        np.testing.assert_array_equal(cloud.colours, original(egg()).colours)

    def test_parts_give_the_colour_where_they_are_known(self):
        shape = egg(labels=True)
        np.testing.assert_array_equal(original(shape).colours, PART_COLOURS[shape.labels])

    def test_normals_give_the_colour_otherwise(self):
        shape = Shape(np.zeros((3, 3), np.float32), np.eye(3, dtype=np.float32), "axes")
        assert original(shape).colours.argmax(axis=1).tolist() == [0, 1, 2]

    def test_subset_keeps_points_with_their_columns(self):
        shape = egg(labels=True)
        part = random_subset(shape, 100, seed=3)
        where = [shape.points.tolist().index(point) for point in part.points.tolist()]
        assert len(set(where)) == 100
        np.testing.assert_array_equal(part.labels, shape.labels[where])
        np.testing.assert_array_equal(part.normals, shape.normals[where])
        assert random_subset(shape, len(shape.points)) is shape

    @pytest.mark.parametrize("count", [1, 2, 3, 10])
    def test_few_points_have_a_radius_too(self, count):
        assert 0 < ball_radius(egg(count).points) <= 0.03


class TestFigure:
    def test_rows_are_shapes_and_columns_are_draws(self, renderer, tmp_path):
        figure_quantized([egg(), egg(800, labels=True)], tmp_path / "figure.png", bins=(5, 30, 30), title="Eggs")
        picture = imread(tmp_path / "figure.png")
        cells = np.split(picture[-2 * (480 + 56) :], 2)  # 56 pixels of titles, 480 of cloud
        cells = [np.split(row, 4, axis=1) for row in cells]
        assert picture.shape[1] == 4 * 480
        inked = np.array([[(cell[56:, :, :3] < 1).any(axis=2).sum() for cell in row] for row in cells])
        assert (inked > 300).all()
        assert (inked[:, 0] > inked[:, 1]).all()  # five bins leave fewer points than there were
        assert not np.array_equal(cells[0][2], cells[0][3])  # two draws of 30 bins

    def test_same_seed_same_draws(self):
        rows = [quantized_rows([egg()], bins=(8, 8), seed=seed)[0] for seed in (1, 1, 2)]
        np.testing.assert_array_equal(rows[0][1].points, rows[1][1].points)
        assert not np.array_equal(rows[0][1].points, rows[2][1].points)
        assert not np.array_equal(rows[0][1].points, rows[0][2].points)
        assert [cloud.title for cloud in rows[0]] == ["original", "8 bins", "8 bins"]

    def test_nothing_is_left_behind_where_the_picture_cannot_be_written(self, tmp_path):
        (tmp_path / "figure.png").mkdir()
        with pytest.raises(ValueError, match=r"figure\.png: cannot be written"):
            figure_quantized([egg(50)], tmp_path / "figure.png", bins=())
        assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


class TestWindow:
    def test_clouds_stand_side_by_side_for_the_camera(self):
        clouds = [dot(0, 0, 0), dot(0, 0, 0, (0, 1, 0)), dot(0, 0, 0, (0, 0, 1))]
        points, colours = side_by_side(clouds)
        assert colours.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
        places = [place(render([Cloud(point[None] / 3, colours[:1])], 200, 0.05)[0])[0] for point in points]
        assert places[0] < places[1] < places[2]
        gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        assert (gaps > 2).all()  # two unit balls do not touch

    def test_no_screen_is_said_with_what_to_do(self, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(sys, "platform", "linux")
        with pytest.raises(ValueError, match="--save"):
            require_screen()
