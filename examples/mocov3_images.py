"""Pretrain MoCo v3 with randomized quantization on a folder of images: python mocov3_images.py FOLDER EPOCHS OUT.pth"""

import sys

import torch
import torchvision
from torchvision.transforms import v2

from pcrq import RandomizedQuantization
from pcrq.ssl import LARS, MoCoV3, scaled_learning_rate, warmup_cosine

folder, epochs, out = sys.argv[1:]
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
crop = v2.Compose([v2.RandomResizedCrop(224, scale=(0.2, 1.0)), v2.ToImage()])
images = torchvision.datasets.ImageFolder(folder, lambda image: torch.stack([crop(image), crop(image)]))
batch_size = min(256, len(images))
loader = torch.utils.data.DataLoader(images, batch_size, shuffle=True, drop_last=True)
quantize = RandomizedQuantization(bins=8)
to_float, normalize = v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
encoder = torchvision.models.resnet50(zero_init_residual=True)
encoder.fc = torch.nn.Identity()
mocov3 = MoCoV3(encoder, features=2048).to(device)
weights = [weight for weight in mocov3.parameters() if weight.requires_grad]
optimizer = LARS(weights, lr=scaled_learning_rate(0.6, batch_size), weight_decay=1e-6)
steps = int(epochs) * len(loader)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, steps, steps // 10))

for epoch in range(int(epochs)):
    for views, _ in loader:
        views = views.to(device).transpose(0, 1).flatten(0, 1)  # first the first views, then the second views
        views = normalize(quantize(to_float(views)))  # independent quantizers per view and color channel
        loss = mocov3(*views.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        mocov3.update_target(momentum=0.99)
    print(f"epoch {epoch}: loss {loss.item():.3f}")
torch.save(encoder.state_dict(), out)  # read it with torchvision, or with pcrq embed FOLDER --checkpoint OUT.pth
