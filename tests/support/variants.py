"""The augmentations of the configs ``variants/*.yaml``, by their names in records."""

from functools import reduce
from pathlib import Path

import yaml

from projects.audio.augmentation import Augmentation as AudioAugmentation
from projects.image.augmentation import Augmentation as ImageAugmentation

PROJECTS = Path(__file__).parents[2] / "projects"
IMAGE_FILES = {"CR": "cr", "RRC": "rrc", "RRC+CJ": "rrc_cj", "Full": "full", "MSF": "msf", "CR+RQ": "cr_rq"}
IMAGE_FILES |= {"RRC+RQ": "rrc_rq"}
AUDIO_FILES = {
    "RRC": "rrc",
    "RRC+Mixup": "rrc_mixup",
    "RRC+RQ": "rrc_rq",
    "RRC+RQ (per frequency)": "rrc_rq_per_frequency",
    "RRC+RQ (before the crop)": "rrc_rq_before_crop",
    "RRC+RQ (per frequency, before the crop)": "rrc_rq_per_frequency_before_crop",
    "RRC+Mixup+RQ": "rrc_mixup_rq",
}


def options(modality: str, file: str, *keys: str) -> dict:
    values = yaml.safe_load((PROJECTS / modality / "configs/variants" / f"{file}.yaml").read_text())
    return reduce(lambda mapping, key: mapping[key], keys, values)


IMAGE_VARIANTS = {
    name: ImageAugmentation(**options("image", file, "data", "augmentation")) for name, file in IMAGE_FILES.items()
}
AUDIO_VARIANTS = {
    name: AudioAugmentation(**options("audio", file, "model", "augmentation")) for name, file in AUDIO_FILES.items()
}
AUDIO_VARIANTS["RQ"] = AudioAugmentation(crop=False)  # not in the paper
