"""Where the worker computes, in which precision, and how much memory models may take there."""

import os
from pathlib import Path

import torch

from neuronym.settings import Settings

HOST_SHARE, DEVICE_SHARE = 0.5, 0.85  # of memory that models may take; the rest is for caches, activations and others
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose_device(setting: str) -> torch.device:
    """The device a setting names; `auto` is the first of CUDA, MPS and CPU that is there.

    Raises:
        ValueError: there is no such device.
    """
    if setting != "auto":
        return _present(setting)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def mapping_device(setting: str) -> torch.device:
    """The same for mapping, which needs fp64 for a few sums: the CPU stands in for a device that has none.

    Raises:
        ValueError: there is no such device.
    """
    device = choose_device(setting)
    return torch.device("cpu") if device.type == "mps" else device


def precision(device: torch.device) -> torch.dtype:
    """The precision models run in: bf16 where it is fast, fp32 elsewhere."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def model_memory(settings: Settings, device: torch.device) -> int:
    """Bytes that live models may take."""
    if settings.model_memory is not None:
        return int(settings.model_memory)
    if device.type == "cuda":
        return int(DEVICE_SHARE * torch.cuda.get_device_properties(device).total_memory)
    return int(HOST_SHARE * _host_memory())


def _present(setting: str) -> torch.device:
    try:
        device = torch.device(setting)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"NEURONYM_DEVICE={setting} is not to be had here. Use auto, cpu, cuda, cuda:1 or mps."
        ) from error
    return device


def _host_memory() -> int:
    """Bytes of this machine, or of the container we are in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    return machine if limit == "max" else min(machine, int(limit))
