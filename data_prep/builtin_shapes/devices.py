"""Lamps, laptops, monitors and earphones. Screens look along −z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.bases import slats
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
    tube,
)

Part = tuple[str, Solid]


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
