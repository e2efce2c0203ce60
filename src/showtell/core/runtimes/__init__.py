"""What can run an ONNX graph: one small protocol, and a registry of libraries behind it.

    onnxruntime   ONNX Runtime on the processor; what every installation has
"""
