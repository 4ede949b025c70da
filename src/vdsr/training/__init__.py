"""The network as torch trains it. Nothing below imports torch."""
