"""What is measured of encoders of sounds, as run records."""

from __future__ import annotations

from typing import Any

from pcrq.stores.sound_store import SoundStore
from projects.training.records import Record, code_version


def task_name(store: SoundStore) -> str:
    """What results call the task of a store: the code of a data set that 'pcrq prep' knows, else the file's name."""
    return str(store.parameters.get("task", store.path.name))


def sound_record(store: SoundStore, *, config: dict[str, Any], seconds: float = 0.0, **about: Any) -> Record:
    """A record of the sounds of a store.

    Args:
        store: the sounds.
        config: what decides the number; the task is added.
        seconds: how long it took.
        about: method, protocol, metric, value, seed, train_samples and test_samples, as of a Record.
    """
    return Record(
        **about,
        ratio=1.0,
        store=store.path.name,
        digest=store.digest,
        task="sound classification",
        config={"task": task_name(store), **config},
        seconds=round(seconds, 1),
        code=code_version(),
    )
