"""Float networks for tools that calibrate by themselves, and lose more than needed.

Such a tool takes floats, one range per activation by KL divergence, and rounds every weight
to the nearest of 255 steps of its channel. What can be done for it beforehand, in floats:
channels nearer to one range, idle ones put to work, weights that lie on such steps already
and were fitted to them, and biases that make up for the mean of what int8 will take away.
"""

from __future__ import annotations

from vdsr.model.architecture import Architecture, FloatArray
from vdsr.quantization.quantizer import quantize
from vdsr.quantization.settings import QuantizationSettings

# Channels made wholly equal burden the weights, which are rounded plainly there: halfway, as
# in SmoothQuant (see `equalize`).
_POWER = 0.5


def equalized(architecture: Architecture, inputs: FloatArray) -> Architecture:
    """A network close to this one in float, of which int8 by plain KL calibration is better.

    Args:
        architecture: the layers.
        inputs: float32 `[N, planes, H, W]`, what it is calibrated on there.

    Returns:
        Layers with biases, the last ones too.

    Raises:
        VdsrError: if a layer's input is 0 everywhere or infinite.
    """
    # The first layer takes the picture itself, which is exact in 8 bits.
    settings = QuantizationSettings(method="kl", weight_bits=8, equalize=_POWER, keep_float=(0,))
    return quantize(architecture, inputs, settings).architecture
