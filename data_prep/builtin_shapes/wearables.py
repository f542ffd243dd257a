"""Bags and caps. Fronts and peaks look along −z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import (
    Part,
    Solid,
    arc,
    box,
    circle,
    cylinder,
    ellipsoid,
    lathe,
    loft,
    rounded_box,
    tube,
)


def bag(dice: Dice) -> Iterator[Part]:
    """Handbags, shoppers, briefcases, duffel bags, backpacks and shoulder bags."""
    kind = dice.pick("hand", "hand", "shopper", "briefcase", "duffel", "backpack")
    width, height, depth = dice.between(0.25, 0.45), dice.between(0.18, 0.42), dice.between(0.08, 0.2)
    thick = dice.between(0.005, 0.012)
    if kind == "briefcase":
        height, depth = 0.7 * width, dice.between(0.06, 0.12)
        yield "body", rounded_box(width, height, depth, dice.between(0.005, 0.03))
        for right in (-1, 1):
            yield "body", box(0.04, 0.05, 0.015).at(right * 0.3 * width, 0.85 * height, -depth / 2)
        grip = width * dice.between(0.12, 0.2)
        rise = dice.between(0.025, 0.06)
        path = [
            (-grip, height - 0.01, 0),
            (-0.9 * grip, height + rise, 0),
            (0.9 * grip, height + rise, 0),
            (grip, height - 0.01, 0),
        ]
        yield "handle", tube(path, thick, 6)
    elif kind == "duffel":
        radius = depth * dice.between(0.8, 1.1)
        yield "body", cylinder(radius, 1.3 * width, segments=20).turned("z", 90).at(0.65 * width, radius, 0)
        for front in (-0.5, 0.5):
            yield "handle", _loop(dice, 0.3 * width, 1.6 * radius, dice.between(0.08, 0.2), thick).at(z=front * radius)
    elif kind == "backpack":
        height = 1.3 * width
        yield "body", rounded_box(0.85 * width, height, depth, 0.07)
        if dice.chance(0.8):
            yield "body", rounded_box(0.6 * width, 0.45 * height, 0.08, 0.03).at(0, 0.06, -depth / 2)
        for right in (-1, 1):
            strap = arc(0.5 * height * 0.8, dice.between(0.06, 0.12), 0, 180, 11)[:, [2, 0, 1]]
            yield "handle", tube(strap + (right * 0.22 * width, height / 2, depth / 2 - 0.01), thick, 4)
        yield "handle", _loop(dice, 0.08 * width, height - 0.02, 0.04, thick)
    else:
        wide, deep = dice.between(0.7, 1.15), dice.between(0.2, 0.8)  # of the top, as shares of the foot
        yield "body", _pouch(dice, kind, width, height, depth, wide, deep)
        reach, rise = wide * width * dice.between(0.2, 0.42), dice.between(0.08, 0.28)
        for side in dice.pick((0.0,), (-0.45, 0.45)) if kind == "hand" else (-0.48, 0.48):
            yield "handle", _loop(dice, reach, height - 0.03, rise, thick).at(z=side * deep * depth)
        if dice.chance(0.3):
            yield "body", rounded_box(0.9 * width, 0.45 * height, 0.03, 0.014).at(0, 0.5 * height, -depth / 2)
    if kind in ("hand", "briefcase", "duffel") and dice.chance(0.25):
        yield "handle", _loop(dice, 0.4 * width, 0.7 * height, dice.between(0.35, 0.55), 0.7 * thick)


def _pouch(dice: Dice, kind: str, width: float, height: float, depth: float, wide: float, deep: float) -> Solid:
    """A soft body between a foot and a narrower or wider top; shoppers are open."""
    bulge = dice.between(0.0, 0.2)
    corner = np.sign(circle(24)) * np.abs(circle(24)).clip(0, 1) ** dice.between(0.35, 0.8)

    def ring(level: float, inset: float = 0.0) -> np.ndarray:
        swell = 1 + bulge * np.sin(np.pi * level)
        x = (width * (1 + (wide - 1) * level) * swell / 2 - inset) * corner[:, 0]
        z = (max(depth * (1 + (deep - 1) * level) * swell / 2 - inset, 0.003)) * corner[:, 1]
        return np.stack([x, np.full(24, level * height), z], 1)

    levels = np.linspace(0, 1, 9)
    rings = [ring(level) for level in levels]
    if kind == "shopper":
        rings += [ring(level, 0.006) for level in levels[:0:-1]]
    return loft(rings)


def _loop(dice: Dice, half: float, low: float, rise: float, thick: float) -> Solid:
    """A handle in the xy plane from (−half, low) over the top to (half, low)."""
    return tube(arc(half, rise, 180, 0, 15) + (0, low, 0), thick, 6).scaled(z=dice.between(1.0, 2.0))


def cap(dice: Dice) -> Iterator[Part]:
    """Baseball caps, flat caps, kepis, sun visors with a crown and brimmed hats."""
    kind = dice.pick("baseball", "baseball", "baseball", "flat", "kepi", "hat")
    wide, long = dice.between(0.08, 0.1), dice.between(0.09, 0.115)
    tall = {"flat": dice.between(0.04, 0.065), "kepi": dice.between(0.07, 0.13)}.get(kind, dice.between(0.075, 0.13))
    level = np.linspace(0, 1, 11)
    if kind == "kepi":
        flare = dice.between(0.85, 1.3)
        outline = np.minimum(1 + (flare - 1) * level, 2)
        profile = [*np.stack([outline, level], 1), (0, dice.between(0.9, 1.05))]
    elif kind == "hat":
        dent = dice.between(0.6, 0.9)
        profile = [
            *np.stack([1 + (dent - 1) * level**3, level * 0.95], 1),
            (0.6 * dent, 1.0),
            (0, dice.between(0.8, 1.0)),
        ]
    else:
        power = dice.between(0.4, 0.6)
        profile = np.stack([(1 - level ** dice.between(1.8, 2.6)) ** power, level], 1)
        profile[-1, 0] = 0
    inner = np.array(profile)[::-1] * (0.96, 0.96)
    crown = lathe([*inner, *profile], 28).scaled(wide, tall, long)
    lean = dice.between(0, 14) if kind == "flat" else dice.between(0, 4)
    yield "crown", crown.turned("x", -lean)
    if kind in ("baseball",) and dice.chance(0.7):
        yield "crown", ellipsoid(0.008, 0.006, 0.008, 8).at(0, tall, 0)
    if kind == "kepi" and dice.chance(0.6):
        yield "crown", box(0.03, 0.04, 0.006).at(0, 0.5 * tall, -long)

    droop = dice.between(-0.01, 0.035)
    if kind == "hat":
        yield "peak", _brim(dice, wide, long, 2 * np.pi, dice.between(0.03, 0.09), droop)
    else:
        reach = dice.between(0.025, 0.045) if kind != "baseball" else dice.between(0.05, 0.085)
        yield "peak", _brim(dice, wide, long, np.deg2rad(dice.between(110, 170)), reach, droop)


def _brim(dice: Dice, wide: float, long: float, span: float, reach: float, droop: float) -> Solid:
    """A plate around the foot of the crown over the angle ``span``, widest in front."""
    full = span > 6
    angle = np.linspace(-span / 2, span / 2, 33 if full else 17)[: 32 if full else 17] - np.pi / 2
    share = 2 * (angle + np.pi / 2) / span
    out = reach if full else reach * np.sqrt(1 - np.abs(share).clip(0, 0.999) ** 2.5) + 0.002
    curl = droop * share**2 if not full else droop * np.abs(np.cos(angle))
    rings = np.empty((len(angle), 4, 3))
    for corner, (far, high) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
        push = np.asarray(out) * far
        rings[:, corner, 0] = (0.97 * wide + (0 if not full else push)) * np.cos(angle)
        rings[:, corner, 2] = (0.97 * long + push) * np.sin(angle) if full else 0.97 * long * np.sin(angle) - push
        rings[:, corner, 1] = 0.004 * high - far * curl
    return loft(rings, closed=full)
