"""What every source of images offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from PIL import Image

from pcrq.errors import InputError

Split = Literal["pretrain", "train", "test"]
"""Images to pretrain on, whose labels may be unknown; to fit a probe on; to measure on."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class UnreadableImage(InputError):
    """One image of a source cannot be used.

    Args:
        name: the image, as :meth:`ImageSource.image_name` has it.
        reason: why, in words.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple:
        return type(self), (self.name, self.reason)


class ImageSource(ABC):
    """Images by number, each with a label; can be sent to worker processes.

    Attributes:
        name: the source and its split, in a few words.
        classes: names of the classes that labels index; empty where labels are not known.
        mean, std: per colour channel, of pixels in [0, 1]; what networks see is normalised by them.
    """

    name: str
    classes: list[str]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    @property
    @abstractmethod
    def digest(self) -> str:
        """A fingerprint for the run record: equal where the images are."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Image ``index`` in [0, len), in mode "RGB", and its label: an index into ``classes``, -1 where unknown.

        Raises:
            IndexError: there is no such image.
            UnreadableImage: it is damaged or of a kind that is not taken.
        """

    def image_name(self, index: int) -> str:
        """How a person finds image ``index``."""
        return f"{self.name}, image {index}"

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name}: image {index} asked for, there are {len(self)}")
