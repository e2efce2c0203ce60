import os

# From 1.29 on ONNX Runtime's wheels report to Microsoft (mobile.events.data.microsoft.com) as soon as it is imported,
# and keep a database under ~/.cache; `onnxruntime.disable_telemetry_events()` comes too late to stop either. Here,
# because this runs before whatever of core imports it. Who wants to report sets the variable.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
