"""What runs ONNX graphs: one small protocol (`runner`), a file for each library, and a registry by name (`registry`).

onnxruntime     ONNX Runtime on the processor; what every installation has
openvino        the encoder by OpenVINO on the processor, in float32 (extra `openvino`)
openvino-bf16   the same, in bfloat16, which some processors multiply several times as fast
cuda            ONNX Runtime on an NVIDIA card (extra `cuda`)
auto            the fastest of these on this machine (`fastest`)
"""
