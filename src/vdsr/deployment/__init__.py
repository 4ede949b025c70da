"""From checkpoints to model files."""
