"""Where images come from: a folder, a torchvision data set, or built-in procedural images.

>>> from projects.image.sources import open_source
>>> source = open_source("builtin", "train")
>>> image, label = source[3]
>>> image.size, image.mode, source.classes[label]
((32, 32), 'RGB', 'triangle')
"""

from projects.image.sources.builtin import BuiltinImages
from projects.image.sources.folder import FolderImages
from projects.image.sources.opening import open_source, source_names
from projects.image.sources.source import ImageSource, Split, UnreadableImage
from projects.image.sources.torchvision_sets import TorchvisionImages

__all__ = [
    "BuiltinImages",
    "FolderImages",
    "ImageSource",
    "Split",
    "TorchvisionImages",
    "UnreadableImage",
    "open_source",
    "source_names",
]
