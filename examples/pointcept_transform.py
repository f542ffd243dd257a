"""Randomized quantization as a Pointcept transform: python pointcept_transform.py SCENE (a folder with coord.npy)

Import this file before the dataset is built; then use ``dict(type="QuantizeCoord", bins=30)`` before ``GridSample``.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import pcrq


class QuantizeCoord:
    """Quantize ``coord`` (N, 3), an array of one cloud or a tensor of several that end at ``offset`` (B,)."""

    def __init__(self, bins: int = 30):
        self.bins = bins

    def __call__(self, data_dict: dict) -> dict:
        coord = torch.as_tensor(data_dict["coord"])
        end = torch.as_tensor(data_dict.get("offset", [len(coord)]), device=coord.device)
        cloud = torch.arange(len(end), device=coord.device).repeat_interleave(end.diff(prepend=end.new_zeros(1)))
        quantized = pcrq.randomized_quantize_points(coord, cloud, len(end), self.bins)
        data_dict["coord"] = quantized.numpy() if isinstance(data_dict["coord"], np.ndarray) else quantized
        return data_dict


try:
    from pointcept.datasets.transform import TRANSFORMS
except ImportError:  # without Pointcept the class can be called as it is
    pass
else:
    TRANSFORMS.register_module()(QuantizeCoord)

if __name__ == "__main__":
    scene = QuantizeCoord(bins=30)({"coord": np.load(Path(sys.argv[1]) / "coord.npy")})
    print("values per axis:", [len(np.unique(axis)) for axis in scene["coord"].T])
