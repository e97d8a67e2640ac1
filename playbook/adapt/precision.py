"""Hardware of this process: device, the arithmetic that is fast on it, threads, and how figures name it."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from playbook.errors import TrainingFailed

Precision = Literal["auto", "bf16", "float32"]


def training_device(accelerator: str, local_rank: int = 0) -> torch.device:
    """The device that this process computes on: a GPU where there is one and the task file allows it."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    if accelerator == "gpu":
        raise TrainingFailed("adaptation.accelerator is gpu, but torch finds none here; set auto or cpu, or fix CUDA")
    return torch.device("cpu")


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively (AMX or AVX512-BF16, GPUs from Ampere on), else float32."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def set_threads(threads: int | None, world: int) -> None:
    """Share the processor's cores among the processes of one machine; fixed, because sums depend on it."""
    torch.set_num_threads(threads or max(1, (os.cpu_count() or 1) // world))


def describe_hardware(device: torch.device, dtype: torch.dtype, world: int = 1) -> str:
    """For example `1 x NVIDIA H200, bfloat16` or `Intel(R) Xeon(R) Platinum 8481C, 2 threads, bfloat16`."""
    arithmetic = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        return f"{world} x {torch.cuda.get_device_name(device)}, {arithmetic}"
    processes = f"{world} processes x " if world > 1 else ""
    return f"{processor_model()}, {processes}{torch.get_num_threads()} threads, {arithmetic}"


@cache
def processor_model() -> str:
    """The processor's own name, as Linux and the platform know it; its architecture where nothing else is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2] for line in lines if line.partition(":")[0].strip() == "model name")
    known = " ".join((next(named, "") or platform.processor()).split())
    machine = platform.machine()
    return known if known and known not in {machine, "unknown"} else f"{machine} processor"
