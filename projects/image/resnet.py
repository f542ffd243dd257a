"""ResNets that end in features: torchvision's, and narrower, shallower ones for small images.

Source: He et al., Deep Residual Learning, CVPR 2016; the stem for small images is that of SimCLR's appendix B.9.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

Stem = Literal["imagenet", "small"]

BLOCKS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}


class ResNet(nn.Module):
    """A ResNet up to its pooled features.

    The last batch norm of every residual branch starts at zero, as MoCo v3 trains them. With the width 64 and
    the stem "imagenet" the parameters have torchvision's names and shapes.

    Args:
        name: a key of :data:`BLOCKS`.
        width: channels of the first stage.
        stem: "imagenet" halves the size twice before the first stage; "small" keeps it, for images of 32 pixels.

    Shape:
        (B, 3, H, W) float -> (B, features).
    """

    def __init__(self, name: str = "resnet50", width: int = 64, stem: Stem = "imagenet"):
        super().__init__()
        block, counts = BLOCKS[name]
        if stem == "small":
            self.conv1, self.maxpool = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.Identity()
        else:
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1, self.relu = nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        channels, stages = width, []
        for stage, count in enumerate(counts):
            planes, blocks = width * 2**stage, []
            for index in range(count):
                blocks.append(_block(block, channels, planes, stride=2 if stage and index == 0 else 1))
                channels = planes * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.avgpool(x).flatten(1)


def _block(block: type[BasicBlock] | type[Bottleneck], channels: int, planes: int, stride: int) -> nn.Module:
    out, downsample = planes * block.expansion, None
    if stride != 1 or channels != out:
        convolution = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
        downsample = nn.Sequential(convolution, nn.BatchNorm2d(out))
    return block(channels, planes, stride, downsample)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, (BasicBlock, Bottleneck)):
        last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
        nn.init.zeros_(last.weight)
