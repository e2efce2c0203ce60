"""Before any test is collected: one thread is enough for tiny networks, and rooms whose libraries are absent are left
out."""

import importlib.util
import os

# Set before torch is imported, by whichever test comes first; tests that need no torch do not pay for it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "timm", "safetensors", "lightning"))
collect_ignore = [] if HAS_TORCH else ["nets", "train", "export", "test_grid.py", "test_overfit.py"]
