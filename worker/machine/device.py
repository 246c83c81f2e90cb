"""The device on which the worker computes, its precision, and the memory that models may take on it."""

import os
from pathlib import Path

import torch

from neuronym.settings import Settings

# Of memory, what models may take; the rest is for caches, activations and other programs.
HOST_SHARE, DEVICE_SHARE = 0.5, 0.85
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose_device(setting: str) -> torch.device:
    """The device that `setting` names; `auto` is the first of CUDA, MPS and CPU that this machine has.

    Raises:
        ValueError: the machine has no such device.
    """
    if setting != "auto":
        return _existing_device(setting)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def mapping_device(setting: str) -> torch.device:
    """The device for mapping: that of `setting`, but the CPU in place of MPS, which lacks the fp64 of a few sums.

    Raises:
        ValueError: the machine has no such device.
    """
    device = choose_device(setting)
    return torch.device("cpu") if device.type == "mps" else device


def precision(device: torch.device) -> torch.dtype:
    """The precision in which models run: bf16 where the device is fast at it, else fp32."""
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def model_memory(settings: Settings, device: torch.device) -> int:
    """The bytes of memory that live models may take on `device`."""
    if settings.model_memory is not None:
        return int(settings.model_memory)
    if device.type == "cuda":
        return int(DEVICE_SHARE * torch.cuda.get_device_properties(device).total_memory)
    return int(HOST_SHARE * _host_memory())


def _existing_device(setting: str) -> torch.device:
    try:
        device = torch.device(setting)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"NEURONYM_DEVICE={setting} is not to be had here. Use auto, cpu, cuda, cuda:1 or mps."
        ) from error
    return device


def _host_memory() -> int:
    """The bytes of memory of this machine, or of the container that the process runs in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    return machine if limit == "max" else min(machine, int(limit))
