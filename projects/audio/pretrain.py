"""Pretrain an audio encoder by BYOL-A, with randomized quantization or its own mixup.

Two augmented samples of 0.95 s of sound predict each other (Niizumi et al., BYOL for Audio, IJCNN 2021; Wu et al., ICCV
2023, section 5.3). Values are those of nttcslab/byol-a (train.py, config.yaml); projects/audio/README.md explains the
options.
"""

from __future__ import annotations

import logging
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader

from pcrq import InputError
from pcrq.checkpoint import weights_digest
from pcrq.evaluation import knn_accuracy, subset
from pcrq.ssl import BYOL
from pcrq.stores import SoundStore
from projects.audio.augmentation import AudioViews, Augmentation
from projects.audio.embedding import embed_sounds
from projects.audio.encoder import KEY, AudioNTT2020, describe
from projects.audio.log_mel import LogMel, LogMelStatistics
from projects.audio.waveforms import RandomSegments, task_name, waveform_statistics
from projects.training.callbacks import KNNAccuracy, Throughput
from projects.training.records import (
    Record,
    append_records,
    check_resume_config,
    code_version,
    upgraded_pretraining,
)
from projects.training.run import Program, Run
from projects.training.sampling import step_generator, training_loader, whole_batches

_log = logging.getLogger(__name__)

# --- options ---


@dataclass(frozen=True)
class KNN:
    """Accuracy of nearest neighbors during training, where the store has categories.

    Sounds of the split "test" are classified by those of the split "train".

    Args:
        every_n_epochs: epochs between two measurements; 0 for never.
        neighbours: number of training sounds that vote on a test sound.
        seconds: length that all sounds are cut or padded to.
        sounds: maximum number of training sounds, and of test sounds; a fixed random subset.

    Raises:
        InputError: a number is out of range.
    """

    every_n_epochs: int = 10
    neighbours: int = 5
    seconds: float = 4.0
    sounds: int = 5000

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.sounds < 2 or self.seconds < 0.1:
            raise InputError(
                f"knn.neighbours {self.neighbours}, knn.sounds {self.sounds}, knn.seconds {self.seconds}: must be at "
                "least 1, 2 and 0.1"
            )


# --- data ---


class SoundData(pl.LightningDataModule):
    """A random segment of every clip of one store.

    Args:
        store: sound store, written by 'pcrq prep'.
        split: "train", "val", "test" or "all"; "auto" means "train" if the store has splits, otherwise all.
        batch_size: clips per process and step; an incomplete last batch is dropped.
        workers: processes that read the store; 0 reads in the training process.
        seed: random seed of the order of the clips, and of the segments.

    Raises:
        InputError: the store cannot be used, or an option is out of range.
    """

    def __init__(self, store: Path, split: str = "auto", batch_size: int = 256, workers: int = 2, seed: int = 0):
        super().__init__()
        if batch_size < 2 or workers < 0:
            raise InputError(f"data.batch_size {batch_size}, data.workers {workers}: must be at least 2 and 0")
        self.store = SoundStore(store)
        self.split, self.indices = self.store.select(split)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.segments = RandomSegments(self.store, self.indices, seed)

    def train_dataloader(self) -> DataLoader:
        """Batches of this process, from the batch at which the run stands."""
        batches = whole_batches(len(self.segments), self.batch_size, self.trainer, str(self.store.path))
        return training_loader(
            self.segments, self.batch_size, self.workers, self.seed, self.trainer, batches, with_epoch=True
        )


# --- model ---


class BYOLA(pl.LightningModule):
    """BYOL around AudioNTT2020, by Adam with constant learning rate and constant momentum of the target network.

    Spectrograms and views are computed on the device for the whole batch. The spectrograms are normalized by statistics
    of one random segment per sound (of 10,000 sounds in larger stores), which are computed before the first step, and
    read from the checkpoint when a run resumes.

    Args:
        data: the training sounds.
        augmentation: augmentation of the two views of a segment.
        dimension: dimension of the embeddings.
        channels: channels of the encoder's convolutions.
        hidden: width of the hidden layers of projector and predictor.
        out: size of projections and predictions.
        learning_rate: learning rate of Adam.
        momentum: momentum of the target network, in [0, 1].
        seed: random seed of views and dropout; a step's random numbers depend on the seed, the step and the process.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        data: SoundData,
        augmentation: Augmentation = Augmentation(),  # noqa: B008 (frozen)
        dimension: int = 2048,
        channels: int = 64,
        hidden: int = 4096,
        out: int = 256,
        learning_rate: float = 3e-4,
        momentum: float = 0.99,
        seed: int = 0,
    ):
        super().__init__()
        if hidden < 1 or out < 1:
            raise InputError(f"model.hidden {hidden}, model.out {out}: must be at least 1")
        if learning_rate <= 0 or not 0 <= momentum <= 1:
            raise InputError(
                f"model.learning_rate {learning_rate}, model.momentum {momentum}: must be above 0, and in [0, 1]"
            )
        self.data, self.augmentation, self.seed = data, augmentation, seed
        self.hidden, self.out, self.learning_rate, self.momentum = hidden, out, learning_rate, momentum
        network = BYOL(AudioNTT2020(dimension, channels=channels), dimension, hidden, out)
        self.framework = network.to(memory_format=torch.channels_last)  # 1.7 times as fast on CPUs
        self.log_mel = LogMel()
        self.views = AudioViews(augmentation, None)
        # every process has its own memory of mixup; DDP would broadcast its 50 MB before every step
        buffers = [name for name, _ in self.named_buffers() if name.startswith(("views.", "log_mel."))]
        self._ddp_params_and_buffers_to_ignore = buffers

    @property
    def encoder(self) -> AudioNTT2020:
        """The network that is trained."""
        return self.framework.encoder

    def on_fit_start(self) -> None:
        """Compute the log-mel statistics of the sounds, unless the run resumes from a checkpoint, which has them."""
        if self.views.statistics is None:
            statistics = waveform_statistics(self.data.segments, self.device, self.data.workers)
            rank_zero_only(_log.info)("log-mel spectrograms: mean %.3f, std %.3f", statistics.mean, statistics.std)
            self.views.statistics = statistics

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Loss of two views of every segment of a batch (B, 15200) of float32 waveforms."""
        generator = step_generator(self, self.seed)
        # Dropout also resumes exactly; another stream of random numbers than that of the augmentation.
        torch.manual_seed(generator.initial_seed() + 1)
        first, second = self.views(self.log_mel(batch), generator)
        loss = self.framework(first, second)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch))
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then update the target network."""
        super().optimizer_step(*args, **kwargs)
        self.framework.update_target(self.momentum)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with constant learning rate."""
        trained = [weight for weight in self.framework.parameters() if weight.requires_grad]
        return torch.optim.Adam(trained, self.learning_rate)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Add what rebuilds the encoder without this class, and the options that a resumed run must share."""
        checkpoint[KEY] = describe(self.encoder, self.views.statistics, self.pretraining())
        checkpoint["resume"] = self._resume_config()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse to continue with other sounds or other options; keep the log-mel statistics."""
        before = upgraded_pretraining(checkpoint.get("resume", {}))
        check_resume_config(self.trainer.ckpt_path, before, self._resume_config())
        self.views.statistics = LogMelStatistics(**checkpoint[KEY]["statistics"])

    def pretraining(self) -> dict[str, Any]:
        """How the encoder was pretrained so far, for its checkpoint and records."""
        trainer, data = self.trainer, self.data
        return {
            "framework": "BYOL-A",
            "augmentation": asdict(self.augmentation),
            "epochs": min(trainer.current_epoch + 1, trainer.max_epochs),
            "store": data.store.path.name,
            "sounds": len(data.indices),
            "batch_size": data.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "hidden": self.hidden,
            "out": self.out,
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "seed": self.seed,
        }

    def _resume_config(self) -> dict[str, Any]:
        pretraining = self.pretraining()
        del pretraining["epochs"], pretraining["sounds"]
        return {
            **pretraining,
            **self.encoder.sizes,
            "accumulate_grad_batches": self.trainer.accumulate_grad_batches,
            "precision": str(self.trainer.precision),
            "store": self.data.store.digest,
            "split": self.data.split,
            "number of devices": self.trainer.world_size,
        }


# --- main ---


def add_options(parser: ArgumentParser) -> None:
    """Options of data, model and kNN accuracy."""
    parser.add_class_arguments(SoundData, "data", skip={"seed"}, instantiate=False)
    parser.add_class_arguments(BYOLA, "model", skip={"data", "seed"}, instantiate=False)
    parser.add_class_arguments(KNN, "knn")


def pretrain(run: Run) -> None:
    """Pretrain by the options of a run, and record the kNN accuracy of the last epoch."""
    knn: KNN = run.init.knn
    run.require_epochs()
    data = SoundData(**run.init.data, seed=run.seed)
    model = BYOLA(data, **run.init.model, seed=run.seed)
    gallery, queries = (labeled(data.store, split) for split in ("train", "test"))
    can_measure = len(gallery) > 0 and len(queries) > 0

    def measure() -> float | None:
        return store_knn_accuracy(model, gallery, queries, knn) if can_measure else None

    if knn.every_n_epochs and not can_measure:
        rank_zero_only(_log.info)(
            "no kNN accuracy: %s has no sounds with categories in the splits train and test", data.store.path
        )
    accuracy = KNNAccuracy(knn.every_n_epochs, measure)
    what = f"{len(data.indices)} sounds of {data.store.path}, {model.augmentation.name}, "
    what += f"{model.encoder.dimension} dimensions"
    run.fit(model, data, what, callbacks=[accuracy, Throughput()])

    metrics, results = {}, None
    if run.is_finished and run.is_writer:
        results, records = run.out / "results.json", []
        if knn.every_n_epochs and can_measure:
            # a run that resumed after its last epoch has not measured it yet
            value = accuracy.measure() if accuracy.last is None else accuracy.last
            metrics = {"kNN accuracy": value}
            records = [_record(run, model, value, len(gallery), len(queries))]
        append_records(results, records)
    run.finish(metrics, _next_command(run, data.store, can_measure), results)


def labeled(store: SoundStore, split: str) -> np.ndarray:
    """Positions of the sounds of a split that have a category."""
    indices = store.indices(split)
    return indices[store.category[indices] >= 0]


def store_knn_accuracy(model: BYOLA, gallery: np.ndarray, queries: np.ndarray, knn: KNN) -> float:
    """kNN accuracy in [0, 1] of the query sounds among the gallery sounds, both positions in the store."""
    store, embedded = model.data.store, []
    for indices in (subset(knn.sounds, gallery), subset(knn.sounds, queries)):
        options = {"seconds": knn.seconds, "workers": model.data.workers}
        features = embed_sounds(model.encoder, model.views.statistics, store, indices, **options)
        embedded.append((features, torch.from_numpy(store.category[indices].astype(np.int64))))
    (voters, categories), (features, truth) = embedded
    return knn_accuracy(features, truth, voters, categories, neighbours=knn.neighbours)


def _record(run: Run, model: BYOLA, value: float, gallery: int, queries: int) -> Record:
    knn, store = run.init.knn, model.data.store
    return Record(
        method=model.augmentation.name,
        protocol="kNN",
        metric="kNN accuracy",
        value=value,
        ratio=1.0,
        seed=run.seed,
        store=store.path.name,
        digest=store.digest,
        train_samples=gallery,
        test_samples=queries,
        task="sound classification",
        config={
            "task": task_name(store),
            "pretraining": model.pretraining(),
            "encoder": model.encoder.sizes,
            "weights": weights_digest(model.encoder),
            "neighbours": knn.neighbours,
            "seconds": knn.seconds,
            "sounds": knn.sounds,
        },
        seconds=round(run.seconds, 1),
        code=code_version(),
    )


def _next_command(run: Run, store: SoundStore, has_labels: bool) -> str:
    if not has_labels:
        return shlex.join(["pcrq", "embed", str(store.path), "--checkpoint", str(run.checkpoint), "--out", "f.npz"])
    words = ["pcrq", "evaluate", "sounds", "--store", str(store.path), "--checkpoint", str(run.checkpoint)]
    return shlex.join(words + ([] if "seconds" in store.parameters else ["--seconds", str(run.init.knn.seconds)]))


PROGRAM = Program(
    name="pretrain sounds",
    description=__doc__,
    configs=Path(__file__).parent / "configs",
    out="runs/audio",
    add_options=add_options,
    run=pretrain,
    checkpoint_key=KEY,
    defaults={"trainer.max_epochs": -1},  # required: Lightning's default would be 1,000
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main())
