"""Small frameworks and two views for the tests of the Siamese frameworks."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pcrq.ssl import BYOL, MoCoV3, SiameseFramework

BATCH, FEATURES = 8, 12


def small_encoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, FEATURES, 3, stride=2, bias=False),
        nn.BatchNorm2d(FEATURES),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


@pytest.fixture
def make_framework() -> Callable[..., SiameseFramework]:
    """``make_framework(kind=MoCoV3, encoder=None, **options)``: seeded; its target differs from it."""

    def make(kind: type = MoCoV3, encoder: nn.Module | None = None, **options) -> SiameseFramework:
        torch.manual_seed(0)
        framework = kind(encoder or small_encoder(), FEATURES, **{"hidden": 24, "out": 6, **options})
        with torch.no_grad():
            for network in (framework.target_encoder, framework.target_projector):
                for parameter in network.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return framework

    return make


@pytest.fixture
def views() -> tuple[torch.Tensor, torch.Tensor]:
    """Two views (8, 3, 8, 8) of eight samples."""
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(BATCH, 3, 8, 8, generator=generator)
    noise = torch.randn(2, BATCH, 3, 8, 8, generator=generator)
    return samples + 0.3 * noise[0], samples + 0.3 * noise[1]


@pytest.fixture(params=[MoCoV3, BYOL], ids=["moco_v3", "byol"])
def kind(request) -> type[SiameseFramework]:
    """Every framework in turn."""
    return request.param
