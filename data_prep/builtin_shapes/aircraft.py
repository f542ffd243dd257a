"""Airplanes and rockets. Airplanes fly towards −z with their wings along x; rockets stand upright."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Part, Solid, box, cylinder, ellipsoid, lathe, loft, rod, slab


def airplane(dice: Dice) -> Iterator[Part]:
    """Airliners, business jets, propeller planes, gliders, biplanes and fighters."""
    kind = dice.pick("airliner", "airliner", "business", "propeller", "twin", "glider", "biplane", "fighter", "fighter")
    radius = dice.between(0.8, 1.3)
    long = {"airliner": (14, 22), "business": (10, 15), "fighter": (12, 17)}.get(kind, (8.5, 12))
    length = radius * dice.between(*long)
    yield "body", _fuselage(dice, kind, radius, length)
    if kind in ("propeller", "glider", "fighter", "biplane", "twin"):
        cockpit = ellipsoid(0.45 * radius, 0.6 * radius, dice.between(1.0, 1.8) * radius)
        yield "body", cockpit.at(0, 0.65 * radius, -length * dice.between(0.12, 0.25))

    spans = {"glider": (1.5, 2.2), "fighter": (0.55, 0.85), "biplane": (1.0, 1.4)}
    span = length * dice.between(*spans.get(kind, (0.8, 1.25)))
    chord = length * (dice.between(0.28, 0.5) if kind == "fighter" else dice.between(0.09, 0.18))
    taper = dice.between(0.1, 0.4) if kind in ("airliner", "business", "fighter") else dice.between(0.5, 1.0)
    sweeps = {"airliner": (0.4, 0.75), "business": (0.3, 0.6), "fighter": (0.5, 1.2)}
    sweep = dice.between(*sweeps.get(kind, (-0.05, 0.12)))
    rise = dice.between(-0.05, 0.14)
    mount = radius * (dice.pick(-0.7, 0.8) if kind in ("propeller", "twin") else dice.between(-0.7, 0.1))
    place = length * dice.between(-0.12, 0.05)
    for side in (-1, 1):
        yield "wing", _wing(side, span / 2, chord, taper, sweep, rise).at(0, mount, place)
        if kind == "biplane":
            gap = 2.2 * radius
            yield "wing", _wing(side, span / 2, chord, taper, sweep, rise).at(0, mount + gap, place)
            for reach in (0.3, 0.75):
                x, z = side * reach * span / 2, place + sweep * reach * span / 2
                y = mount + rise * reach * span / 2
                yield "wing", rod((x, y, z), (x, y + gap, z), 0.06 * radius, sides=6)
        if kind == "airliner" and dice.chance(0.5):
            tip = (side * span / 2, mount + rise * span / 2, place + sweep * span / 2)
            yield "wing", _wing(1, 0.06 * span, 0.9 * taper * chord, 0.5, 0.5, 0).turned("z", 80).at(*tip)
    yield from _tail(dice, kind, radius, length, chord)
    for solid in _engines(dice, kind, radius, length, span, sweep, rise, mount, place, chord):
        yield "engine", solid


def _fuselage(dice: Dice, kind: str, radius: float, length: float) -> Solid:
    """A body of revolution along z, with a blunt or a pointed nose and a tail that rises."""
    nose = dice.between(0.18, 0.4) if kind == "fighter" else dice.between(0.08, 0.2)
    tail = dice.between(0.2, 0.4) if kind in ("airliner", "business") else dice.between(0.45, 0.65)
    blunt = dice.between(0.8, 1.2) if kind == "fighter" else dice.between(0.45, 0.6)
    end = dice.between(0.5, 0.8) if kind == "fighter" else dice.between(0.08, 0.3)
    share = np.concatenate([np.linspace(0, 1, 9)[1:] ** 1.6 * nose, np.linspace(1 - tail, 1, 8)])
    ahead = (share / nose).clip(0, 1) ** blunt
    behind = 1 - (1 - end) * ((share - 1 + tail) / tail).clip(0, 1) ** 1.6
    width = radius * ahead * behind
    body = lathe([(0, 0), *np.stack([width, share * length], 1)], 20).turned("x", 90).at(z=-length / 2)
    # A belly that rises to the tail, as airliners have: shift the rear upwards by the radius that it loses.
    lift = np.interp((body.vertices[:, 2] / length + 0.5), share, radius * (1 - behind) * (kind != "fighter") * 0.8)
    flat = dice.between(0.85, 1.1)
    return Solid(body.vertices * (1, flat, 1) + np.stack([0 * lift, lift, 0 * lift], 1), body.faces)


def _wing(side: int, half: float, chord: float, taper: float, sweep: float, rise: float) -> Solid:
    """One wing from the middle outwards; its sections are lens-shaped.

    ``sweep`` and ``rise`` say how far the tip lies back and up, as shares of the half span.
    """
    around = 2 * np.pi * np.arange(10) / 10
    section = np.stack([0 * around, 0.055 * np.sin(around), 0.5 * np.cos(around)], 1)
    root = section * chord
    tip = section * chord * taper + (side * half, rise * half, sweep * half)
    return loft([root, tip])


def _tail(dice: Dice, kind: str, radius: float, length: float, chord: float) -> Iterator[Part]:
    fin, span = length * dice.between(0.12, 0.2), length * dice.between(0.13, 0.22)
    root, back = length * dice.between(0.09, 0.15), length * dice.between(0.38, 0.44)
    lean = dice.between(0.3, 0.9) if kind not in ("biplane", "propeller") else dice.between(0.1, 0.5)
    high = 0.4 * radius if kind != "fighter" else 0.0
    layout = dice.pick("cross", "cross", "T", "V") if kind != "fighter" else dice.pick("twin", "cross", "delta")
    upright = _wing(1, fin, root, 0.5, lean, 0).turned("z", 90)
    if layout == "V":
        for side in (-1, 1):
            yield "tail", _wing(side, 1.2 * fin, root, 0.5, lean, 0.9).at(0, high, back)
        return
    if layout == "twin":
        for side in (-1, 1):
            yield "tail", upright.turned("z", -12 * side).at(side * 0.7 * radius, high, back - 0.03 * length)
    else:
        yield "tail", upright.at(0, high, back)
    if layout == "delta":
        return
    level, z = (high + fin, back + lean * fin) if layout == "T" else (high, back)
    for side in (-1, 1):
        yield "tail", _wing(side, span, 0.8 * root, 0.5, 0.6 * lean, 0.05).at(0, level, z)


def _engines(dice, kind, radius, length, span, sweep, rise, mount, place, chord) -> Iterator[Solid]:
    bore, long = radius * dice.between(0.35, 0.6), radius * dice.between(1.6, 2.8)
    if kind == "airliner":
        for reach in dice.pick((0.33,), (0.33,), (0.3, 0.58)):
            x = reach * span / 2
            y, z = mount + rise * x - 1.0 * bore, place + sweep * x - 0.55 * chord
            for side in (-1, 1):
                yield _nacelle(bore, long).at(side * x, y, z)
                yield box(0.15 * bore, 1.0 * bore, 0.8 * long).at(side * x, y + 0.4 * bore, z + 0.2 * long)
    elif kind == "business":
        for side in (-1, 1):
            yield _nacelle(0.9 * bore, long).at(side * (radius + 0.7 * bore), 0.5 * radius, 0.27 * length)
            yield box(radius, 0.15 * bore, 0.6 * long).at(side * radius * 0.8, 0.5 * radius, 0.27 * length)
    elif kind in ("propeller", "biplane"):
        yield from (s.at(z=-length / 2 - 0.1) for s in _propeller(dice, 1.6 * radius, 0.3 * radius))
        yield cylinder(0.8 * radius, 0.6 * radius, segments=16).turned("x", 90).at(z=-length / 2 + 0.05 * length)
    elif kind == "twin":
        x, front = 0.3 * span / 2, place + 0.15 * sweep * span - 0.6 * chord
        for side in (-1, 1):
            yield ellipsoid(0.7 * bore, 0.7 * bore, long).at(side * x, mount + rise * x, front + 0.5 * long)
            for solid in _propeller(dice, 1.1 * radius, 0.25 * radius):
                yield solid.at(side * x, mount + rise * x, front - 0.5 * long)
    elif kind == "fighter":
        for x in dice.pick((0.0,), (-0.45 * radius, 0.45 * radius)):
            nozzle = lathe(
                [(0.55 * radius, 0), (0.4 * radius, 0.8 * radius), (0.33 * radius, 0.8 * radius), (0.4 * radius, 0)]
            )
            yield nozzle.turned("x", 90).at(x, 0, length / 2 - 0.1 * radius)


def _nacelle(bore: float, long: float) -> Solid:
    """A jet engine that opens towards −z, centred on the origin."""
    profile = [(0.6, 0.55), (0.75, 0.5), (1, 0.25), (1, -0.3), (0.88, -0.5), (0.78, -0.5), (0.72, -0.2), (0, -0.2)]
    return lathe([(0, 0.55), *profile] * np.array((bore, long)), 16).turned("x", 90)


def _propeller(dice: Dice, reach: float, hub: float) -> Iterator[Solid]:
    """Blades in the xy plane around the origin, with a spinner."""
    blades, turn = dice.pick(2, 2, 3, 4), dice.between(0, 90)
    yield ellipsoid(hub, hub, 1.4 * hub, 10)
    for blade in range(blades):
        paddle = slab([(-0.05, 0), (-0.1, 0.5), (-0.05, 1)], [(0.05, 0), (0.1, 0.5), (0.05, 1)], 0.04)
        yield paddle.scaled(reach, reach, reach).turned("z", turn + 360 / blades * blade)


def rocket(dice: Dice) -> Iterator[Part]:
    """Launchers with boosters, missiles, toy rockets and round science-fiction rockets."""
    kind = dice.pick("launcher", "missile", "toy", "toy")
    radius = dice.between(0.4, 0.7)
    height = (
        radius * {"launcher": dice.between(8, 16), "missile": dice.between(10, 20), "toy": dice.between(3.5, 8)}[kind]
    )
    belly = dice.between(0.05, 0.45) if kind == "toy" else 0.0
    top = radius * (dice.between(0.6, 1.0) if kind != "missile" else 1.0)
    level = np.linspace(0, 1, 13)
    outline = radius + (top - radius) * level + radius * belly * np.sin(np.pi * level)
    ground = dice.between(0.1, 0.5) * radius
    profile = np.stack([outline, ground + level * height], 1)
    if kind == "launcher" and dice.chance(0.6):  # an upper stage of another width
        step = dice.count(6, 9)
        profile[step:, 0] *= dice.pick(dice.between(0.6, 0.8), 1.25)
    yield "body", lathe(profile, 24)
    bell = [(0.7 * radius, 0), (0.35 * radius, ground), (0.3 * radius, ground + 0.05)]
    yield "body", lathe(bell, 16)

    nose = radius * dice.between(0.8, 3.5)
    for solid in _nose(dice, profile[-1, 0], nose):
        yield "nose", solid.at(y=ground + height)
    if kind == "launcher":
        count = dice.pick(0, 2, 2, 4)
        for index in range(count):
            tall, thick = height * dice.between(0.35, 0.7), radius * dice.between(0.4, 0.6)
            booster = [(0.8 * thick, 0), (thick, 0.1 * tall), (thick, tall)]
            shift = radius + thick
            angle = 360 * index / count
            yield "body", lathe(booster, 16).at(shift, 0.5 * ground).turned("y", angle)
            yield (
                "nose",
                cylinder(thick, 1.5 * thick, 0.1 * thick, 16).at(shift, 0.5 * ground + tall).turned("y", angle),
            )
    fins = dice.pick(3, 4, 4)
    if kind != "launcher" or dice.chance(0.7):
        fin = _fin(dice, radius, height)
        for index in range(fins):
            yield "fin", fin.at(radius * 0.8, ground).turned("y", 360 / fins * (index + 0.5))
        if kind == "missile" and dice.chance(0.6):
            for index in range(fins):
                upper = fin.scaled(0.7, 0.6, 1).at(0.8 * radius, ground + height * 0.6)
                yield "fin", upper.turned("y", 360 / fins * (index + 0.5))


def _nose(dice: Dice, radius: float, height: float) -> Iterator[Solid]:
    level, roundness = np.linspace(0, 1, 9), dice.between(0.4, 1.0)
    profile = np.stack([radius * (1 - level**1.5) ** roundness, height * level], 1)
    profile[-1, 0] = 0
    yield lathe(profile, 24)
    if dice.chance(0.25):
        yield rod((0, 0.9 * height, 0), (0, height * dice.between(1.2, 1.6), 0), 0.05 * radius, sides=6)


def _fin(dice: Dice, radius: float, height: float) -> Solid:
    """A fin in the xy plane that leaves the body at x = 0 towards +x."""
    reach, root = radius * dice.between(0.7, 2.2), height * dice.between(0.12, 0.35)
    tip, drop = root * dice.between(0.15, 0.8), dice.between(-0.6, 0.7) * root
    low = drop * -0.5
    return slab(
        [(0, 0), (0.6 * reach, 0.3 * low), (reach, low)],
        [(0, root), (0.6 * reach, 0.6 * (root + low + tip)), (reach, low + tip)],
        0.12 * radius,
    )
