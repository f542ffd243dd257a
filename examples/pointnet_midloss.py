"""Pretrain another backbone, a small PointNet, with MID-Net's loss: python pointnet_midloss.py STORE.h5 EPOCHS"""

import sys

import torch
from torch import nn

import octree

points = nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU())
shape_head, point_head = nn.Linear(128, 128), nn.Linear(256, 64)


def pointnet(batch):
    point, cloud = points(batch.points), batch.batch_id[:, None].expand(-1, 128)
    shape = point.new_zeros(batch.batch_size, 128).scatter_reduce(0, cloud, point, "amax")
    local = point_head(torch.cat([point, shape[batch.batch_id]], dim=1))  # a feature per point
    return octree.MIDFeatures(nn.functional.normalize(shape_head(shape)), nn.functional.normalize(local))


shapes = octree.ShapeDataset(octree.ShapeStore(sys.argv[1]))
loader = torch.utils.data.DataLoader(shapes, batch_size=16, shuffle=True, collate_fn=octree.collate)
loss = octree.MIDLoss(shapes=len(shapes))
optimizer = torch.optim.Adam(nn.ModuleList([points, shape_head, point_head]).parameters())
for epoch in range(int(sys.argv[2])):
    for batch in loader:
        batch = octree.quantize(octree.RandomAffine()(batch))  # 30 bins, as in the paper
        features = pointnet(batch)
        losses = loss(features, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        loss.update(features, batch)
    print(f"epoch {epoch}: loss {losses.total.item():.3f}")
