"""From a checkpoint to a proven ONNX file and to TensorRT engines."""
