"""Mugs, bottles and vases: surfaces of revolution, hollow where one can look in. A mug's handle points to +x."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Part, arc, cylinder, lathe, tube


def mug(dice: Dice) -> Iterator[Part]:
    """Straight, conical, bulged and waisted mugs with a round, square or ear-shaped handle."""
    radius, height = dice.between(0.03, 0.05), dice.between(0.055, 0.13)
    wall, bottom = radius * dice.between(0.06, 0.14), dice.between(0.6, 1.05)
    bulge, level = dice.pick(0.0, 0.0, dice.between(-0.15, 0.25)), np.linspace(0, 1, 11)
    outer = radius * (bottom + (1 - bottom) * level ** dice.between(0.4, 1.2) + bulge * np.sin(np.pi * level))
    segments = dice.pick(32, 32, 32, 8)
    up, down = _walls(outer, height, wall)
    foot = [(0, 0)]
    if dice.chance(0.3):
        foot = [(0, -0.006), (0.8 * outer[0], -0.006), (0.8 * outer[0], 0)]
    yield "body", lathe([*foot, *up, *down, (0, wall)], segments)

    thick = radius * dice.between(0.1, 0.2)
    high, low = height * dice.between(0.72, 0.92), height * dice.between(0.1, 0.3)
    reach = radius * dice.between(0.4, 0.85)
    at_high, at_low = (np.interp(y / height, level, outer) - 0.6 * wall for y in (high, low))
    kind = dice.pick("round", "round", "square", "ear")
    if kind == "square":
        side = max(at_high, at_low) + reach
        path = [(at_high, high, 0), (side, high, 0), (side, low, 0), (at_low, low, 0)]
    else:
        share = np.linspace(0, 1, 13)
        out = np.sin(np.pi * share) ** (0.7 if kind == "round" else 0.5)
        out *= 1 if kind == "round" else 1.15 - 0.7 * share
        path = np.stack([at_high + (at_low - at_high) * share + reach * out, high + (low - high) * share, 0 * share], 1)
    flat = dice.between(0.8, 1.8)
    yield "handle", tube(path, thick, dice.pick(4, 10)).scaled(z=flat)


def _walls(outer: np.ndarray, height: float, wall: float) -> tuple[np.ndarray, np.ndarray]:
    """The profile (K, 2) up the outside of a vessel, whose radii are ``outer`` (K,), and that down its inside."""
    level = np.linspace(0, height, len(outer))
    inside = level.clip(wall)
    return np.stack([outer, level], 1), np.stack([np.interp(inside, level, outer) - wall, inside], 1)[::-1]


def bottle(dice: Dice) -> Iterator[Part]:
    """Wine, beer, water, medicine and spray bottles and jars, round or square, with or without a cap."""
    radius = dice.between(0.025, 0.06)
    body = radius * dice.between(1.6, 6.5)
    shoulder, neck = radius * dice.between(0.2, 1.8), radius * dice.between(0.2, 2.2)
    throat = radius * dice.between(0.22, 0.75)
    bow, sag = dice.pick(1.0, dice.between(0.4, 2.5)), dice.pick(0.0, 0.0, dice.between(-0.2, 0.12))
    level = np.linspace(0, 1, 9)
    wall = np.stack([radius * (1 + sag * np.sin(np.pi * level)), body * level], 1)
    wall[0, 0] *= 0.93
    slope = np.linspace(0, 1, 9)[1:]
    drop = (1 - np.cos(np.pi * slope)) / 2 if dice.chance(0.6) else slope
    rise = np.stack([radius + (throat - radius) * drop**bow, body + shoulder * slope], 1)
    segments, stretch = dice.pick(24, 24, 24, 4, 6), dice.pick(1.0, 1.0, 1.0, dice.between(0.45, 0.8))
    top = body + shoulder
    yield "body", lathe([*wall, *rise], segments).scaled(z=stretch)
    flat = max(stretch, 0.75)
    throat_top = throat * dice.between(0.85, 1.0)
    yield "neck", cylinder(throat, neck, throat_top, 20).scaled(z=flat).at(y=top - 0.001)
    top += neck
    if dice.chance(0.35):
        yield "neck", cylinder(1.2 * throat_top, 0.25 * throat).scaled(z=flat).at(y=top - 0.4 * throat)
    kind = dice.pick("none", "screw", "screw", "cork", "pump")
    cap = throat_top * dice.between(1.1, 1.4)
    if kind == "screw":
        yield (
            "cap",
            cylinder(cap, throat * dice.between(0.5, 1.6), dice.between(0.8, 1) * cap, 20).at(y=top - 0.3 * throat),
        )
    elif kind == "cork":
        yield "cap", cylinder(0.8 * throat_top, 0.8 * throat, 0.9 * throat_top, 16).at(y=top - 0.2 * throat)
    elif kind == "pump":
        yield "cap", cylinder(cap, 0.8 * throat, segments=20).at(y=top - 0.2 * throat)
        high = top + throat * dice.between(1.2, 2.5)
        path = [(0, top, 0), (0, high, 0), (1.8 * radius * dice.between(0.5, 0.8), high, 0)]
        yield "cap", tube(path, 0.25 * throat, 8)


def vase(dice: Dice) -> Iterator[Part]:
    """Hollow vases, amphoras and pots: a smooth random outline, sometimes with a foot or one or two handles."""
    radius = dice.between(0.05, 0.14)
    height = radius * dice.between(1.6, 5.5)
    knots = np.linspace(0, 1, 5)
    widths = [dice.between(0.35, 1.0), dice.between(0.6, 1.3), dice.between(0.5, 1.4), dice.between(0.25, 1.0)]
    widths.append(widths[-1] * dice.between(0.8, 1.6))
    level = np.linspace(0, 1, 21)
    outer = radius * np.polyval(np.polyfit(knots, widths, 4), level).clip(0.2, 1.8)
    wall = 0.06 * radius
    up, down = _walls(outer, height, wall)
    yield "body", lathe([(0, 0), *up, *down, (0, wall)], dice.pick(28, 28, 28, 6, 8))
    base = 0.0
    if dice.chance(0.35):
        base = height * dice.between(0.03, 0.15)
        stem = outer[0] * dice.between(0.5, 0.9)
        yield "foot", lathe([(outer[0] * dice.between(0.8, 1.4), -base), (stem, -0.3 * base), (stem, 0.01)], 24)
    if dice.chance(0.35):
        low, high = dice.between(0.35, 0.5), dice.between(0.75, 0.95)
        start, stop = ((np.interp(y, level, outer) - wall / 2) for y in (high, low))
        share, reach = np.linspace(0, 1, 11), radius * dice.between(0.2, 0.6)
        out = start + (stop - start) * share + reach * np.sin(np.pi * share)
        path = np.stack([out, height * (high + (low - high) * share), 0 * share], 1)
        for side in dice.pick((1,), (-1, 1), (-1, 1)):
            yield "handle", tube(path * (side, 1, 1), 0.1 * radius, 8)
    if dice.chance(0.2):
        for _ in range(dice.count(2, 5)):
            lean = dice.between(0, 0.3) * height
            turn = dice.between(0, 360)
            tip = (lean, height * dice.between(1.2, 1.7), 0)
            yield (
                "plant",
                tube([(0, 0.5 * height, 0), (0.3 * lean, height, 0), tip], 0.04 * radius, 5).turned("y", turn),
            )
            bloom = arc(1, 1, -90, 90, 7)[:, :2] * radius * dice.between(0.15, 0.4)
            bloom[[0, -1], 0] = 0
            yield "plant", lathe(bloom, 10).at(*tip).turned("y", turn)
