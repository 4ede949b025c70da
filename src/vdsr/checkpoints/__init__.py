"""Checkpoints that others wrote, read without running them."""
