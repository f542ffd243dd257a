"""The solids of the built-in shapes, checked against the volumes that geometry books give."""

import numpy as np
import pytest

from data_prep.builtin_shapes.primitives import (
    arc,
    box,
    cylinder,
    ellipsoid,
    lathe,
    rod,
    rounded_box,
    slab,
    tube,
)

TURN = np.linspace(0, 2 * np.pi, 200)
HELIX = np.stack([np.cos(2 * TURN), 0.5 * TURN, np.sin(2 * TURN)], 1)
HELIX_LENGTH = 2 * np.pi * np.hypot(2, 0.5)


def volume(solid):
    """Signed volume: positive where faces wind counter-clockwise seen from outside."""
    return np.linalg.det(solid.vertices[solid.faces]).sum() / 6


def rounded_box_volume(width, height, depth, radius):
    """Steiner's formula for the inner box and a ball."""
    a, b, c = width - 2 * radius, height - 2 * radius, depth - 2 * radius
    walls, edges = 2 * (a * b + b * c + c * a) * radius, np.pi * radius**2 * (a + b + c)
    return a * b * c + walls + edges + 4 / 3 * np.pi * radius**3


@pytest.mark.parametrize(
    ("solid", "expected"),
    [
        (box(1, 2, 3), 6),
        (rounded_box(1, 2, 3, 0.3), rounded_box_volume(1, 2, 3, 0.3)),
        (cylinder(0.5, 2, segments=100), np.pi * 0.5),
        (cylinder(1, 3, 0.5, segments=100), np.pi * 3 * (1 + 0.5 + 0.25) / 3),
        (ellipsoid(1, 2, 3, segments=100), 4 / 3 * np.pi * 6),
        (lathe([(0, 0), (1, 0), (1, 2), (0.8, 2), (0.8, 0.5), (0, 0.5)], 100), np.pi * (2 - 0.64 * 1.5)),
        (slab([(0, 0), (2, 0)], [(0, 1), (2, 0)], 0.5), 0.5),
        (rod((0, 0, 0), (1, 2, 2), 0.1, 0.05, sides=100), np.pi * 3 * (0.01 + 0.005 + 0.0025) / 3),
        (tube(arc(2, 2, 0, 359, 360), 0.3, 100, closed=True), 2 * np.pi**2 * 2 * 0.09),
        (tube(HELIX, 0.1, 100), np.pi * 0.01 * HELIX_LENGTH),
        (tube(HELIX, 0.1, sides=4), 0.04 * HELIX_LENGTH),
    ],
)
def test_volume(solid, expected):
    assert volume(solid) == pytest.approx(expected, rel=0.015)


def test_solids_stay_outward_when_they_are_moved_turned_and_mirrored():
    solid = box(1, 2, 3).turned("x", 30).turned("z", -100).at(5, 6, 7)
    assert volume(solid) == pytest.approx(6)
    assert volume(solid.scaled(x=-1, y=2)) == pytest.approx(12)


@pytest.mark.parametrize(("axis", "before", "after"), [("x", "y", "z"), ("y", "z", "x"), ("z", "x", "y")])
def test_turning_by_a_right_angle_takes_an_axis_to_the_next(axis, before, after):
    bar = rod((0, 0, 0), 5 * np.eye(3)["xyz".index(before)], 0.1).turned(axis, 90)
    assert bar.vertices[:, "xyz".index(after)].max() == pytest.approx(5)
