"""AudioNTT2020, the encoder of BYOL-A: three convolutions, two layers on every frame that is left, one pooling.

Source: BYOL-A (Niizumi et al., IJCNN 2021), table I; Koizumi et al., The NTT DCASE2020 challenge task 6 system, 2020.
"""

from __future__ import annotations

from torch import Tensor, nn

from pcrq.errors import InputError

HALVINGS = 3
"""Times that frequencies and frames are halved."""


class AudioNTT2020(nn.Module):
    """Log-mel spectrograms to embeddings. Parameters have the names of the published weights.

    Args:
        dimension: of the embedding, 2048 in the paper.
        mels: frequencies of the spectrograms, at least 8.
        channels: of every convolution, 64 in the paper.

    Shape:
        (B, 1, mels, T) float, normalised, T >= 8 frames of any number -> (B, dimension).

    Raises:
        InputError: a size is too small, or (when called) the spectrograms are of another shape.
    """

    def __init__(self, dimension: int = 2048, mels: int = 64, channels: int = 64):
        super().__init__()
        if dimension < 1 or channels < 1 or mels < 2**HALVINGS:
            raise InputError(
                f"AudioNTT2020 of {channels} channels and dimension {dimension} for {mels} mels: needs at least 1, 1 "
                f"and {2**HALVINGS}"
            )
        self.dimension, self.mels, self.channels = dimension, mels, channels
        self.features = nn.Sequential(*_block(1, channels), *_block(channels, channels), *_block(channels, channels))
        self.fc = nn.Sequential(
            nn.Linear(channels * (mels >> HALVINGS), dimension),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(dimension, dimension),
            nn.ReLU(),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments that make such a network, by their names."""
        return {"dimension": self.dimension, "mels": self.mels, "channels": self.channels}

    def forward(self, log_mel: Tensor) -> Tensor:
        """The embedding: maximum over time plus mean over time."""
        return self.pool(self.frames(log_mel))

    def frames(self, log_mel: Tensor) -> Tensor:
        """(B, T // 8, dimension) features before pooling, one for every 80 ms."""
        if log_mel.ndim != 4 or tuple(log_mel.shape[1:3]) != (1, self.mels) or log_mel.shape[3] < 2**HALVINGS:
            raise InputError(
                f"log-mel spectrograms of shape {tuple(log_mel.shape)}: expected (B, 1, {self.mels}, T) of T >= "
                f"{2**HALVINGS} frames"
            )
        maps = self.features(log_mel)
        return self.fc(maps.permute(0, 3, 2, 1).flatten(2))  # the published weights count channels fastest

    @staticmethod
    def pool(frames: Tensor) -> Tensor:
        """(B, T // 8, dimension) features of frames -> (B, dimension) embeddings."""
        return frames.amax(dim=1) + frames.mean(dim=1)


def _block(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
