"""One contender of benchmarks/training.py: a PyTorch loop over the same model, loss, batch and data."""

# PyTorch is optional.
# pyright: reportMissingImports=false
from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import torch
from problem import SIGMA_REFLECTANCE, SIGMA_SOC, Problem, serve
from torch.utils.data import DataLoader, TensorDataset
from torch_model import Autoencoder, loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Builds model, optimiser and loop and returns the worker's description and its actions.

    ``setting["loop"]``: "loader" draws batches with a DataLoader and uses Adam as it comes; "memory" indexes a
    tensor on the device and uses fused Adam; "compile" is "memory" with torch.compile. ``setting["tf32"]`` lets the
    products of "memory" and "compile" take a GPU's TF32.
    """
    problem, loop = Problem(**setting["problem"]), setting["loop"]
    torch.manual_seed(0)
    if setting.get("tf32") and loop != "loader":
        torch.set_float32_matmul_precision("high")
    model: Any = Autoencoder(problem.components, problem.bands, problem.width, problem.hidden).to(DEVICE)
    parameters = sum(p.numel() for p in model.parameters())
    fused = {} if loop == "loader" else {"fused": True}
    adam = torch.optim.Adam(model.parameters(), lr=problem.lr, betas=(problem.b1, 0.999), **fused)
    objective: Any = torch.compile(loss) if loop == "compile" else loss
    x, y = (torch.from_numpy(values) for values in problem.data())
    batches = _loader(x, y, problem) if loop == "loader" else _memory(x.to(DEVICE), y.to(DEVICE), problem)

    def epoch() -> dict[str, float]:
        began = time.perf_counter()
        total = torch.zeros((), device=DEVICE)
        for rows, soc in batches():
            adam.zero_grad(set_to_none=True)
            value = objective(model, rows.to(DEVICE), soc.to(DEVICE), SIGMA_SOC, SIGMA_REFLECTANCE)
            value.backward()
            adam.step()
            total += value.detach()
        mean = float(total) / problem.steps  # waits for the device
        return {"seconds": time.perf_counter() - began, "loss": mean}

    return {**library(), "device": DEVICE, "parameters": parameters}, {
        "epoch": epoch,
        "peak": lambda: peak(problem.product),
    }


def _loader(x: torch.Tensor, y: torch.Tensor, problem: Problem) -> Callable[[], Any]:
    loader = DataLoader(TensorDataset(x, y), batch_size=problem.batch, shuffle=True, drop_last=True)
    return lambda: iter(loader)


def _memory(x: torch.Tensor, y: torch.Tensor, problem: Problem) -> Callable[[], Any]:
    def batches() -> Any:
        order = torch.randperm(problem.rows, device=x.device)
        for step in range(problem.steps):
            rows = order[step * problem.batch : (step + 1) * problem.batch]
            yield x[rows], y[rows]

    return batches


def library() -> dict[str, str]:
    """PyTorch's version and the kernel libraries that it says it was built with."""
    built = torch.__config__.show()
    patterns = {
        "MKL": r"Math Kernel Library Version (\S+?)-",
        "oneDNN": r"MKL-DNN v(\S+)",
        "BLAS": r"BLAS_INFO=(\w+)",
        "CPU kernels": r"CPU capability usage: (\S+)",
    }
    found = {name: match[1] for name, pattern in patterns.items() if (match := re.search(pattern, built))}
    kernels = ", ".join(f"{name} {value}" for name, value in found.items())
    return {"library": f"PyTorch {torch.__version__}", "kernels": f"{kernels}, {torch.get_num_threads()} threads"}


def peak(size: int) -> float:
    """Operations per second of one large float32 matrix product."""
    a = torch.ones((size, size), device=DEVICE)
    float((a @ a)[0, 0])
    began = time.perf_counter()
    float((a @ a)[0, 0])
    return 2 * size**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    serve(make)
