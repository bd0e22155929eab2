"""TensorRT engines: their profiles and how they are built."""
