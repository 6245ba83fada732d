"""The encoder and ANN decoder of the reconstruction study in PyTorch, layer by layer as in its published code."""

# PyTorch is optional.
# pyright: reportMissingImports=false
from __future__ import annotations

import torch
from torch import nn


def trunk(inputs: int, outputs: int, width: int, hidden: int) -> nn.Sequential:
    """BatchNorm -> (1 + hidden) x [Linear -> BatchNorm -> ReLU] -> Linear."""
    layers: list[nn.Module] = [nn.BatchNorm1d(inputs)]
    for size in [inputs] + [width] * hidden:
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Autoencoder(nn.Module):
    """Mass fractions ``(n, K)`` and reconstructed reflectance ``(n, M)`` from reflectance ``(n, M)``."""

    def __init__(self, components: int, bands: int, width: int = 512, hidden: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(trunk(bands, components, width, hidden), nn.LeakyReLU(0.01), nn.Softmax(dim=1))
        self.decoder = nn.Sequential(trunk(components, bands, width, hidden), nn.Sigmoid())

    def forward(self, reflectance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns mass fractions and reconstruction."""
        mass = self.encoder(reflectance)
        return mass, self.decoder(mass)


def loss(
    model: nn.Module, reflectance: torch.Tensor, soc: torch.Tensor, sigma_soc: float, sigma_reflectance: float
) -> torch.Tensor:
    """Eq. 1 of the study on a batch."""
    mass, rebuilt = model(reflectance)
    soc_term = torch.mean((mass[:, -1] - soc) ** 2) / sigma_soc**2
    return soc_term + torch.mean((rebuilt - reflectance) ** 2) / sigma_reflectance**2
