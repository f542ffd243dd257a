"""Laptops, monitors and earphones. Screens look along −z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.bases import slats
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
    tube,
)


def laptop(dice: Dice) -> Iterator[Part]:
    """Laptops of all ages and formats, half closed to folded flat."""
    width = dice.between(0.26, 0.42)
    depth = width * dice.between(0.6, 0.8)
    low, lid = dice.between(0.008, 0.04), dice.between(0.004, 0.018)
    angle, edge = dice.between(55, 150), dice.pick(0.0, 0.45)
    slab_of = (lambda *size: rounded_box(*size, edge * min(size))) if edge else box
    yield "keyboard", slab_of(width, low, depth)
    if dice.chance(0.75):
        key_rows, key = dice.count(4, 6), 0.055 * width
        for row in range(key_rows):
            z = depth * (0.38 - 0.55 * row / key_rows)
            if dice.chance(0.6):
                line = ((-0.42 * width, low, z), (0.42 * width, low, z))
                yield from (("keyboard", solid) for solid in slats(*line, 13, (key, 0.004, 0.9 * key)))
            else:
                yield "keyboard", box(0.9 * width, 0.004, 0.07 * depth).at(0, low, z)
    if dice.chance(0.7):
        yield "keyboard", box(0.25 * width, 0.003, 0.18 * depth).at(0, low, -0.33 * depth)
    # The lid is hinged at the back edge; at 0 degrees it would lie on the keys.
    tall = depth * dice.between(0.9, 1.0)
    hinge = (0, low + 0.004, depth / 2 - lid / 2)
    yield "screen", slab_of(width, tall, lid).turned("x", angle - 90).at(*hinge)
    bezel = dice.between(0.02, 0.1)
    display = box(width * (1 - bezel), tall * (1 - bezel), 0.003).at(0, tall * bezel / 2, -lid / 2)
    yield "screen", display.turned("x", angle - 90).at(*hinge)
    for right in (-1, 1):
        yield "keyboard", cylinder(0.008, 0.05, segments=8).turned("z", 90).at(0.3 * right * width, *hinge[1:])


def monitor(dice: Dice) -> Iterator[Part]:
    """Flat, curved and tube monitors and television sets on feet, columns or an easel."""
    width = dice.between(0.35, 1.2)
    height = width * dice.pick(dice.between(0.52, 0.64), dice.between(0.68, 0.85))
    kind = dice.pick("flat", "flat", "flat", "curved", "tube")
    thick = dice.between(0.02, 0.07)
    stand = dice.pick("foot", "foot", "V", "pair", "easel") if kind != "tube" else dice.pick("foot", "plinth")
    neck = height * (dice.between(0.1, 0.5) if stand in ("foot", "V") else dice.between(0.03, 0.12))
    tilt, bow = dice.between(-2, 8), dice.between(0.05, 0.16) * width if kind == "curved" else 0.0
    for solid in _screen(dice, kind, width, height, thick, bow):
        yield "screen", solid.turned("x", tilt).at(y=neck)
    deep = dice.between(0.1, 0.2) + 0.08 * width
    back = thick + bow + 0.06 * height + (0.25 * width if kind == "tube" else 0)
    if stand in ("foot", "V"):
        column = (width * dice.between(0.05, 0.25), neck + 0.35 * height, dice.between(0.02, 0.05))
        lean = box(*column) if dice.chance(0.7) else cylinder(0.4 * column[0], column[1], segments=14)
        yield "stand", lean.at(z=back)
        yield "stand", box(0.5 * column[0], 0.06, 0.1 * height).at(0, neck + 0.25 * height, back - 0.04 * height)
        if stand == "V":
            for right in (-1, 1):
                yield "stand", rod((0, 0.03, back), (right * 0.3 * width, 0.01, back - 1.4 * deep), 0.015, sides=6)
                yield "stand", rod((0, 0.03, back), (right * 0.25 * width, 0.01, back + 0.7 * deep), 0.015, sides=6)
        elif dice.chance(0.5):
            yield "stand", box(width * dice.between(0.3, 0.65), 0.015, 2 * deep).at(z=back / 2)
        else:
            yield "stand", cylinder(0.5, 0.02).scaled(x=width * dice.between(0.3, 0.6), z=2 * deep).at(z=back / 2)
    elif stand == "plinth":
        yield "stand", box(0.7 * width, neck + 0.02, 0.5 * width).at(z=0.25 * width)
    elif stand == "easel":
        yield "stand", rod((0, 0.6 * height, back), (0, 0, back + 0.4 * height), 0.02, sides=4)
        yield "stand", box(0.5 * width, neck + 0.01, 0.05).at(z=bow)
    else:
        for right in (-1, 1):
            x = right * width * 0.35
            top = (x, neck + 0.02, bow / 2)
            yield "stand", rod(top, (x, 0.01, -deep), 0.014, sides=4)
            yield "stand", rod(top, (x, 0.01, deep), 0.014, sides=4)


def _screen(dice: Dice, kind: str, width: float, height: float, thick: float, bow: float) -> Iterator[Solid]:
    """A screen that stands on y = 0 and looks along −z; a curved one lies back by ``bow`` in its middle."""
    if kind == "curved":
        x = np.linspace(-0.5, 0.5, 13) * width
        rings = np.zeros((13, 4, 3))
        rings[..., 0] = x[:, None]
        rings[:, 1:3, 1] = height
        rings[..., 2] = (bow * (1 - (2 * x / width) ** 2))[:, None] + np.array([-0.5, -0.5, 0.5, 0.5]) * thick
        yield loft(rings)
        return
    yield rounded_box(width, height, thick, 0.2 * thick)
    rim = dice.between(0.02, 0.09)
    for side in (-1, 1):
        yield box(rim * width, height, 0.02).at(side * (1 - rim) * width / 2, 0, -thick / 2)
        level = 0 if side < 0 else (1 - rim) * height
        yield box(width, rim * height, 0.02).at(0, level, -thick / 2)
    if kind == "tube":
        deep = width * dice.between(0.4, 0.75)
        square = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * (width / 2, height / 2, 1)
        shares = ((0.98, 0), (0.9, 0.4 * deep), (0.5, 0.85 * deep), (0.4, deep))
        rings = [square * (share, share, 1) + (0, height / 2, z) for share, z in shares]
        yield loft(rings)
    elif dice.chance(0.6):
        yield rounded_box(0.5 * width, 0.5 * height, 0.05, 0.02).at(0, 0.25 * height, thick / 2 + 0.015)


def earphone(dice: Dice) -> Iterator[Part]:
    """Headphones with a band over the head or behind the neck, with or without wire, and ear buds."""
    kind = dice.pick("over", "over", "over", "neck", "buds")
    cup, deep = dice.between(0.028, 0.048), dice.between(0.018, 0.04)
    half, high = dice.between(0.07, 0.09), dice.between(0.09, 0.14)
    if kind == "buds":
        yield from _buds(dice, half)
        return
    oval = dice.between(1.0, 1.4)
    for side in (-1, 1):
        pad, shell = cylinder(cup, 0.5 * deep, 0.92 * cup), cylinder(cup, 0.6 * deep, dice.between(0.5, 0.95) * cup)
        for solid in (pad.turned("z", 90 * side), shell.turned("z", -90 * side)):
            yield "earcup", solid.scaled(y=oval).at(x=side * half)
    thick = dice.between(0.003, 0.008)
    out = half + 0.4 * deep
    band = arc(out, high, -8, 188, 21)
    turn = -90 if kind == "neck" else dice.between(-8, 8)
    flat = dice.between(1.0, 3.5)
    swept = tube(band, thick, dice.pick(4, 8)).scaled(z=flat).turned("x", turn)
    yield "headband", swept
    if kind == "over" and dice.chance(0.6):
        yield "headband", tube(arc(0.75 * out, 0.93 * high, 35, 145, 11), 1.6 * thick, 8).scaled(z=flat)
    if kind == "over" and dice.chance(0.4):
        for side in (-1, 1):
            yield "headband", box(2.5 * thick, 0.06, 0.02).at(side * out, -0.02, 0)
    if dice.chance(0.65):
        yield "wire", _wire(dice, (-half, -oval * cup, 0), dice.between(0.08, 0.25))
    elif dice.chance(0.4):
        boom = [(-half, 0, 0), (-half, -0.03, -0.06), (-0.5 * half, -0.07, -0.1)]
        yield "wire", tube(boom, 0.003, 6)


def _buds(dice: Dice, half: float) -> Iterator[Part]:
    bud, stem = dice.between(0.008, 0.014), dice.between(0.015, 0.04)
    split = dice.between(0.08, 0.16)
    wired = dice.chance(0.75)
    hooked = dice.chance(0.35)
    gap = half * dice.between(0.4, 1.0)
    for side in (-1, 1):
        yield "earcup", ellipsoid(1.1 * bud, bud, bud).at(side * gap, 0, 0)
        yield "earcup", cylinder(0.7 * bud, bud, 0.4 * bud, 12).turned("z", 90 * side).at(x=side * (gap - 0.5 * bud))
        yield "earcup", rod((side * (gap + 0.3 * bud), 0, 0), (side * (gap + 0.3 * bud), -stem, 0), 0.3 * bud)
        if hooked:
            hook = arc(0.03, 0.035, 0, 200, 11)[:, [2, 1, 0]] + (side * (gap + 0.5 * bud), 0.005, -0.03)
            yield "headband", tube(hook, 0.003, 6)
        if wired:
            path = [
                (side * (gap + 0.3 * bud), -stem, 0),
                (side * 0.8 * gap, -0.6 * split - stem, 0),
                (0, -split - stem, 0),
            ]
            yield "wire", tube(path, 0.0018, 6)
    if wired:
        yield "wire", _wire(dice, (0, -split - stem, 0), dice.between(0.08, 0.2))


def _wire(dice: Dice, start, length: float) -> Solid:
    """A wavy wire that hangs down from ``start``."""
    share = np.linspace(0, 1, 15)
    sway, waves = dice.between(0.005, 0.03), dice.between(0.5, 2.0)
    path = np.stack([sway * np.sin(2 * np.pi * waves * share), -length * share, sway * share], 1)
    return tube(path + start, 0.0022, 6)
