"""TensorRT engines: found by their plan and run over the CUDA driver."""

from .engine import TensorRTEngine

__all__ = ["TensorRTEngine"]
