"""Names and numbers of ShapeNet that its readers and the writers of its layouts share."""

from __future__ import annotations

from itertools import accumulate, pairwise

# WordNet 3.0 offsets, as ShapeNet uses them. ShapeNetCore itself has no stools and files vases under jars (03593526).
SYNSETS: dict[str, str] = {
    "airplane": "02691156",
    "bag": "02773838",
    "bed": "02818832",
    "bench": "02828884",
    "bookshelf": "02871439",
    "bottle": "02876657",
    "cabinet": "02933112",
    "cap": "02954340",
    "car": "02958343",
    "chair": "03001627",
    "earphone": "03261776",
    "guitar": "03467517",
    "knife": "03624134",
    "lamp": "03636649",
    "laptop": "03642806",
    "monitor": "03211117",
    "motorbike": "03790512",
    "mug": "03797390",
    "pistol": "03948459",
    "rocket": "04099429",
    "skateboard": "04225987",
    "sofa": "04256520",
    "stool": "04326896",
    "table": "04379243",
    "vase": "04522168",
}

# ShapeNet Part numbers its parts without naming them; the names are those that the literature reads off the shapes
# (the prompts of PointCLIP V2, Zhu et al., ICCV 2023, shortened; the four of lamps from what they mark).
_PARTS: dict[str, tuple[str, ...]] = {
    "airplane": ("body", "wing", "tail", "engine"),
    "bag": ("handle", "body"),
    "cap": ("crown", "peak"),
    "car": ("roof", "hood", "wheel", "body"),
    "chair": ("back", "seat", "leg", "arm"),
    "earphone": ("earcup", "headband", "wire"),
    "guitar": ("head", "neck", "body"),
    "knife": ("blade", "handle"),
    "lamp": ("base", "shade", "canopy", "tube"),
    "laptop": ("keyboard", "screen"),
    "motorbike": ("gas tank", "seat", "wheel", "handle", "light", "frame"),
    "mug": ("handle", "body"),
    "pistol": ("barrel", "handle", "trigger"),
    "rocket": ("body", "fin", "nose"),
    "skateboard": ("wheel", "deck", "belt"),
    "table": ("desktop", "leg", "drawer"),
}
SHAPENET_PART_CLASSES = tuple(_PARTS)
"""The 16 categories of ShapeNet Part in the order of their synsets, which is also that of their names."""
SHAPENET_PART_NAMES = tuple(f"{category}/{part}" for category, parts in _PARTS.items() for part in parts)
"""The 50 parts of ShapeNet Part as "category/part", in the order of their labels."""
SHAPENET_PART_LABELS: dict[str, range] = {
    category: range(*labels)
    for category, labels in zip(_PARTS, pairwise(accumulate(map(len, _PARTS.values()), initial=0)), strict=True)
}
"""The labels of every category of ShapeNet Part: 0 to 3 for airplanes, 47 to 49 for tables."""
