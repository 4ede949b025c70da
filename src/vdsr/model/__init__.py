"""What a network is: layers, the model file, the writer of ONNX. No torch."""
