"""Image processors as `PixelSettings`: what `core/pixels` makes of photos, against transformers' own processors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import AutoImageProcessor

from showtell.core.image import load_image
from showtell.core.pixels import to_pixels
from showtell.errors import BadConfig
from showtell.hub.processor import pixel_settings

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PROCESSORS: dict[str, dict[str, Any]] = {
    "vit": {"image_processor_type": "ViTImageProcessor", "size": {"height": 48, "width": 48}},
    "vit, as in 2022": {"feature_extractor_type": "ViTFeatureExtractor", "size": 48, "resample": 2, **HALF},
    "vit, another scale": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 48, "width": 48},
        "rescale_factor": 1 / 127.5,
    },
    "vit, lanczos, fast": {
        "image_processor_type": "ViTImageProcessorFast",
        "size": {"height": 48, "width": 48},
        "resample": 1,
    },
    "vit, not normalised": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 48, "width": 48},
        "do_normalize": False,
    },
    "vit, not rescaled": {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 48, "width": 48},
        "do_rescale": False,
        "image_mean": [127.5] * 3,
        "image_std": [100, 110, 120],
    },
    "deit": {"image_processor_type": "DeiTImageProcessor", "size": {"height": 57, "width": 57}, "crop_size": 48},
    "beit": {"feature_extractor_type": "BeitFeatureExtractor", "size": 56, "crop_size": 48, "do_center_crop": True},
    "beit, no crop": {"image_processor_type": "BeitImageProcessor", "size": {"height": 48, "width": 48}},
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 48}, "crop_size": 48},
    "clip, as in 2021": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 48,
        "crop_size": 48,
        "do_center_crop": True,
        "resample": 3,
    },
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 55}, "crop_size": 48},
    "blip": {
        "image_processor_type": "BlipImageProcessor",
        "size": {"height": 48, "width": 48},
        "do_pad": True,
        "size_divisor": 32,
    },
}
EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = [(48, 48), (97, 48), (48, 97), (131, 100), (61, 203), (33, 20), (500, 333), (59, 60)]


def folder_with(path: Path, processor: dict[str, Any], name: str = "preprocessor_config.json") -> Path:
    (path / name).write_text(json.dumps(processor))
    (path / "config.json").write_text(json.dumps({"model_type": "vision-encoder-decoder"}))
    return path


def photo(width: int, height: int) -> Image.Image:
    """Smooth colours with noise, so that every filter and every shift of a crop shows."""
    random = np.random.default_rng(width * 1000 + height)
    colours = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((width, height))
    noise = random.integers(-30, 30, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(colours, np.int64) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_pil_processor(name: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, PROCESSORS[name])
    settings = pixel_settings(folder)
    reference = AutoImageProcessor.from_pretrained(folder, backend="pil")
    for size in SIZES:
        image = photo(*size)
        expected = reference(image, return_tensors="np")["pixel_values"][0]
        found = to_pixels(image, settings)
        assert found.shape == expected.shape == (3, 48, 48)
        # Equal uint8 pixels: a difference of one step would be 1 / 255 / std.
        step = 1 / 255 / max(settings.std)
        assert abs(found - expected).max() < step / 50, size


def test_a_feature_extractor_that_is_called_an_image_processor(tmp_path: Path) -> None:
    """As versions 4.26 to 4.30 wrote it."""
    options = {"size": 48, "resample": 2, **HALF}
    former = pixel_settings(folder_with(tmp_path, {"image_processor_type": "ViTFeatureExtractor", **options}))
    today = pixel_settings(folder_with(tmp_path, {"feature_extractor_type": "ViTFeatureExtractor", **options}))
    assert former == today and former.size == 48
    unknown = folder_with(tmp_path, {"image_processor_type": "DonutFeatureExtractor"})
    with pytest.raises(BadConfig, match=r"cannot be read \(Unrecognized image processor in \S+\); expected one"):
        pixel_settings(unknown)


def test_a_processor_inside_processor_config(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"image_processor": PROCESSORS["dinov2"]}, "processor_config.json")
    settings = pixel_settings(folder)
    assert (settings.crop_mode, settings.resize_size, settings.size) == ("shortest_edge", 55, 48)
    assert settings.interpolation == "bicubic"


@pytest.mark.parametrize("resample", [2, 3])
def test_torchvision_differs_by_little(resample: int, tmp_path: Path) -> None:
    """The bounds that the module's docstring states, on drawn images and on photos."""
    size = {"height": 224, "width": 224}
    folder = folder_with(tmp_path, {**PROCESSORS["vit"], "resample": resample, "size": size})
    settings = pixel_settings(folder)
    reference = AutoImageProcessor.from_pretrained(folder, backend="torchvision")
    for image in [*(photo(*size) for size in SIZES), *map(load_image, EXAMPLES.glob("*.jpg"))]:
        expected = reference(image, return_tensors="np")["pixel_values"][0]
        difference = abs(to_pixels(image, settings) - expected) * settings.std[0] * 255
        assert difference.max() < 2.1 and difference.mean() < 0.2, image.size


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"do_resize": False}, "does not resize"),
        ({"size": {"height": 48, "width": 64}}, "48 x 64"),
        ({"do_center_crop": True, "crop_size": {"height": 40, "width": 48}}, "40 x 48"),
        ({"do_center_crop": True, "crop_size": 64}, "below size"),
        ({"size": {"shortest_edge": 48}}, "without a crop"),
        ({"size": {"shortest_edge": 48, "longest_edge": 64}, "do_center_crop": True, "crop_size": 48}, "longest_edge"),
        ({"do_pad": True, "pad_size": {"height": 64, "width": 64}}, "do_pad"),
        ({"image_processor_type": "DonutImageProcessor"}, "found DonutImageProcessor; expected one of Beit"),
        ({"image_processor_type": "NoSuchProcessor"}, "expected one of Beit"),
    ],
)
def test_what_cannot_be_expressed_is_refused(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {**PROCESSORS["vit"], **changes})
    with pytest.raises(BadConfig, match=problem) as error:
        pixel_settings(folder)
    assert "\n" not in str(error.value)


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, {"auto_map": {"AutoImageProcessor": "processing.Mine"}, "size": 48})
    (folder / "processing.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(BadConfig, match=r"preprocessor_config\.json: cannot be read"):
        pixel_settings(folder)


def test_no_processor(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no preprocessor_config\.json"):
        pixel_settings(tmp_path)
