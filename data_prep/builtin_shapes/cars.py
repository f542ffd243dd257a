"""Cars. They drive towards −z."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import (
    Part,
    Solid,
    arc,
    box,
    lathe,
    loft,
    rounded_box,
    slab,
    tube,
)

# Per kind of car: length, width, height, bonnet share, cabin from bonnet to here, slope of the rear window (shares).
_CARS = {
    "sedan": ((4.2, 5.0), (1.7, 1.9), (1.35, 1.5), (0.25, 0.32), (0.8, 0.87), (0.08, 0.13)),
    "hatchback": ((3.4, 4.2), (1.6, 1.8), (1.4, 1.6), (0.2, 0.28), (0.95, 1.0), (0.04, 0.1)),
    "sports": ((3.9, 4.6), (1.75, 2.0), (1.0, 1.25), (0.33, 0.42), (0.85, 0.95), (0.15, 0.25)),
    "suv": ((4.2, 5.0), (1.8, 2.0), (1.65, 1.95), (0.22, 0.28), (0.96, 1.0), (0.02, 0.06)),
    "pickup": ((4.8, 5.6), (1.8, 2.0), (1.7, 1.9), (0.22, 0.28), (0.5, 0.62), (0.01, 0.03)),
    "van": ((4.4, 5.6), (1.8, 2.1), (1.8, 2.4), (0.06, 0.14), (0.98, 1.0), (0.0, 0.03)),
}


def car(dice: Dice) -> Iterator[Part]:
    """Sedans, hatchbacks, sports cars, off-roaders, pickups and vans; some without a roof."""
    kind = dice.pick(*_CARS)
    length, width, height, bonnet, end, slope = (dice.between(*limits) for limits in _CARS[kind])
    wheel = dice.between(0.29, 0.36) + (0.06 if kind in ("suv", "pickup") else 0)
    clear = wheel * dice.between(0.55, 0.9)
    belt = clear + (height - clear) * dice.between(0.48, 0.6)
    edge = dice.between(0.04, 0.2)
    nose, z = belt - dice.between(0.02, 0.25) * (1.0 if kind != "van" else 0.2), -length / 2
    windscreen, rear = z + bonnet * length, z + end * length
    share = np.array([0, 0.02, bonnet, end, 0.98, 1.0])
    lift = np.array([nose - 0.15, nose, belt, belt, belt - dice.between(0, 0.1), belt - 0.2])
    low = clear + np.array([0.12, 0, 0, 0, 0.02, 0.15])
    half = width / 2 * np.array([0.8, 0.9, 1, 1, 0.97, 0.88])
    yield "body", _hull(z + share * length, low, lift, half, edge)

    front = windscreen - dice.between(-0.05, 0.1)
    bonnet_middle = (z + 0.03 * length + front) / 2
    tilt = np.rad2deg(np.arctan2(belt - nose, (bonnet - 0.02) * length))
    plate = box(0.78 * width, 0.05, 0.97 * (front - z - 0.04 * length)).turned("x", -tilt)
    yield "hood", plate.at(0, (belt + nose) / 2 + 0.005, bonnet_middle)

    rake, side = length * dice.between(0.05, 0.14), dice.between(0.72, 0.9)
    if not (kind in ("sports", "sedan") and dice.chance(0.25)):
        yield from _cabin(windscreen, rear, rake, slope * length, belt, height, width, side)
    else:  # open: a windscreen and two rows of seats
        screen = slab([(-0.42 * width, 0), (-0.36 * width, 0.4)], [(0.42 * width, 0), (0.36 * width, 0.4)], 0.03)
        yield "body", screen.turned("x", 30).at(0, belt - 0.02, windscreen)
        for right in (-1, 1):
            yield "body", rounded_box(0.5, 0.4, 0.15, 0.06).at(0.2 * right * width, belt - 0.1, windscreen + 1.1)
    if kind == "pickup":
        for right in (-1, 1):
            rail = box(0.08, 0.25, length / 2 - rear)
            yield "body", rail.at(right * 0.46 * width, belt - 0.02, (rear + length / 2) / 2)
        yield "body", box(0.92 * width, 0.25, 0.08).at(0, belt - 0.02, length / 2 - 0.08)
    axles = (z + length * dice.between(0.16, 0.21), z + length * dice.between(0.77, 0.84))
    for right, axle in product((-1, 1), axles):
        yield "wheel", _car_wheel(wheel, 0.22 * right).at(right * (width / 2 - 0.2), wheel, axle)
    yield from _car_details(dice, kind, width, length, belt, windscreen)


def _hull(z: np.ndarray, low: np.ndarray, high: np.ndarray, half: np.ndarray, edge: float) -> Solid:
    """A body through boxes with slanted upper edges; all arguments (K,) along z."""
    x = np.array([-1, -1, -1 + edge, 1 - edge, 1, 1])
    y = np.array([0, 0.75, 1, 1, 0.75, 0])
    rings = np.empty((len(z), 6, 3))
    rings[..., 0] = half[:, None] * x
    rings[..., 1] = low[:, None] + (high - low)[:, None] * y
    rings[..., 2] = z[:, None]
    return loft(rings)


def _cabin(front, rear, rake, slope, belt, height, width, side) -> Iterator[Part]:
    """The windows between belt line and roof, and the roof on them."""
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])

    def ring(front: float, rear: float, half: float, y: float) -> np.ndarray:
        x, z = square[:, 0] * half, (front + rear) / 2 + square[:, 1] * (rear - front) / 2
        return np.stack([x, np.full(4, y), z], 1)

    top = height - 0.06
    lower, upper = (
        ring(front, rear, 0.48 * width, belt - 0.02),
        ring(front + rake, rear - slope, 0.5 * side * width, top),
    )
    yield "body", loft([lower, upper])
    outer = ring(front + 0.95 * rake, rear - 0.97 * slope, 0.505 * side * width, top - 0.01)
    inner = ring(front + rake + 0.1, rear - slope - 0.1, 0.45 * side * width, height)
    yield "roof", loft([outer, inner])


def _car_wheel(radius: float, width: float) -> Solid:
    """A wheel from x = 0 outwards to x = ``width``, with a dished rim."""
    profile = [(radius, 0), (radius, 0.85), (0.93 * radius, 1), (0.65 * radius, 1), (0.6 * radius, 0.8), (0, 0.9)]
    flat = np.array(profile) * (1, abs(width))
    return lathe(flat, 20).turned("z", -90 if width > 0 else 90)


def _car_details(dice, kind, width, length, belt, windscreen) -> Iterator[Part]:
    for right in (-1, 1):
        if dice.chance(0.7):
            yield "body", rounded_box(0.2, 0.13, 0.1, 0.04).at(right * (width / 2 + 0.06), belt, windscreen + 0.25)
    if kind == "sports" and dice.chance(0.5):
        yield "body", box(0.9 * width, 0.04, 0.25).at(0, belt + 0.2, length / 2 - 0.2)
        for right in (-1, 1):
            yield "body", box(0.04, 0.3, 0.15).at(right * 0.3 * width, belt - 0.08, length / 2 - 0.2)
    if kind in ("suv", "pickup") and dice.chance(0.4):
        bar = arc(0.4 * width, 0.3, 180, 0, 9) + (0, 0.6 * belt, -length / 2 - 0.05)
        yield "body", tube(bar, 0.04, 6)
    if kind == "suv" and dice.chance(0.4):
        yield "wheel", _car_wheel(0.33, 0.2).turned("y", -90).at(0, 0.75 * belt, length / 2 - 0.02)
