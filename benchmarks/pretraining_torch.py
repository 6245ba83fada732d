"""One contender of benchmarks/pretraining.py: the same autoencoder, loss, batch and data in PyTorch."""

# PyTorch is optional.
# pyright: reportMissingImports=false
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from pretraining_problem import Problem, problem_of
from problem import serve
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch_worker import DEVICE, library, peak


class Vae(nn.Module):
    """Dense encoder and decoder with GELU (its tanh form, as in Flax): reconstruction, mean and log variance."""

    def __init__(self, bands: int, latents: int, widths: tuple[int, int]) -> None:
        super().__init__()
        first, second = widths
        gelu = lambda: nn.GELU(approximate="tanh")  # noqa: E731
        self.trunk = nn.Sequential(nn.Linear(bands, first), gelu(), nn.Linear(first, second), gelu())
        self.mean, self.logvar = nn.Linear(second, latents), nn.Linear(second, latents)
        self.decoder = nn.Sequential(
            *(nn.Linear(latents, second), gelu(), nn.Linear(second, first), gelu(), nn.Linear(first, bands))
        )

    def forward(self, x: torch.Tensor, noise: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns reconstruction, mean and log variance; without noise the latent feature is the mean."""
        hidden = self.trunk(x)
        mean, logvar = self.mean(hidden), self.logvar(hidden).clamp(-14.0, 6.0)
        z = mean if noise is None else mean + torch.exp(0.5 * logvar) * noise
        return self.decoder(z), mean, logvar


def objective(model: nn.Module, x: torch.Tensor, noise: torch.Tensor | None, beta: float) -> torch.Tensor:
    """Stage 1's loss on a batch: mean L2 norm of the error + beta times the divergence from the prior."""
    rebuilt, mean, logvar = model(x, noise)
    norm = torch.sqrt(((rebuilt - x) ** 2).sum(dim=1) + 1e-12).mean()
    kl = 0.5 * (mean**2 + torch.exp(logvar) - logvar - 1.0).sum(dim=1).mean()
    return norm + beta * kl


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Builds model, optimiser and loop and returns the worker's description and its actions.

    ``setting["loop"]``: "loader" draws batches with a DataLoader and uses AdamW as it comes; "memory" indexes a
    tensor on the device and uses fused AdamW.
    """
    problem, loop = problem_of(setting), setting["loop"]
    torch.manual_seed(0)
    model = Vae(problem.bands, problem.latents, problem.widths).to(DEVICE)
    fused = {} if loop == "loader" else {"fused": True}
    adam = torch.optim.AdamW(model.parameters(), lr=problem.lr, weight_decay=0.0, **fused)
    scans = torch.from_numpy(problem.data())
    batches = _loader(scans, problem) if loop == "loader" else _memory(scans.to(DEVICE), problem)

    def epoch() -> dict[str, float]:
        began = time.perf_counter()
        total = torch.zeros((), device=DEVICE)
        for batch in batches():
            x = batch.to(DEVICE)
            adam.zero_grad(set_to_none=True)
            value = objective(model, x, torch.randn((len(x), problem.latents), device=DEVICE), problem.beta)
            value.backward()
            adam.step()
            total += value.detach()
        mean = float(total) / problem.steps  # waits for the device
        return {"seconds": time.perf_counter() - began, "loss": mean}

    parameters = sum(p.numel() for p in model.parameters())
    return {**library(), "device": DEVICE, "parameters": parameters}, {
        "epoch": epoch,
        "peak": lambda: peak(problem.product),
    }


def _loader(scans: torch.Tensor, problem: Problem) -> Callable[[], Iterator[torch.Tensor]]:
    loader = DataLoader(TensorDataset(scans), batch_size=problem.batch, shuffle=True, drop_last=True)
    return lambda: (rows for (rows,) in loader)


def _memory(scans: torch.Tensor, problem: Problem) -> Callable[[], Iterator[torch.Tensor]]:
    def batches() -> Iterator[torch.Tensor]:
        order = torch.randperm(problem.rows, device=scans.device)
        for step in range(problem.steps):
            yield scans[order[step * problem.batch : (step + 1) * problem.batch]]

    return batches


if __name__ == "__main__":
    serve(make)
