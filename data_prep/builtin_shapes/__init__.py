"""Built-in parametric shapes with true part labels: a dataset that needs no download.

25 categories, including the 16 of ShapeNet Part. One generator per category composes a few closed solids with random
proportions and discrete choices (legs or pedestal, with or without arms, engines under the wing or at the tail), and
every shape is scaled a little along each axis. Categories overlap on purpose: stools with a low back and chairs,
armchairs and sofas, benches and tables, bottles and vases.

>>> mesh = generate("chair", 7)
>>> CATEGORIES["chair"]
('back', 'seat', 'leg', 'arm')
"""

from data_prep.builtin_shapes.catalogue import CATEGORIES, builtin_items, class_names, generate, part_names

__all__ = ["CATEGORIES", "builtin_items", "class_names", "generate", "part_names"]
