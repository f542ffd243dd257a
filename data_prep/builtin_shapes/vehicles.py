"""Motorbikes and skateboards. They drive towards −z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import (
    Part,
    Solid,
    arc,
    box,
    cylinder,
    ellipsoid,
    loft,
    rod,
    rounded_box,
    slab,
    tube,
)


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
        yield "light", rounded_box(0.14, 0.07, 0.06, 0.02).at(0, seat - 0.07, max(stop, back) - 0.02)
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
