"""Guitars, knives and pistols: flat outlines in the xy plane, thin along z."""

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
    rod,
    rounded_box,
    slab,
    tube,
)


def guitar(dice: Dice) -> Iterator[Part]:
    """Acoustic guitars and electric ones (two horns, one horn, V, explorer), upright, strings towards −z."""
    acoustic = dice.chance(0.4)
    length, half = dice.between(0.4, 0.52), dice.between(0.15, 0.21)
    deep = dice.between(0.08, 0.12) if acoustic else dice.between(0.03, 0.055)
    kind = "waisted" if acoustic else dice.pick("horns", "horns", "single", "V", "explorer")
    yield from (("body", solid) for solid in _guitar_body(dice, kind, length, half, deep))
    front = -deep / 2
    if acoustic:
        yield "body", cylinder(0.045, 0.004).turned("x", 90).at(0, 0.62 * length, front - 0.003)
    elif dice.chance(0.8):
        for level in dice.pick((0.4, 0.62), (0.4, 0.51, 0.62)):
            yield "body", box(0.09, 0.03, 0.012).at(0, level * length, front)
        for knob in range(dice.count(1, 4)):
            yield (
                "body",
                cylinder(0.011, 0.014, segments=10)
                .turned("x", -90)
                .at(0.5 * half, (0.12 + 0.08 * knob) * length, front),
            )
    yield "body", box(dice.between(0.08, 0.15), 0.02, 0.015).at(0, 0.22 * length, front - 0.004)

    start, reach = length * dice.between(0.62, 0.8), dice.between(0.38, 0.5)
    foot, tip = dice.between(0.027, 0.032), dice.between(0.02, 0.024)
    end = length + reach
    if kind == "V":
        end = start + reach + 0.1
    yield "neck", slab([(-foot, start), (-tip, end)], [(foot, start), (tip, end)], 0.022).at(z=front - 0.006)
    for fret in np.linspace(start + 0.02, end, 8)[:-1]:
        yield "neck", box(2 * tip, 0.004, 0.004).at(0, fret, front - 0.019)
    yield from (("head", solid.at(0, end, front - 0.004)) for solid in _guitar_head(dice, tip))


def _guitar_body(dice: Dice, kind: str, length: float, half: float, deep: float) -> Iterator[Solid]:
    level = np.linspace(0, 1, 25)
    dome = np.sqrt(np.clip(1 - (2 * level - 1) ** 8, 0.0, 1))
    waist = dice.between(0.15, 0.38)
    upper = dice.between(0.68, 0.85)
    base = (1 + (upper - 1) * level) * (1 - waist * np.exp(-(((level - 0.6) / 0.16) ** 2)))
    outline = half * dome * base
    y = level * length
    if kind in ("waisted", "single", "horns"):
        left, right = outline.copy(), outline.copy()
        if kind == "single":
            right[level > 0.8] *= np.linspace(1, 0.35, (level > 0.8).sum())
        body = slab(np.stack([-left, y], 1), np.stack([right, y], 1), deep)
        if kind == "horns":
            low = level <= 0.82
            body = slab(np.stack([-left[low], y[low]], 1), np.stack([right[low], y[low]], 1), deep)
            for side, tall in ((-1, dice.between(1.0, 1.16)), (1, dice.between(0.95, 1.05))):
                inner = [
                    (side * 0.035, 0.7 * length),
                    (side * 0.06, 0.83 * length),
                    (side * 0.45 * half, tall * length),
                ]
                outer = [
                    (side * outline[17], 0.7 * length),
                    (side * 0.78 * half, 0.86 * length),
                    (side * 0.6 * half, tall * length),
                ]
                yield slab(inner, outer, 0.96 * deep)
        yield body
    elif kind == "V":
        for side in (-1, 1):
            wide = half * dice.between(1.0, 1.1)
            yield slab(
                [(0, 0.35 * length), (side * 0.45 * wide, -0.05 * length)],
                [(side * 0.3 * half, 0.85 * length), (side * wide, 0)],
                deep,
            )
        yield slab(
            [(-0.3 * half, 0.85 * length), (-0.15 * half, 0.2 * length)],
            [(0.3 * half, 0.85 * length), (0.15 * half, 0.2 * length)],
            deep,
        )
    else:
        left = [(-1.2 * half, -0.05 * length), (-0.55 * half, 0.4 * length), (-0.75 * half, 0.9 * length)]
        right = [(0.6 * half, 0.05 * length), (0.9 * half, 0.5 * length), (0.2 * half, 0.7 * length)]
        yield slab(left, right, deep)


def _guitar_head(dice: Dice, tip: float) -> Iterator[Solid]:
    long, wide = dice.between(0.12, 0.19), dice.between(0.03, 0.045)
    in_line = dice.chance(0.4)
    lean = wide * dice.between(0.4, 0.9) if in_line else 0.0
    left = [(-tip, 0), (-wide, 0.2 * long), (-wide - lean, long)]
    right = [(tip, 0), (wide - lean * 0.2, 0.2 * long), (wide * dice.between(0.4, 1.0) - lean * 0.5, long)]
    yield slab(left, right, 0.016)
    for index in range(6):
        side = -1 if in_line or index % 2 else 1
        y = long * (0.2 + 0.75 * (index / 6 if in_line else (index // 2) / 3))
        shift = lean * y / long * (side < 0)
        yield ellipsoid(0.016, 0.007, 0.009, 8).at(side * (wide + 0.01) - shift, y, 0)


def knife(dice: Dice) -> Iterator[Part]:
    """Kitchen knives, cleavers, daggers, folding knives and sabres; the tip points to +x and the edge down."""
    kind = dice.pick("kitchen", "kitchen", "cleaver", "dagger", "folding", "sabre")
    grip, hold = dice.between(0.09, 0.14), dice.between(0.009, 0.016)
    limits = {"kitchen": (0.09, 0.28), "cleaver": (0.14, 0.2), "dagger": (0.1, 0.24), "folding": (0.07, 0.11)}
    length = dice.between(*limits.get(kind, (0.3, 0.7)))
    wide = {"cleaver": dice.between(0.03, 0.05), "kitchen": dice.between(0.01, 0.026)}.get(
        kind, dice.between(0.01, 0.02)
    )
    share = np.linspace(0, 1, 15)
    if kind == "cleaver":
        back, edge = np.full(15, 0.6 * wide), np.full(15, -1.2 * wide)
    elif kind == "dagger":
        back = wide * np.minimum(1, (1 - share) * dice.between(1.5, 4))
        edge = -back
    elif kind == "sabre":
        bow = -dice.between(0.02, 0.25) * length * share**2 * -1
        back, edge = bow + 0.8 * wide * (1 - share**6), bow - 0.8 * wide * (1 - share**6)
    else:
        drop = dice.between(0.0, 1.0)
        back = 0.6 * wide * (1 - drop * share**4)
        belly = dice.between(2, 6)
        edge = back - 1.7 * wide * (1 - share**belly)
    x = share * length
    thick = dice.between(0.002, 0.006) * np.linspace(1, 0.5, 15)
    blade = slab(np.stack([x, back], 1), np.stack([x, edge], 1), thick)
    open_by = dice.between(0, 130) if kind == "folding" and dice.chance(0.5) else 0.0
    yield "blade", blade.at(-0.004).turned("z", open_by)
    yield from (("handle", solid) for solid in _grip(dice, kind, grip, hold))


def _grip(dice: Dice, kind: str, length: float, hold: float) -> Iterator[Solid]:
    """A handle from x = 0 back to x = −length."""
    style = dice.pick("box", "round", "curved")
    if style == "box":
        yield rounded_box(length, 2 * hold, 1.4 * hold, 0.4 * hold).at(-length / 2, -hold, 0)
    elif style == "round":
        level = np.linspace(0, 1, 9)
        swell = hold * (0.75 + 0.3 * np.sin(np.pi * level * dice.between(1, 3)) ** 2)
        yield lathe(np.stack([swell, level * length], 1), 14).turned("z", 90).scaled(z=0.75)
    else:
        share = np.linspace(0, 1, 9)
        bend = -dice.between(0.05, 0.2) * length * share**2
        half = hold * (1 - 0.2 * np.sin(np.pi * share) + 0.3 * share**4)
        x = -share * length
        yield slab(np.stack([x, bend + half], 1), np.stack([x, bend - half], 1), 1.3 * hold)
    if kind in ("dagger", "sabre") or dice.chance(0.15):
        yield rounded_box(0.012, dice.between(3, 6) * hold, 1.8 * hold, 0.005).at(0, -2.2 * hold, 0)
    if kind == "sabre" and dice.chance(0.6):
        bow = arc(length / 2, 3.0 * hold, 180, 360, 11)
        yield tube(bow - (length / 2, 0, 0), 0.004, 6)
    if kind == "kitchen" and dice.chance(0.5):
        for rivet in (0.25, 0.5, 0.75):
            yield cylinder(0.004, 1.6 * hold, segments=8).turned("x", 90).at(-rivet * length, 0, -0.8 * hold)


def pistol(dice: Dice) -> Iterator[Part]:
    """Self-loading pistols, revolvers, long-barrelled and flintlock pistols; the muzzle points to +x."""
    kind = dice.pick("slide", "slide", "revolver", "flintlock")
    thick = dice.between(0.02, 0.032)
    barrel = {"slide": (0.12, 0.2), "revolver": (0.06, 0.2), "flintlock": (0.18, 0.3)}[kind]
    length = dice.between(*barrel)
    tall, bore = dice.between(0.022, 0.035), dice.between(0.007, 0.012)
    grip, slant, wide = dice.between(0.075, 0.12), dice.between(0.0, 0.45), dice.between(0.036, 0.052)
    if kind == "slide":
        back = -0.2 * length
        yield (
            "barrel",
            dice.pick(box(length, tall, thick), rounded_box(length, tall, thick, 0.006)).at(back + length / 2),
        )
        if dice.chance(0.6):
            muzzle = length * dice.between(0.05, 0.5)
            yield "barrel", rod((back + length - 0.01, 0.5 * tall, 0), (back + length + muzzle, 0.5 * tall, 0), bore)
        yield "handle", box(0.6 * length, 0.4 * tall, 0.9 * thick).at(back + 0.3 * length, -0.35 * tall, 0)
        yield "barrel", box(0.008, 0.008, 0.004).at(back + length - 0.01, tall, 0)
    elif kind == "revolver":
        yield "barrel", rod((0.03, 0.6 * tall, 0), (0.04 + length, 0.6 * tall, 0), 1.1 * bore)
        if dice.chance(0.5):
            yield "barrel", box(0.8 * length, 0.35 * tall, 0.4 * thick).at(0.03 + 0.4 * length, 0.1 * tall, 0)
        drum = dice.between(0.6, 0.8) * tall
        yield "barrel", cylinder(drum, 0.045, segments=dice.pick(6, 12)).turned("z", -90).at(-0.012, 0.4 * tall, 0)
        yield (
            "handle",
            slab(
                [(-0.04, -0.4 * tall), (0.05, -0.45 * tall)], [(-0.035, 1.1 * tall), (0.045, 1.1 * tall)], 0.6 * thick
            ),
        )
        yield "trigger", box(0.008, 0.02, 0.006).turned("z", 30).at(-0.04, 0.9 * tall, 0)
    else:
        yield "barrel", rod((-0.03, 0.7 * tall, 0), (length, 0.7 * tall, 0), 1.2 * bore, bore)
        yield (
            "handle",
            slab([(-0.04, 0), (0.7 * length, 0.25 * tall)], [(-0.04, tall), (0.7 * length, 0.7 * tall)], 0.8 * thick),
        )
        yield "trigger", rod((-0.02, 0.8 * tall, 0.012), (-0.035, 1.6 * tall, 0.012), 0.006)
    curve = grip * (0.3 + slant) * (dice.between(0.8, 1.4) if kind != "slide" else 0.4)
    front, rear = -0.035 + wide, -0.045
    level = np.linspace(0, 1, 6)
    shift, sag = -curve * level**1.3, -grip * level + 0.1 * tall
    flare = (0.8 + 0.35 * level**2) if kind != "slide" else 1 + 0 * level
    middle, half = (front + rear) / 2, wide / 2 * flare
    hold = slab(np.stack([middle - half + shift, sag], 1), np.stack([middle + half + shift, sag], 1), 0.85 * thick)
    yield "handle", hold
    guard = arc(0.028, dice.between(0.018, 0.026), 180, 360, 9)
    yield "trigger", tube(guard + (front + 0.022, -0.2 * tall, 0), 0.0028, 4)
    yield "trigger", rod((front + 0.022, 0, 0), (front + 0.018, -0.2 * tall - 0.018, 0), 0.003)
