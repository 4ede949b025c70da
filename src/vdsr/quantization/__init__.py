"""int8: calibration, quantisation, and what both cost."""
