"""ONNX graphs: from torch, in half precision, quantized, and with pictures in and out."""
