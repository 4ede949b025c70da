"""Pixels, and no network: resampling, color, degradation, metrics, files."""
