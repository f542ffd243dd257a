"""Pretrain MID-Net with randomized quantization on the meshes of a folder: python midnet_meshes.py FOLDER EPOCHS OUT"""

import sys
from pathlib import Path

import torch

import data_prep
import octree

folder, epochs, out = sys.argv[1:]
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
files = sorted(file for file in Path(folder).rglob("*") if file.suffix.lower() in data_prep.MESH_FORMATS)
shapes = octree.ShapeDataset([data_prep.prepare_shape(file) for file in files])
loader = torch.utils.data.DataLoader(shapes, batch_size=16, shuffle=True, collate_fn=octree.collate)
network = octree.MIDNet(depth=5, width=32, blocks=1, nempty=True).to(device)
loss = octree.MIDLoss(shapes=len(shapes)).to(device)
optimizer = torch.optim.SGD(network.parameters(), lr=0.03, momentum=0.9, weight_decay=5e-4)

for epoch in range(int(epochs)):
    for batch in loader:
        batch = octree.quantize(octree.RandomAffine()(batch.to(device)))  # 30 bins, as in the paper
        features = network(batch)
        losses = loss(features, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        loss.update(features, batch)
    print(f"epoch {epoch}: loss {losses.total.item():.3f}, accuracy of shapes {losses.shape_accuracy.item():.2f}")
octree.save_pretrained(network, out)  # read it with octree.load_pretrained(out)
