"""Images for pretraining: two views of every one, made by worker processes up to what the device does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pcrq.errors import InputError
from projects.image.augmentation import Augmentation
from projects.image.image_transforms import view_transforms
from projects.image.sources import ImageSource, open_source
from projects.image.view_data import ViewData
from projects.training.sampling import WholeBatches


class PretrainImages(WholeBatches):
    """The images of one source.

    Args:
        source: "builtin", "folder", or a data set of torchvision such as "CIFAR10" or "STL10".
        root: the folder of the images; not for "builtin".
        download: fetch a data set of torchvision that is not there.
        augmentation: how the two views of an image are made.
        size: pixels along each side of a view.
        batch_size: images per process and step; what is left of an epoch after the last whole batch is left out.
        workers: processes that decode, crop and jitter; 0 does it in the training process.
        seed: draws the order of the images, and the views.

    Raises:
        InputError: the images cannot be used, or an option is out of range.
    """

    def __init__(
        self,
        source: str = "builtin",
        root: Path | None = None,
        download: bool = False,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
        size: int = 224,
        batch_size: int = 256,
        workers: int = 2,
        seed: int = 0,
    ):
        if batch_size < 2 or workers < 0 or size < 8:
            raise InputError(f"batch_size {batch_size}, workers {workers}, size {size}: choose at least 2, 0 and 8")
        self._open = partial(open_source, source, root=root, download=download)
        self.source = self._open("pretrain")
        self.augmentation, self.size = augmentation, size
        views = ViewData(self.source, view_transforms(augmentation, size), seed)
        super().__init__(views, self.source.name, batch_size, workers, seed)

    @property
    def labelled(self) -> tuple[ImageSource, ImageSource]:
        """Labelled images of the same source to train a classifier on, and to measure it on.

        Raises:
            InputError: there are none.
        """
        return self._open("train"), self._open("test")
