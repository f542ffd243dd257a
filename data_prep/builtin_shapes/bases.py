"""What furniture stands on: legs, sleds, pedestals, boards, crosses and plinths, from the floor up to a height."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Solid, box, cylinder, ellipsoid, lathe, rod, tube

BASES = ("legs", "sled", "star", "disc", "boards", "crossed", "plinth")


def base(dice: Dice, kind: str, width: float, depth: float, height: float, thickness: float) -> Iterator[Solid]:
    """Solids that carry a plate of ``width`` × ``depth`` at ``height``.

    Args:
        dice: decides the details.
        kind: one of BASES.
        width, depth: footprint along x and z, in metres.
        height: from the floor to the underside of the plate.
        thickness: half the thickness of a leg.
    """
    if kind == "legs":
        yield from _legs(dice, width, depth, height, thickness)
    elif kind == "sled":
        yield from _sled(dice, width, depth, height, thickness)
    elif kind in ("star", "disc"):
        yield from _pedestal(dice, kind, min(width, depth) / 2, height, thickness)
    elif kind == "boards":
        yield from _boards(dice, width, depth, height, thickness)
    elif kind == "crossed":
        yield from _crossed(dice, width, depth, height, thickness)
    else:
        inset = dice.between(0.8, 1.0)
        yield box(inset * width, height, inset * depth)


def _legs(dice: Dice, width: float, depth: float, height: float, thickness: float) -> Iterator[Solid]:
    x, z = width / 2 - thickness, depth / 2 - thickness
    splay = dice.pick(0.0, 0.0, dice.between(0.03, 0.16)) * height
    sides, taper = dice.pick(4, 4, 10), dice.pick(1.0, 1.0, dice.between(0.4, 0.9))
    turned = splay == 0 and dice.chance(0.15)
    feet = {}
    for right, front in product((-1, 1), (-1, 1)):
        top = np.array((right * x, height, front * z))
        feet[right, front] = foot = np.array((right * (x + splay), 0, front * (z + splay)))
        if turned:
            yield _turned_leg(dice, height, thickness).at(foot[0], 0, foot[2])
        else:
            yield rod(top, foot, thickness, taper * thickness, sides)
    level = dice.between(0.15, 0.45)

    def joint(right: int, front: int) -> np.ndarray:
        return (1 - level) * feet[right, front] + level * np.array((right * x, height, front * z))

    stretchers = dice.pick("none", "none", "sides", "H", "around")
    bar = 0.55 * thickness
    if stretchers in ("sides", "H", "around"):
        for right in (-1, 1):
            yield rod(joint(right, -1), joint(right, 1), bar, sides=sides)
    if stretchers == "H":
        middle = (joint(1, 1) + joint(1, -1)) / 2
        yield rod(middle * (-1, 1, 1), middle, bar, sides=sides)
    if stretchers == "around":
        for front in (-1, 1):
            yield rod(joint(-1, front), joint(1, front), bar, sides=sides)


def _turned_leg(dice: Dice, height: float, thickness: float) -> Solid:
    """A leg from the lathe, with a bulge and two rings."""
    bulge = dice.between(0.45, 0.8)
    stations = [(0, 0.7), (0.05, 0.55), (0.2, 0.5), (bulge - 0.12, 0.8), (bulge, 1.1), (bulge + 0.1, 0.6), (1, 1.1)]
    return lathe([(radius * thickness, level * height) for level, radius in stations], segments=12)


def _sled(dice: Dice, width: float, depth: float, height: float, thickness: float) -> Iterator[Solid]:
    """Two bent runners; open at the back for a cantilever."""
    x, z, low = width / 2 - thickness, depth / 2 - thickness, 0.6 * thickness
    path = [(0, height, -z), (0, low, -z), (0, low, z), (0, height, z)]
    cantilever = dice.chance(0.4)
    sides = dice.pick(4, 10)
    for right in (-1, 1):
        if cantilever:
            runner = [*path[:3]]
            yield tube(np.array(runner) + (right * x, 0, 0), 0.6 * thickness, sides)
            yield rod((right * x, height, -z), (right * x, height, z), 0.6 * thickness, sides=sides)
        else:
            yield tube(np.array(path) + (right * x, 0, 0), 0.6 * thickness, sides)
    if cantilever or dice.chance(0.5):
        end = z if cantilever else dice.pick(-z, 0.0, z)
        yield rod((-x, low, end), (x, low, end), 0.6 * thickness, sides=sides)


def _pedestal(dice: Dice, kind: str, radius: float, height: float, thickness: float) -> Iterator[Solid]:
    column = dice.between(0.8, 2.0) * thickness
    yield cylinder(column, height, dice.between(0.7, 1.1) * column, segments=16)
    spread = radius * dice.between(0.65, 1.1)
    if kind == "disc":
        rise, slope = dice.between(0.02, 0.25) * height, dice.between(0.0, 1.0)
        yield lathe([(spread, 0), (spread, 0.02), ((1 - slope) * spread + slope * column, rise + 0.02)], 24)
        return
    spokes, castors = dice.pick(3, 4, 5, 5, 6), dice.chance(0.5)
    wheel = 0.035 if castors else 0.0
    hub = dice.between(0.04, 0.2) * height + 2 * wheel
    for spoke in range(spokes):
        angle = 2 * np.pi * (spoke + 0.25) / spokes
        tip = np.array((spread * np.cos(angle), 2 * wheel + 0.5 * thickness, spread * np.sin(angle)))
        yield rod((0, hub, 0), tip, 0.8 * thickness, 0.5 * thickness, 6)
        if castors:
            yield ellipsoid(wheel, wheel, wheel, 8).at(tip[0], wheel, tip[2])


def _boards(dice: Dice, width: float, depth: float, height: float, thickness: float) -> Iterator[Solid]:
    """Two upright boards, or two T-shaped trestles, joined by a rail."""
    x = width / 2 * dice.between(0.6, 0.98) - thickness
    trestle = dice.chance(0.5)
    for right in (-1, 1):
        if trestle:
            yield box(2 * thickness, 1.5 * thickness, 0.9 * depth).at(x=right * x)
            yield box(1.8 * thickness, height, dice.between(0.1, 0.3) * depth).at(x=right * x)
            yield box(2 * thickness, 1.2 * thickness, 0.85 * depth).at(right * x, height - 1.2 * thickness)
        else:
            yield box(1.2 * thickness, height, dice.between(0.85, 1.0) * depth).at(x=right * x)
    if dice.chance(0.7):
        yield box(2 * x, 0.12 * height, thickness).at(y=height * dice.between(0.2, 0.8))


def _crossed(dice: Dice, width: float, depth: float, height: float, thickness: float) -> Iterator[Solid]:
    """Two X-shaped frames, one on the left and one on the right."""
    x, z = width / 2 - thickness, depth / 2 - thickness
    for right in (-1, 1):
        for front in (-1, 1):
            shift = right * x - 0.6 * thickness * front
            yield rod((shift, 0, front * z), (shift, height, -front * z), 0.7 * thickness, sides=4)
    yield rod((-x, height / 2, 0), (x, height / 2, 0), 0.6 * thickness)
    if dice.chance(0.5):
        for front in (-1, 1):
            yield rod((-x, height, front * z), (x, height, front * z), 0.6 * thickness, sides=4)


def slats(start, stop, count: int, size: tuple[float, float, float]) -> Iterator[Solid]:
    """``count`` equal boxes of ``size``, spread evenly from ``start`` to ``stop`` (centres of their undersides)."""
    for share in np.linspace(0, 1, count) if count > 1 else (0.5,):
        position = (1 - share) * np.asarray(start) + share * np.asarray(stop)
        yield box(*size).at(*position)
