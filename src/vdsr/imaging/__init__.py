"""Pixels, and no network: resampling, colour, degradation, metrics, files."""
