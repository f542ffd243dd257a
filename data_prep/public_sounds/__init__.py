"""Readers of the six tasks on which the paper evaluates sounds, from data sets as their authors publish them."""

from data_prep.public_sounds.dataset import SoundTask
from data_prep.public_sounds.nsynth import collect_nsynth
from data_prep.public_sounds.speech_commands import collect_speech_commands
from data_prep.public_sounds.urbansound8k import collect_urbansound8k
from data_prep.public_sounds.voxceleb1 import collect_voxceleb1
from data_prep.public_sounds.voxforge import collect_voxforge

__all__ = [
    "SoundTask",
    "collect_nsynth",
    "collect_speech_commands",
    "collect_urbansound8k",
    "collect_voxceleb1",
    "collect_voxforge",
]
