"""Cars, motorbikes and skateboards. They drive towards −z."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import (
    Solid,
    arc,
    box,
    cylinder,
    ellipsoid,
    lathe,
    loft,
    rod,
    rounded_box,
    slab,
    tube,
)

Part = tuple[str, Solid]

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


def motorbike(dice: Dice) -> Iterator[Part]:
    """Road, sports, cross and cruiser motorbikes and scooters; two wheels, now and then three."""
    kind = dice.pick("road", "sports", "cross", "cruiser", "scooter")
    wheel = dice.between(0.2, 0.26) if kind == "scooter" else dice.between(0.28, 0.36)
    tyre = dice.between(0.035, 0.055) if kind == "cross" else dice.between(0.05, 0.1)
    reach = dice.between(1.1, 1.25) if kind in ("sports", "scooter") else dice.between(1.25, 1.6)
    front, back = -reach / 2, reach / 2
    seat = dice.between(0.85, 0.98) if kind == "cross" else dice.between(0.66, 0.82)
    spokes = kind in ("cross", "cruiser") or dice.chance(0.3)
    tracks = (-0.3, 0.3) if dice.chance(0.07) else (0.0,)
    for x, z in [(0.0, front), *((x, back) for x in tracks)]:
        for solid in _bike_wheel(wheel, tyre, spokes):
            yield "wheel", solid.at(x, wheel, z)

    rake = dice.between(0.45, 0.75) if kind == "cruiser" else dice.between(0.25, 0.42)
    head = np.array((0, seat + dice.between(0.08, 0.22), front + rake * (seat + 0.15 - wheel)))
    for right in (-1, 1):
        offset = np.array((right * (tyre + 0.04), 0, 0))
        yield "frame", rod(np.array((0, wheel, front)) + offset, head + offset, 0.028, 0.024, 8)
    yield from _bike_frame(dice, kind, head, wheel, back, seat, tyre)

    middle = (head[2] + back) / 2
    long = dice.between(0.3, 0.48)
    tank_z = head[2] + 0.08 + long / 2
    tank = dice.between(0.1, 0.17)
    if kind == "scooter":
        yield "gas tank", rounded_box(0.3, 0.28, 0.5, 0.1).at(0, seat - 0.32, back - 0.15)
    else:
        body = dice.pick(ellipsoid(0.16, tank, long / 2), rounded_box(0.3, 1.8 * tank, long, 0.1).at(y=-0.9 * tank))
        yield "gas tank", body.turned("x", dice.between(0, 12)).at(0, seat + 0.07, tank_z)
    start, stop = (middle, back + 0.1) if kind == "scooter" else (tank_z + 0.4 * long, back + dice.between(-0.15, 0.2))
    stop = max(stop, start + 0.3)
    thick = dice.between(0.06, 0.13)
    pad = rounded_box(dice.between(0.2, 0.32), thick, stop - start, 0.04).turned("x", -dice.between(0, 8))
    yield "seat", pad.at(0, seat - 0.5 * thick, (start + stop) / 2)

    for solid in _handlebar(dice, kind, head):
        yield "handle", solid
    lamp = dice.between(0.06, 0.11)
    drop = dice.between(0.02, 0.14)
    light = dice.pick(ellipsoid(lamp, lamp, lamp), cylinder(lamp, 0.12, 0.6 * lamp, 16).turned("x", 90))
    yield "light", light.at(head[0], head[1] - drop, head[2] - 0.12)
    if dice.chance(0.6):
        yield "light", rounded_box(0.14, 0.07, 0.06, 0.02).at(0, seat - 0.1, max(stop, back + wheel * 0.6) + 0.03)
    if kind == "sports" or (kind == "scooter"):
        fairing = slab([(-0.2, -0.45), (-0.22, 0), (-0.1, 0.25)], [(0.2, -0.45), (0.22, 0), (0.1, 0.25)], 0.05)
        yield "frame", fairing.turned("x", 25).at(0, head[1] - 0.08, head[2] - 0.03)


def _bike_wheel(radius: float, tyre: float, spokes: bool) -> Iterator[Solid]:
    """A wheel in the yz plane around the origin."""
    ring = arc(radius - tyre, radius - tyre, 0, 345, 24)
    yield tube(ring, tyre, 8, closed=True).turned("y", 90)
    if spokes:
        for angle in range(0, 180, 30):
            yield rod((0, tyre - radius, 0), (0, radius - tyre, 0), 0.008, sides=4).turned("x", angle)
        yield cylinder(0.04, 0.12, segments=10).at(y=-0.06).turned("z", 90)
    else:
        yield cylinder(radius - 1.2 * tyre, 0.04).at(y=-0.02).turned("z", 90)


def _bike_frame(dice, kind, head, wheel, back, seat, tyre) -> Iterator[Part]:
    """Frame tubes, engine, swing arm, exhaust and mudguards."""
    pivot = np.array((0, wheel + 0.05, back - 0.5))
    low = (0, wheel + dice.between(-0.1, 0.0), head[2] + 0.2)
    tail = (0, seat - 0.05, back)
    yield "frame", tube([head, low, pivot, tail], 0.03, 6)
    yield "frame", rod(head, tail, 0.035, sides=6)
    for right in (-1, 1):
        x = right * (tyre + 0.035)
        yield "frame", rod(pivot + (x, 0, 0), (x, wheel, back), 0.025, sides=6)
        yield "frame", rod((x, wheel, back), (x, seat - 0.06, back - 0.1), 0.022, sides=6)
    if kind == "scooter":
        yield "frame", box(0.34, 0.06, pivot[2] - low[2] + 0.2).at(0, wheel - 0.02, (pivot[2] + low[2]) / 2)
        yield "frame", rod((0, wheel, low[2] - 0.1), head, 0.09, 0.05, 8)
    else:
        engine = rounded_box(dice.between(0.25, 0.42), dice.between(0.28, 0.4), dice.between(0.3, 0.45), 0.06)
        yield "frame", engine.at(0, wheel - 0.12, (low[2] + pivot[2]) / 2)
    if dice.chance(0.85):
        sides = dice.pick((1,), (-1, 1))
        rise = dice.between(0.0, 0.35)
        for right in sides:
            path = [
                (0.1 * right, wheel, low[2]),
                (0.17 * right, wheel - 0.12, pivot[2]),
                (0.2 * right, wheel + rise, back + 0.2),
            ]
            yield "frame", tube(path, [0.025, 0.03, 0.055], 8)
    guard = wheel + 0.04 if kind != "cross" else wheel + 0.15
    for centre, span in ((head[2] * 0 - back, (60, 150)), (back, (10, 130))):
        if dice.chance(0.7):
            path = arc(guard, guard, *span, 8)[:, [2, 1, 0]] * (1, 1, -1 if centre < 0 else 1)
            yield "frame", tube(path + (0, wheel, centre), 0.02, 4).scaled(x=1 + tyre / 0.02)


def _handlebar(dice: Dice, kind: str, head: np.ndarray) -> Iterator[Solid]:
    half = dice.between(0.28, 0.45)
    rise = {"cruiser": dice.between(0.15, 0.4), "sports": dice.between(-0.05, 0.03)}.get(kind, dice.between(0.05, 0.18))
    pull = dice.between(0.05, 0.25)
    bend = (0.35 * half, rise, 0.3 * pull)
    path = [
        (-half, rise - 0.02, pull),
        (-bend[0], *bend[1:]),
        (-0.06, 0.02, 0),
        (0.06, 0.02, 0),
        bend,
        (half, rise - 0.02, pull),
    ]
    yield tube(np.array(path) + head, 0.018, 8)
    if dice.chance(0.6):
        for right in (-1, 1):
            mirror = head + (right * half * 0.8, rise + dice.between(0.1, 0.2), 0.3 * pull)
            yield rod(mirror, head + (right * half * 0.6, rise, 0.6 * pull), 0.008, sides=5)
            yield ellipsoid(0.07, 0.045, 0.015, 10).at(*mirror)


def skateboard(dice: Dice) -> Iterator[Part]:
    """Street boards, cruisers, longboards and old-school boards; the trucks join deck and wheels."""
    length, width = dice.between(0.55, 1.15), dice.between(0.17, 0.27)
    kick, nose = dice.between(0.0, 0.09), dice.pick(1.0, 1.0, dice.between(0.2, 0.8))
    pointed, concave = dice.between(0.35, 1.0), dice.between(-0.012, 0.02)
    share = np.concatenate([[-1, -0.995, -0.97], np.linspace(-0.9, 0.9, 17), [0.97, 0.995, 1]])
    power = dice.between(2.5, 8)
    half = width / 2 * (1 - np.abs(share) ** power) ** 0.5
    half *= 1 - (1 - pointed) * (share < 0) * np.abs(share)
    half = half.clip(0.05 * width)
    if dice.chance(0.25):
        half *= 1 - dice.between(0.1, 0.3) * np.exp(-((share / 0.3) ** 2))
    rise = kick * ((np.abs(share) - 0.62).clip(0) / 0.38) ** 1.3 * np.where(share < 0, nose, 1)
    wheel = dice.between(0.022, 0.042)
    level = 2 * wheel + dice.between(0.015, 0.04)
    thick = dice.between(0.009, 0.02)
    rings = np.empty((len(share), 6, 3))
    rings[..., 0] = half[:, None] * np.array([-1, 0, 1, 1, 0, -1])
    edge = np.array([1, 0, 1, 1, 0, 1]) * concave * (half / half.max())[:, None]
    rings[..., 1] = level + rise[:, None] + edge + np.array([0, 0, 0, 1, 1, 1]) * thick
    rings[..., 2] = length / 2 * share[:, None]
    yield "deck", loft(rings)
    span, wide = length * dice.between(0.26, 0.4), width * dice.between(0.36, 0.5)
    for front in (-1, 1):
        yield "truck", box(0.05, 0.02, 0.09).at(0, level - 0.015, front * span)
        yield "truck", rod((0, level, front * (span - 0.015)), (0, wheel, front * span), 0.02, 0.012, 8)
        yield "truck", rod((-wide, wheel, front * span), (wide, wheel, front * span), 0.011, sides=8)
        for right in (-1, 1):
            roll = cylinder(wheel, wheel * 1.4, segments=16).turned("z", 90)
            yield "wheel", roll.at(right * wide + 0.7 * wheel, wheel, front * span)
