"""Chairs, stools, benches and sofas. They look along −z: the back stands at +z."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data_prep.builtin_shapes.bases import base, slats
from data_prep.builtin_shapes.dice import Dice
from data_prep.builtin_shapes.primitives import Part, Solid, arc, box, cylinder, loft, rod, rounded_box, tube


def chair(dice: Dice) -> Iterator[Part]:
    """Dining, office, bar and lounge chairs: five kinds of base, six of backs, four of arms."""
    width, depth = dice.between(0.38, 0.62), dice.between(0.38, 0.6)
    height = dice.pick(dice.between(0.34, 0.52), dice.between(0.34, 0.52), dice.between(0.55, 0.8))
    seat_thickness, leg = dice.between(0.025, 0.13), dice.between(0.012, 0.03)
    kind = dice.pick("legs", "legs", "legs", "sled", "star", "star", "disc", "crossed", "boards", "plinth")
    for solid in base(dice, kind, width, depth, height, leg):
        yield "leg", solid
    yield "seat", _seat(dice, width, depth, seat_thickness).at(y=height)

    top = height + seat_thickness
    recline = dice.between(0, 18)
    tall = dice.pick(dice.between(0.2, 0.4), dice.between(0.4, 0.75))
    for solid in _back(dice, width, depth, tall):
        yield "back", solid.turned("x", recline).at(y=top - 0.01, z=depth / 2 - 0.025)

    if dice.chance(0.45):
        for solid in _arms(dice, width, depth, height, top + dice.between(0.13, 0.25)):
            yield "arm", solid


def _seat(dice: Dice, width: float, depth: float, thickness: float) -> Solid:
    kind = dice.pick("board", "cushion", "cushion", "round")
    if kind == "board":
        return box(width, thickness, depth)
    if kind == "cushion":
        return rounded_box(width, thickness, depth, thickness * dice.between(0.3, 0.5))
    return cylinder(0.5, thickness).scaled(x=width, z=depth)


def _back(dice: Dice, width: float, depth: float, tall: float) -> Iterator[Solid]:
    """A back that stands upright on the origin, spread along x."""
    kind = dice.pick("board", "cushion", "bars", "ladder", "hoop", "shell", "splat")
    post, thickness = dice.between(0.012, 0.022), dice.between(0.02, 0.05)
    x = width / 2 - post
    if kind == "board":
        yield box(width * dice.between(0.8, 1), tall, thickness)
    elif kind == "cushion":
        lift = dice.pick(0.0, 0.35) * tall
        yield rounded_box(width, tall - lift, 2 * thickness, thickness).at(y=lift)
        if lift:
            yield box(0.2 * width, lift + 0.05, thickness)
    elif kind in ("bars", "ladder", "splat"):
        for right in (-1, 1):
            yield rod((right * x, 0, 0), (right * x, tall, 0), post, sides=dice.pick(4, 10))
        yield box(width, 3 * post, 1.6 * post).at(y=tall - 3 * post)
        if kind == "bars":
            yield from slats((-x, 0, 0), (x, 0, 0), dice.count(4, 9), (post, tall - post, post))
        elif kind == "ladder":
            board = (width, tall * dice.between(0.06, 0.14), post)
            yield from slats((0, 0.25 * tall, 0), (0, 0.75 * tall, 0), dice.count(1, 4), board)
        else:
            yield box(width * dice.between(0.2, 0.45), tall, post)
    elif kind == "hoop":
        yield tube(arc(x, tall, 0, 180, 15), post, 8)
        for place in np.linspace(-0.7, 0.7, dice.count(2, 6)):
            yield rod((place * x, 0, 0), (place * x, tall * np.sqrt(1 - place**2), 0), 0.5 * post, sides=6)
    else:
        yield _shell(width / 2, depth * dice.between(0.3, 0.8), tall, dice.between(0.03, 0.06))


def _shell(radius_x: float, radius_z: float, tall: float, thickness: float) -> Solid:
    """A curved wall around the back of the seat, open to the front."""
    angle = np.deg2rad(np.linspace(0, 180, 15))
    outer = np.stack([radius_x * np.cos(angle), radius_z * (np.sin(angle) - 1)], 1)
    inner = np.stack([(radius_x - thickness) * np.cos(angle), (radius_z - thickness) * np.sin(angle) - radius_z], 1)
    rings = np.zeros((len(angle), 4, 3))
    rings[:, [0, 1], :] = np.insert(outer, 1, 0, axis=1)[:, None]
    rings[:, [2, 3], :] = np.insert(inner, 1, 0, axis=1)[:, None]
    rings[:, [1, 2], 1] = (tall * (0.55 + 0.45 * np.sin(angle.clip(0, np.pi))))[:, None]
    return loft(rings)


def _arms(dice: Dice, width: float, depth: float, low: float, high: float) -> Iterator[Solid]:
    """Two arms from the height ``low`` of the seat's underside up to ``high``."""
    kind, thickness = dice.pick("post", "loop", "panel", "pad"), dice.between(0.015, 0.03)
    front, back = -depth / 2 * dice.between(0.4, 0.95), depth / 2
    for right in (-1, 1):
        x = right * (width / 2 + 0.5 * thickness)
        if kind == "panel":
            yield box(2 * thickness, high - low, back - front).at(x, low, (front + back) / 2)
        elif kind == "loop":
            yield tube([(x, low, front), (x, high, front), (x, high, back), (x, low, back)], thickness, 8)
        else:
            size = (2.2 * thickness, 1.2 * thickness, back - front)
            yield (rounded_box(*size, 0.01) if kind == "pad" else box(*size)).at(x, high, (front + back) / 2)
            for z in (front + 0.05,) if kind == "post" else (0.0, 0.08):
                yield rod((x, low, z), (x, high + 0.01, z), 0.6 * thickness, sides=4)


def stool(dice: Dice) -> Iterator[Part]:
    """Low and bar stools, round and square, now and then with a small back like a chair's."""
    width = dice.between(0.28, 0.48)
    depth = width * dice.pick(1.0, 1.0, dice.between(0.7, 1.1))
    height, thickness = dice.between(0.3, 0.85), dice.between(0.02, 0.12)
    kind = dice.pick("legs", "legs", "star", "disc", "disc", "sled", "crossed", "boards", "plinth")
    for solid in base(dice, kind, 0.85 * width, 0.85 * depth, height, dice.between(0.012, 0.025)):
        yield "leg", solid
    if kind in ("legs", "disc", "star") and height > 0.55 and dice.chance(0.5):
        ring = arc(0.36 * width, 0.36 * width, 0, 345, 24)[:, [0, 2, 1]]
        yield "leg", tube(ring + (0, 0.35 * height, 0), 0.01, 6, closed=True)
    yield "seat", _seat(dice, width, depth, thickness).at(y=height)
    if dice.chance(0.25):
        low = dice.between(0.12, 0.3)
        for solid in _back(dice, 0.9 * width, depth, low):
            yield "back", solid.at(y=height + thickness - 0.01, z=0.45 * depth)


def bench(dice: Dice) -> Iterator[Part]:
    """Park, garden and hall benches, slatted or solid; half of them without a back."""
    width, depth = dice.between(0.9, 2.0), dice.between(0.3, 0.55)
    height, thickness = dice.between(0.36, 0.52), dice.between(0.03, 0.1)
    for solid in base(dice, dice.pick("legs", "boards", "boards", "sled", "crossed"), width, depth, height, 0.035):
        yield "leg", solid
    if dice.chance(0.5):
        boards = dice.count(3, 6)
        plank = (width, thickness, 0.75 * depth / boards)
        for solid in slats((0, height, -0.43 * depth), (0, height, 0.43 * depth), boards, plank):
            yield "seat", solid
    else:
        solid = rounded_box(width, thickness, depth, 0.03) if dice.chance(0.5) else box(width, thickness, depth)
        yield "seat", solid.at(y=height)
    if dice.chance(0.5):
        tall, recline = dice.between(0.3, 0.5), dice.between(3, 18)
        for solid in _bench_back(dice, width, tall):
            yield "back", solid.turned("x", recline).at(y=height + 0.5 * thickness, z=depth / 2 - 0.03)
    if dice.chance(0.35):
        for solid in _arms(dice, width - 0.05, depth, height, height + dice.between(0.2, 0.3)):
            yield "arm", solid


def _bench_back(dice: Dice, width: float, tall: float) -> Iterator[Solid]:
    if dice.chance(0.3):
        yield box(width, tall, 0.04)
        return
    x = 0.46 * width
    for right in (-1, 1):
        yield rod((right * x, 0, 0), (right * x, tall, 0), 0.025, sides=4)
    if dice.chance(0.6):
        planks = dice.count(2, 4)
        yield from slats((0, 0.25 * tall, 0), (0, 0.85 * tall, 0), planks, (width, 0.4 * tall / planks, 0.025))
    else:
        yield from slats((-x, 0, 0), (x, 0, 0), dice.count(7, 16), (0.03, tall, 0.02))
        yield box(width, 0.06, 0.04).at(y=tall - 0.05)


def sofa(dice: Dice) -> Iterator[Part]:
    """Armchairs, sofas for two to four and corner sofas, with or without arms."""
    places = dice.pick(1, 2, 2, 3, 3, 4)
    arm = dice.between(0.08, 0.25)
    inside, depth = places * dice.between(0.5, 0.65), dice.between(0.7, 0.95)
    ground, low, cushion = dice.between(0.03, 0.16), dice.between(0.1, 0.24), dice.between(0.1, 0.2)
    round_edge = dice.between(0.02, 0.06)
    has_arms = dice.chance(0.85)
    width = inside + (2 * arm if has_arms else 0)
    kind = dice.pick("legs", "legs", "plinth", "boards")
    for solid in base(dice, kind, 0.95 * width, 0.9 * depth, ground, dice.between(0.02, 0.04)):
        yield "leg", solid
    yield "seat", rounded_box(width - 0.02, low, depth, 0.02).at(y=ground)
    top = ground + low + cushion
    backward = depth * dice.between(0.2, 0.32)
    pieces = places if dice.chance(0.7) else 1
    for place in range(pieces):
        x = inside * ((place + 0.5) / pieces - 0.5)
        solid = rounded_box(inside / pieces - 0.01, cushion, depth - backward, round_edge)
        yield "seat", solid.at(x, ground + low, -backward / 2)
    for part in _sofa_back(dice, width, inside, depth, backward, top, ground + low, pieces):
        yield "back", part
    if has_arms:
        rise = dice.between(0.02, 0.28)
        rolled = dice.chance(0.35)
        for right in (-1, 1):
            x = right * (width - arm) / 2
            yield "arm", rounded_box(arm, top + rise - ground + 0.01, depth + 0.03, round_edge).at(x, ground - 0.01)
            if rolled:
                roll = cylinder(0.62 * arm, depth + 0.04, segments=16).turned("x", 90)
                yield "arm", roll.at(x, top + rise, -depth / 2 - 0.02)
    if places >= 3 and dice.chance(0.3):
        side, reach = dice.pick(-1, 1), dice.between(0.4, 0.8)
        chaise = rounded_box(inside / places, top - ground, reach, round_edge)
        yield "seat", chaise.at(side * inside * (0.5 - 0.5 / places), ground, -depth / 2 - reach / 2 + 0.02)


def _sofa_back(dice, width, inside, depth, backward, top, low, pieces) -> Iterator[Solid]:
    """A wall at the back from the height ``low`` on and a cushion for every place before it."""
    tall = dice.between(0.22, 0.5)
    thin = backward * dice.between(0.35, 0.6)
    yield rounded_box(width, top - low + tall, thin, 0.03).at(y=low, z=depth / 2 - thin / 2)
    lean, piece = dice.between(0, 12), inside / pieces - 0.01
    for place in range(pieces):
        cushion = rounded_box(piece, tall * dice.between(0.85, 1.1), backward - thin, 0.06).turned("x", lean)
        yield cushion.at(inside * ((place + 0.5) / pieces - 0.5), top, depth / 2 - backward + (backward - thin) / 2)
