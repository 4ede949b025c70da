"""int8: calibration, quantization, and what both cost."""
