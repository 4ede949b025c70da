"""Films: decoded, enlarged, encoded and put together again with all that was beside the picture."""
