"""Random views of a source's images, the same whatever the number of worker processes and wherever a run resumes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from pcrq.errors import InputError
from projects.image.sources import ImageSource, UnreadableImage

_ATTEMPTS = 32  # images in a row that cannot be read end the run: the folder is gone rather than damaged

log = logging.getLogger(__name__)


class ViewData(Dataset[tuple[Tensor, int]]):
    """Views of every image, drawn as a function of (seed, epoch, index).

    An image that cannot be read does not end a run: another one of the source, drawn as a function of the same three,
    takes its place with its own label. All worker processes mark such images in shared memory, a byte for every image,
    so that an evaluation can leave their rows out.

    Args:
        source: the images.
        transforms: one for every view, PIL image in mode "RGB" -> (3, H, W) uint8; drawing from torch's global
            generator, which is left as it was.
        seed: draws the views.

    Item:
        ``data[epoch, index]`` of a training, or ``data[index]`` of an evaluation, drawn as in epoch 0 -> views
        (V, 3, H, W) uint8 and the label, -1 where unknown.

    Raises:
        InputError: (from an item) 32 images one after another cannot be read.
    """

    def __init__(self, source: ImageSource, transforms: Sequence[Callable[[Image.Image], Tensor]], seed: int = 0):
        self.source, self.transforms, self.seed = source, list(transforms), seed
        self._unreadable = torch.zeros(len(source), dtype=torch.uint8).share_memory_()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int] | int) -> tuple[Tensor, int]:
        is_training = isinstance(key, tuple)
        epoch, index = key if is_training else (0, key)
        draw = [self.seed, epoch, index]
        image, label = self._image_or_another(index, draw, is_training)
        with _torch_seed(int(np.random.SeedSequence(draw).generate_state(1, np.uint64)[0])):
            return torch.stack([transform(image) for transform in self.transforms]), label

    @property
    def unreadable(self) -> Tensor:
        """(len,) bool: images that could not be read so far, in all worker processes of this process.

        Several processes join theirs by a maximum.
        """
        return self._unreadable.bool()

    def refusals(self) -> list[UnreadableImage]:
        """The images that could not be read so far, and why; for the end of a run."""
        return unreadable_images(self.source, self.unreadable.nonzero().flatten().tolist())

    def _image_or_another(self, index: int, draw: list[int], is_training: bool) -> tuple[Image.Image, int]:
        try:
            return self.source[index]
        except UnreadableImage as error:
            self._note(index, error, is_training)
        others = np.random.default_rng(draw).integers(len(self.source), size=_ATTEMPTS - 1)
        for other in map(int, others):
            try:
                return self.source[other]
            except UnreadableImage as error:
                self._note(other, error, is_training)
                last = error
        raise InputError(
            f"{self.source.name}: {_ATTEMPTS} images one after another cannot be read, the last is {last}; "
            "see whether the folder is still there"
        )

    def _note(self, index: int, error: UnreadableImage, is_training: bool) -> None:
        if not self._unreadable[index]:
            self._unreadable[index] = 1
            log.warning("%s; %s", error, "another image takes its place" if is_training else "it is left out")


def unreadable_images(source: ImageSource, indices: Iterable[int]) -> list[UnreadableImage]:
    """Those of some images that cannot be read, and why; reads them all."""
    found = []
    for index in indices:
        try:
            source[index]
        except UnreadableImage as error:
            found.append(error)
    return found


def log_refusals(data: ViewData, named: int = 20) -> None:
    """Log how many images of this process could not be read, and the first of them with the reasons."""
    refusals = data.refusals()
    for refusal in refusals[:named]:
        log.warning("not read: %s: %s", refusal.name, refusal.reason)
    if refusals:
        log.warning("%d of the %d images of %s could not be read", len(refusals), len(data), data.source.name)


@contextmanager
def _torch_seed(seed: int) -> Iterator[None]:
    """Seed torch's CPU generator within a block: 2 µs, where ``fork_rng`` and ``manual_seed`` take 110."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
