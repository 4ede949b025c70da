"""Small arrays on their way to the device that trains."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(array: NDArray[np.generic[Any]], device: torch.device) -> Tensor:
    """An array on a device, which a GPU takes in its own time.

    A copy from ordinary memory would wait until the GPU has done all that came before it.

    Args:
        array: of any shape, and any dtype that torch has.
        device: where it goes.

    Returns:
        The same shape and dtype; on a CPU the memory of `array` itself.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
