"""A model's image processor as `PixelSettings`.

transformers reads the processor's file, with the defaults and the former spellings of every processor class, and what
it found is translated here. Rejected: reading `preprocessor_config.json` itself, which leaves out whatever is a default
of its class, and has had several forms.

The PIL processors and `core/pixels` give the same uint8 pixels. transformers' torchvision processors, its default since
version 5, resize by other arithmetic: single pixels differ by up to 2/255, the mean of all by less than 0.2/255
(tests/hub/test_processor.py measures it).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from PIL import Image
from pydantic import ValidationError

from showtell.errors import BadConfig
from showtell.settings import PixelSettings

FILES: Final = ("preprocessor_config.json", "processor_config.json")
KNOWN: Final = tuple(f"{family}ImageProcessor" for family in ("Beit", "Bit", "Blip", "CLIP", "DeiT", "ViT"))
"""Processors that resize, crop, rescale and normalise, and do nothing else."""
_MAX: Final = 255


def pixel_settings(folder: Path) -> PixelSettings:
    """Raises BadConfig when there is no processor, or one that does what `PixelSettings` cannot express."""
    processor = _load(folder)
    where = f"{folder}: its image processor"
    size, crop = _size(processor.size), _size(processor.crop_size) if processor.do_center_crop else None
    if not processor.do_resize:
        raise BadConfig(f"{where} does not resize (do_resize); expected one that gives photos of one size")
    for sides in (size, crop):
        if sides and "height" in sides and sides["height"] != sides["width"]:
            raise BadConfig(f"{where} makes {sides['height']} x {sides['width']} pixels; expected a square")
    if "height" in size:
        resized, mode = size["height"], "squash"
    elif size.keys() == {"shortest_edge"} and crop:
        resized, mode = size["shortest_edge"], "shortest_edge"
    else:
        raise BadConfig(
            f"{where} resizes to {size} without a crop; expected a height and width, or shortest_edge and a crop"
        )
    side = crop["height"] if crop else resized
    pad_size = _size(processor.pad_size) if getattr(processor, "do_pad", None) and processor.pad_size else None
    if pad_size and pad_size != {"height": side, "width": side}:  # of images of one size, padding is nothing
        raise BadConfig(f"{where} pads to {pad_size} (do_pad); expected no padding")
    mean, std = _normalisation(processor)
    try:
        return PixelSettings(
            size=side,
            crop_mode=mode,
            resize_size=None if resized == side else resized,
            interpolation=Image.Resampling(processor.resample).name.lower(),
            mean=mean,
            std=std,
        )
    except ValidationError as error:
        raise BadConfig(f"{where}: {error.errors()[0]['msg']}; this cannot be imported") from error


def _load(folder: Path) -> Any:
    import transformers

    if not any((folder / name).exists() for name in FILES):
        raise BadConfig(f"{folder}: no {FILES[0]}; expected a folder with the model's image processor")
    renamed = _renamed(folder / FILES[0])
    reader: Any = getattr(transformers, renamed or "AutoImageProcessor")
    options = {} if renamed else {"backend": "pil", "trust_remote_code": False}
    try:
        processor = reader.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:
        reason = str(error).strip().splitlines()[0].partition(" Should have")[0]  # a hundred names follow
        raise BadConfig(
            f"{folder / FILES[0]}: cannot be read ({reason}); expected one of {', '.join(KNOWN)}"
        ) from error
    name = type(processor).__name__.removesuffix("Pil")
    if name not in KNOWN:
        raise BadConfig(f"{folder / FILES[0]}: found {name}; expected one of {', '.join(KNOWN)}")
    return processor


def _renamed(file: Path) -> str | None:
    """The class of today for a file whose `image_processor_type` is a ...FeatureExtractor, as versions 4.26 to 4.30
    wrote it: transformers knows those names under `feature_extractor_type` alone."""
    try:
        name = str(json.loads(file.read_text(encoding="utf-8"))["image_processor_type"])
    except (OSError, ValueError, LookupError, TypeError):  # which transformers reports
        return None
    found = name.replace("FeatureExtractor", "ImageProcessor")
    return f"{found}Pil" if found != name and found in KNOWN else None


def _size(size: Any) -> dict[str, int]:
    """Without the keys that are not set."""
    return {key: int(value) for key, value in dict(size or {}).items() if value is not None}


def _normalisation(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels in 0..1: of x in 0..255, (x f - m) / s is (x / 255 - m / 255f) / (s / 255f)."""
    scale = _MAX * (processor.rescale_factor if processor.do_rescale else 1.0)
    scale = 1.0 if abs(scale - 1) < 1e-9 else scale  # a rescale_factor of 0.00392156862745098
    mean, std = (
        _triple(values if processor.do_normalize else default)
        for values, default in ((processor.image_mean, 0.0), (processor.image_std, 1.0))
    )
    return tuple(m / scale for m in mean), tuple(s / scale for s in std)


def _triple(values: Any) -> tuple[float, ...]:
    return (float(values),) * 3 if isinstance(values, int | float) else tuple(map(float, values))
