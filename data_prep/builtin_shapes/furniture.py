"""Tables, beds, bookshelves and cabinets. Their front looks along −z."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from data_prep.builtin_shapes.bases import base, slats
from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Part, Solid, box, cylinder, ellipsoid, rod, rounded_box, slab


def table(dice: Dice) -> Iterator[Part]:
    """Coffee, dining, side and writing tables; the support is whatever joins top and legs: aprons, shelves, drawers."""
    use = dice.pick("dining", "dining", "coffee", "side", "desk", "console")
    sizes = {
        "dining": ((0.9, 2.2), (0.7, 1.1), (0.65, 0.8)),
        "coffee": ((0.6, 1.4), (0.4, 0.9), (0.3, 0.5)),
        "side": ((0.3, 0.6), (0.3, 0.55), (0.4, 0.75)),
        "desk": ((1.0, 1.8), (0.5, 0.8), (0.68, 0.8)),
        "console": ((0.8, 1.6), (0.28, 0.45), (0.7, 0.95)),
    }
    width, depth, height = (dice.between(*limits) for limits in sizes[use])
    thickness, leg = dice.between(0.015, 0.08), dice.between(0.015, 0.05)
    outline = "square" if use in ("desk", "console") else dice.pick("square", "square", "round", "oval")
    if outline == "round":
        depth = width
    inner = (0.68 if outline != "square" else dice.between(0.8, 0.98)) * np.array((width, depth))
    kinds = ("legs", "legs", "boards", "sled", "crossed")
    kind = dice.pick(*kinds) if outline == "square" else dice.pick("legs", "disc", "disc", "star", "crossed")
    for solid in base(dice, kind, *inner, height, leg):
        yield "leg", solid
    yield "desktop", _top(dice, outline, width, depth, thickness).at(y=height)
    for solid in _table_support(dice, use, kind, outline, *inner, height, leg):
        yield "support", solid


def _top(dice: Dice, outline: str, width: float, depth: float, thickness: float) -> Solid:
    if outline == "square":
        rounding = dice.pick(0.0, 0.45)
        return rounded_box(width, thickness, depth, rounding * thickness) if rounding else box(width, thickness, depth)
    return cylinder(0.5, thickness, segments=32).scaled(x=width, z=depth)


def _table_support(dice, use, kind, outline, width, depth, height, leg) -> Iterator[Solid]:
    if outline != "square":
        if dice.chance(0.4):
            yield cylinder(0.42 * min(width, depth), 0.04).at(y=height - 0.04)
        return
    choices = {"desk": ("drawers", "drawers", "chest", "apron"), "coffee": ("shelf", "apron", "none")}
    choice = dice.pick(*choices.get(use, ("apron", "apron", "shelf", "none")))
    x, z, apron = width / 2 - leg, depth / 2 - leg, dice.between(0.05, 0.14)
    if choice in ("apron", "drawers"):
        for side in (-1, 1):
            yield box(width - 2 * leg, apron, 0.02).at(0, height - apron, side * z)
            yield box(0.02, apron, depth - 2 * leg).at(side * x, height - apron, 0)
    if choice == "drawers":
        count = dice.count(1, 3)
        front = (0.9 * width / count - 0.02, 0.8 * apron, 0.04)
        reach = 0.5 * (1 - 1 / count) * 0.9 * width
        yield from slats((-reach, height - 0.9 * apron, -z), (reach, height - 0.9 * apron, -z), count, front)
    elif choice == "shelf":
        level = height * dice.between(0.15, 0.4)
        yield box(width, dice.between(0.015, 0.04), depth).at(y=level)
    elif choice == "chest":
        side, deep = dice.pick(-1, 1), height * dice.between(0.5, 0.95)
        wide = width * dice.between(0.2, 0.35)
        yield box(wide, deep, 0.9 * depth).at(side * (width - wide) / 2, height - deep, 0)
        drawers = dice.count(2, 4)
        low, high = height - 0.97 * deep, height - deep / drawers
        front = (0.9 * wide, 0.85 * deep / drawers, 0.03)
        at = (side * (width - wide) / 2, -0.45 * depth)
        yield from slats((at[0], low, at[1]), (at[0], high, at[1]), drawers, front)


def bed(dice: Dice) -> Iterator[Part]:
    """Single, double and bunk beds and daybeds; the head is at +z."""
    width, length = dice.between(0.8, 2.0), dice.between(1.8, 2.2)
    low, frame, soft = dice.between(0.08, 0.35), dice.between(0.06, 0.25), dice.between(0.1, 0.28)
    bunk = width < 1.2 and dice.chance(0.4)
    levels = (0.0, dice.between(0.9, 1.2)) if bunk else (0.0,)
    for level in levels:
        yield "frame", box(width, frame, length).at(y=low + level)
        inset = dice.between(0.9, 0.99)
        mattress = rounded_box(inset * width, soft, inset * length, 0.06)
        yield "mattress", mattress.at(y=low + level + frame - 0.02)
        if dice.chance(0.85):
            pillows = 1 if width < 1.2 else 2
            size = (0.8 * width / pillows, 0.13, dice.between(0.3, 0.45))
            x, y, z = width * (1 - 1 / pillows) * 0.45, low + level + frame + soft - 0.05, 0.36 * length
            for place in (0.0,) if pillows == 1 else (-x, x):
                yield "pillow", rounded_box(*size, 0.06).turned("x", -12).at(place, y, z)
    top = low + frame + soft + levels[-1]
    if bunk:
        for right, front in product((-1, 1), (-1, 1)):
            post = ((right * width / 2, 0, front * length / 2), (right * width / 2, top + 0.3, front * length / 2))
            yield "frame", rod(*post, 0.035, sides=4)
        for rung in np.linspace(0.3, top, 6):
            yield "frame", box(0.4, 0.04, 0.04).at(0, rung, -length / 2 - 0.02)
        for side in (-1, 1):
            yield "frame", box(0.04, top, 0.05).at(0.2 * side, 0.2, -length / 2 - 0.02)
    else:
        for solid in base(dice, dice.pick("legs", "legs", "plinth"), width, length, low, 0.04):
            yield "frame", solid
    for solid in _headboard(dice, width, top + dice.between(0.1, 0.7) * (0.4 if bunk else 1)):
        yield "headboard", solid.at(z=length / 2)
    if dice.chance(0.4) and not bunk:
        board = top + dice.between(-0.1, 0.3)
        for solid in _headboard(dice, width, board):
            yield "headboard", solid.at(z=-length / 2)
        if dice.chance(0.3):
            yield "headboard", box(0.05, board, length).at(x=dice.pick(-1, 1) * width / 2)


def _headboard(dice: Dice, width: float, height: float) -> Iterator[Solid]:
    kind = dice.pick("board", "cushion", "bars", "arch")
    if kind == "board":
        yield box(width * dice.between(1.0, 1.15), height, 0.05)
    elif kind == "cushion":
        yield rounded_box(width * dice.between(1.0, 1.1), height, 0.12, 0.05)
    elif kind == "bars":
        yield from slats((-width / 2, 0, 0), (width / 2, 0, 0), dice.count(5, 11), (0.03, height, 0.03))
        yield box(width, 0.06, 0.05).at(y=height - 0.06)
    else:
        x = np.linspace(-0.5, 0.5, 13) * width
        rise = height * (1 - 0.25 * (2 * x / width) ** 2)
        yield slab(np.stack([x, 0 * x], 1), np.stack([x, rise], 1), 0.05)


def bookshelf(dice: Dice) -> Iterator[Part]:
    """Open shelves, narrow to wide, with or without a back panel and books."""
    width, height, depth = dice.between(0.4, 1.6), dice.between(0.7, 2.1), dice.between(0.2, 0.42)
    thickness, columns = dice.between(0.015, 0.05), dice.pick(1, 1, 1, 2, 3)
    rows = dice.count(2, max(3, int(height / 0.28)))
    if width / columns < 0.25:
        columns = 1
    ladder = dice.chance(0.15)
    for column in np.linspace(-0.5, 0.5, columns + 1):
        if ladder:
            for front in (-1, 1):
                post = box(thickness, height, thickness)
                yield "frame", post.at(column * (width - thickness), 0, front * (depth - thickness) / 2)
        else:
            yield "frame", box(thickness, height, depth).at(column * (width - thickness))
    closed_back = not ladder and dice.chance(0.6)
    if closed_back:
        yield "frame", box(width, height, 0.012).at(z=depth / 2)
    low = dice.between(0.02, 0.12) if dice.chance(0.7) else 0.25 * height
    levels = np.linspace(low, height - thickness, rows + 1)
    for level in levels:
        yield "shelf", box(width - thickness, thickness, 0.97 * depth).at(y=level)
    if dice.chance(0.5):
        fill, gap = dice.between(0.2, 0.8), (levels[1] - levels[0] - thickness)
        for level, column in product(levels[:-1], range(columns)):
            left = width * (column / columns - 0.5) + thickness
            for solid in _books(dice, fill * width / columns, 0.9 * gap, 0.8 * depth):
                yield "book", solid.at(left, level + thickness, 0)


def _books(dice: Dice, width: float, height: float, depth: float) -> Iterator[Solid]:
    """A row of three to six blocks of books from x = 0 on."""
    x = 0.0
    for _ in range(dice.count(3, 6)):
        wide, tall = dice.between(0.5, 1.5) * width / 6, dice.between(0.6, 1.0) * height
        yield box(wide, tall, depth * dice.between(0.6, 0.9)).at(x + wide / 2)
        x += wide


def cabinet(dice: Dice) -> Iterator[Part]:
    """Sideboards, chests of drawers, wardrobes and nightstands."""
    use = dice.pick("sideboard", "chest", "wardrobe", "nightstand")
    sizes = {
        "sideboard": ((1.1, 2.0), (0.45, 0.9), (0.35, 0.5)),
        "chest": ((0.6, 1.2), (0.7, 1.3), (0.4, 0.55)),
        "wardrobe": ((0.7, 2.0), (1.5, 2.2), (0.45, 0.65)),
        "nightstand": ((0.35, 0.6), (0.4, 0.7), (0.32, 0.5)),
    }
    width, height, depth = (dice.between(*limits) for limits in sizes[use])
    low = dice.pick(0.0, dice.between(0.04, 0.25))
    if low:
        for solid in base(dice, dice.pick("legs", "legs", "plinth", "sled"), 0.95 * width, 0.9 * depth, low, 0.025):
            yield "leg", solid
    yield "body", box(width, height - low, depth).at(y=low)
    if dice.chance(0.5):
        yield "body", box(width * dice.between(1.02, 1.1), 0.03, depth * 1.06).at(y=height)
    columns = dice.count(2, 4) if use in ("sideboard", "wardrobe") else dice.pick(1, 1, 2)
    gap, front = dice.between(0.008, 0.02), dice.between(0.015, 0.03)
    wide = width / columns - gap
    for column in range(columns):
        x = width * ((column + 0.5) / columns - 0.5)
        rows = dice.count(3, 5) if use == "chest" else dice.pick(1, 1, 2, 3)
        tall = (height - low) / rows - gap
        for row in range(rows):
            y = low + (height - low) * row / rows + gap / 2
            yield "front", box(wide, tall, front).at(x, y, -depth / 2)
            yield "handle", _handle(dice, wide, tall).at(x, y, -depth / 2 - front / 2)


def _handle(dice: Dice, wide: float, tall: float) -> Solid:
    """A knob or a bar that stands out from a front of wide × tall."""
    if dice.chance(0.5):
        side = dice.pick(-0.4, 0.4) if tall > wide else 0.0
        return ellipsoid(0.022, 0.022, 0.03, 8).at(side * wide, tall / 2, -0.015)
    if tall > wide:
        return box(0.02, 0.35 * tall, 0.035).at(0.4 * wide, 0.3 * tall, -0.015)
    return box(0.45 * wide, 0.022, 0.035).at(0, 0.55 * tall, -0.015)
