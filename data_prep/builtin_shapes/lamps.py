"""Lamps: on a table, on the floor, at the ceiling."""

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
    lathe,
    loft,
    rod,
    tube,
)


def lamp(dice: Dice) -> Iterator[Part]:
    """Table, floor, arched, jointed desk and hanging lamps; a canopy is the plate at the ceiling."""
    kind = dice.pick("table", "floor", "arched", "desk", "hanging", "hanging", "chandelier")
    radius = dice.between(0.09, 0.28)
    if kind in ("hanging", "chandelier"):
        yield from _hanging(dice, kind, radius)
        return
    height = {"floor": dice.between(1.1, 1.8), "arched": dice.between(1.2, 1.9)}.get(kind, dice.between(0.25, 0.6))
    thick = dice.between(0.006, 0.02) + 0.008 * (height > 1)
    foot = dice.between(0.07, 0.13) + 0.1 * (height > 1)
    for solid in _lamp_foot(dice, foot, height, kind == "floor"):
        yield "base", solid
    if kind in ("table", "floor"):
        if kind == "table" and dice.chance(0.5):  # a vase-like body instead of a thin pole
            level = np.linspace(0, 1, 11)
            swell = foot * dice.between(0.5, 1.1) * np.sin(np.pi * level ** dice.between(0.6, 1.3)) + thick
            yield "tube", lathe(np.stack([swell, height * level], 1), 20)
        else:
            yield "tube", rod((0, 0, 0), (0, height, 0), thick)
        yield "shade", _shade(dice, radius).at(y=height - 0.05)
    elif kind == "arched":
        reach = dice.between(0.3, 0.8)
        path = [(0, 0, 0), *(arc(reach / 2, 0.35 * height, 180, 0, 9) + (reach / 2, 0.65 * height, 0))]
        yield "tube", tube(path, thick, 8)
        yield "shade", _shade(dice, 0.8 * radius, hollow_up=False).at(reach, 0.65 * height - 0.4 * radius, 0)
    else:
        lean, bend = dice.between(0.2, 0.8), dice.between(0.5, 1.0)
        elbow = np.array((-lean * 0.5 * height, 0.75 * height, 0))
        hand = elbow + (bend * height, dice.between(-0.1, 0.5) * height, 0)
        for start, stop in (((0, 0, 0), elbow), (elbow, hand)):
            yield "tube", rod(start, stop, thick)
        yield "tube", ellipsoid(1.6 * thick, 1.6 * thick, 1.6 * thick, 10).at(*elbow)
        head = _shade(dice, 0.5 * radius, hollow_up=False).at(y=-0.25 * radius).turned("z", dice.between(0, 50))
        yield "shade", head.at(*hand)


def _lamp_foot(dice: Dice, radius: float, height: float, may_have_legs: bool) -> Iterator[Solid]:
    kind = dice.pick("disc", "disc", "dome", "square", "tripod" if may_have_legs else "disc")
    thick = dice.between(0.01, 0.04)
    if kind == "disc":
        yield cylinder(radius, thick, dice.between(0.7, 1) * radius)
    elif kind == "dome":
        yield lathe([(radius, 0), (0.9 * radius, 0.3 * radius), (0.5 * radius, 0.55 * radius), (0, 0.65 * radius)])
    elif kind == "square":
        yield box(1.8 * radius, thick, 1.8 * radius)
    else:
        spread, joint = 1.4 * radius, height * dice.between(0.25, 0.9)
        for index in range(3):
            foot = rod((0, joint, 0), (spread, 0, 0), 0.014)
            yield foot.turned("y", 120 * index + 30)


def _shade(dice: Dice, radius: float, hollow_up: bool = True) -> Solid:
    """An open shade around the y axis, standing on y = 0, or a globe."""
    kind = dice.pick("cone", "drum", "bell", "globe") if hollow_up else dice.pick("cone", "bell", "dome", "dome")
    if kind == "globe":
        return ellipsoid(0.8 * radius, dice.between(0.5, 0.9) * radius, 0.8 * radius).at(y=0.5 * radius)
    height = radius * dice.between(0.7, 1.7)
    top = {"cone": dice.between(0.25, 0.6), "drum": dice.between(0.85, 1.0)}.get(kind, 0.3)
    level = np.linspace(0, 1, 9)
    if kind == "dome":
        outline = np.sqrt(1 - (0.97 * level) ** 2)
    else:
        outline = 1 + (top - 1) * level ** (0.5 if kind == "bell" else 1.0)
    segments = dice.pick(28, 28, 4, 6) if kind in ("cone", "drum") else 28
    outer = np.stack([radius * outline, height * level], 1)
    inner = (outer * (0.95, 1))[::-1]
    if hollow_up:
        # A ring: the cross-section returns to its start, so nothing closes the top.
        return _ring(np.concatenate([outer, inner]), segments)
    return lathe([(0, height - 0.01), *(inner - (0, 0.01)), *outer, (0, height)], segments)


def _ring(section: np.ndarray, segments: int) -> Solid:
    """Turn a closed cross-section (K, 2) of radius and height about the y axis."""
    angle = 2 * np.pi * (np.arange(segments) + 0.5) / segments
    rings = np.empty((segments, len(section), 3))
    rings[..., 0] = np.cos(angle)[:, None] * section[:, 0]
    rings[..., 1] = section[:, 1]
    rings[..., 2] = np.sin(angle)[:, None] * section[:, 0]
    return loft(rings, closed=True)


def _hanging(dice: Dice, kind: str, radius: float) -> Iterator[Part]:
    drop = dice.between(0.25, 1.1)
    plate = dice.between(0.05, 0.12)
    yield "canopy", lathe([(0.4 * plate, -0.5 * plate), (plate, -0.01), (plate, 0)], 20)
    if kind == "hanging":
        places = [(0.0, 0.0)]
        if dice.chance(0.25):
            yield "canopy", box(0.9, 0.03, 0.08)
            places = [(-0.35, dice.between(0, 0.2)), (0.0, dice.between(0, 0.2)), (0.35, dice.between(0, 0.2))]
            radius *= 0.6
        for x, lower in places:
            length = drop + lower
            yield "tube", rod((x, 0, 0), (x, -length, 0), 0.006 + 0.1 * dice.between(0, 0.1), sides=6)
            yield "shade", _shade(dice, radius, dice.chance(0.3)).at(x, -length - 0.7 * radius, 0)
        return
    yield "tube", rod((0, 0, 0), (0, -drop, 0), 0.012, sides=8)
    yield "tube", ellipsoid(0.05, 0.07, 0.05).at(y=-drop)
    arms, reach = dice.count(3, 7), dice.between(0.25, 0.45)
    shade = _shade(dice, 0.09).at(reach, -drop + 0.1)
    bow = arc(reach / 2, 0.12, 180, 360, 9) + (reach / 2, -drop, 0)
    for index in range(arms):
        turn = 360 * index / arms
        yield "tube", tube([*bow, (reach, -drop + 0.1, 0)], 0.01, 6).turned("y", turn)
        yield "shade", shade.turned("y", turn)
