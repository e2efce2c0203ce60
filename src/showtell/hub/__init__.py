"""Captioners of Hugging Face as ours."""

import transformers  # noqa: F401 (first, so that a missing extra is named before torch has been loaded for seconds)
