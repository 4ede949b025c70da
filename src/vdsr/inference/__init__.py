"""The network on an image: model files, backends, tiles, the upscaler. Needs no torch."""
