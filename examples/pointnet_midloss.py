"""Pretrain another backbone, a small PointNet, with MID-Net's loss: python pointnet_midloss.py STORE.h5 EPOCHS"""

import sys

import torch
from torch.nn import BatchNorm1d, Linear, ReLU, Sequential
from torch.nn.functional import normalize

import octree


class PointNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.points = Sequential(Linear(3, 64), BatchNorm1d(64), ReLU(), Linear(64, 128), BatchNorm1d(128), ReLU())
        self.shape_head, self.point_head = Linear(128, 128), Linear(256, 64)

    def forward(self, batch):
        point, cloud = self.points(batch.points), batch.batch_id[:, None]
        shape = point.new_zeros(batch.batch_size, 128).scatter_reduce(0, cloud.expand_as(point), point, "amax")
        local = self.point_head(torch.cat([point, shape[batch.batch_id]], dim=1))  # a feature per point
        return octree.MIDFeatures(normalize(self.shape_head(shape)), normalize(local))


shapes = octree.ShapeDataset(octree.ShapeStore(sys.argv[1]))
loader = torch.utils.data.DataLoader(shapes, batch_size=16, shuffle=True, collate_fn=octree.collate)
network, loss = PointNet(), octree.MIDLoss(shapes=len(shapes))
optimizer = torch.optim.Adam(network.parameters())
for epoch in range(int(sys.argv[2])):
    for batch in loader:
        batch = octree.quantize(octree.RandomAffine()(batch))
        features = network(batch)
        losses = loss(features, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        loss.update(features, batch)
    print(f"epoch {epoch}: loss {losses.total.item():.3f}")
