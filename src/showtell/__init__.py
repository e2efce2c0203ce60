"""showtell: an image-captioning toolkit. Captions photos with a built-in or a trained model, and trains such models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.records import Caption, CaptionRow, Word

__version__ = "0.1.0"
__all__ = ["Caption", "CaptionRow", "Captioner", "Word", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: `showtell --help` must not wait for ONNX Runtime.
    if name == "Captioner":
        from showtell.core.captioner import Captioner

        return Captioner
    if name in ("Caption", "CaptionRow", "Word"):
        from showtell import records

        return getattr(records, name)
    raise AttributeError(f"module 'showtell' has no attribute {name!r}")
