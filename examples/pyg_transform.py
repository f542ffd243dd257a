"""Randomized quantization as a PyTorch Geometric transform: python pyg_transform.py FOLDER downloads ModelNet10."""

import copy
import sys

import pcrq


class QuantizePositions:
    """Quantize ``data.pos``, with an independent quantizer per graph and axis; for a Data object or a Batch of them.

    Args:
        bins: bins per axis, at least 1; the paper uses 30.
    """

    def __init__(self, bins: int = 30):
        self.bins = bins

    def __call__(self, data):
        data = copy.copy(data)  # as all transforms of PyTorch Geometric do
        graph = getattr(data, "batch", None)
        graph = data.pos.new_zeros(len(data.pos)).long() if graph is None else graph
        graphs = int(graph.max()) + 1
        data.pos = pcrq.randomized_quantize_points(data.pos, graph, graphs, self.bins)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bins={self.bins})"


if __name__ == "__main__":
    import torch_geometric.transforms as T
    from torch_geometric.datasets import ModelNet

    transform = T.Compose([T.SamplePoints(1024), T.NormalizeScale(), QuantizePositions(bins=30)])
    for data in ModelNet(sys.argv[1], name="10", transform=transform)[:4]:
        print(data, "coordinates on x:", len(data.pos[:, 0].unique()))
