"""How fast the models are on this machine: every backend and precision, in one run."""
