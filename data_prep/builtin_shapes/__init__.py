"""Built-in parametric shapes with true part labels: a data set that needs no download.

25 categories, the 16 of ShapeNet Part among them, each made by one generator from a few closed solids. A generator
draws proportions and discrete choices (legs or pedestal, arms or none, engines under the wing or at the tail), and
every shape is stretched a little along each axis. Categories overlap on purpose: stools with a low back and chairs,
armchairs and sofas, benches and tables, bottles and vases.

>>> mesh = generate("chair", 7)
>>> CATEGORIES["chair"]
('back', 'seat', 'leg', 'arm')
"""

from data_prep.builtin_shapes.catalogue import CATEGORIES, generate, part_names
from data_prep.builtin_shapes.items import builtin_items, class_names

__all__ = ["CATEGORIES", "builtin_items", "class_names", "generate", "part_names"]
