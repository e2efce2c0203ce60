"""The processes of the comparisons: `measure.Side` runs one of these functions and asks for its tasks by name."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from measure import Tasks
from models import builtin_network, patch_network

LIMIT = {"beam_size": 5, "max_length": 20, "truncate": True, "early_stopping": "never", "rerank_weight": 0}
"""Beam search as `generate` does it, token for token."""


def ours(
    threads: int, source: str | None, model: str | None, options: dict[str, str], photos: list[str], decoding: Any
) -> Tasks:
    """showtell, of this tree or of the one at `source`; `options` of `Captioner.load`, `decoding`: changed settings."""
    if source is not None:
        sys.path.insert(0, source)
    from showtell import Captioner
    from showtell.core.decode import decode

    assert source is None or sys.modules["showtell"].__path__[0].startswith(source), "another tree was imported before"
    captioner = Captioner.load(model, threads, **options)
    settings = captioner.settings(**decoding)
    stepper, tokenizer, language = captioner.stepper, captioner.bundle.tokenizer, captioner.languages[0]

    @cache
    def pixels() -> Any:
        return _pixels_of(captioner.bundle.manifest.pixels, photos)

    @cache
    def memory() -> Any:
        return stepper.encode(pixels())

    def search(memory: Any) -> list[list[int]]:
        found = decode(stepper, memory, len(photos), tokenizer, language, settings)
        return [hypotheses[0].tokens.tolist() for hypotheses in found]

    return {
        "decode": lambda: search(memory()),
        "from pixels": lambda: search(stepper.encode(pixels())),
        "photo": lambda: captioner.caption(photos[0], decode=settings).text,
        "bulk": lambda: [row.captions[0].text for row in captioner.caption_many(photos, decode=settings)],
    }


def generate(threads: int, source: str, photos: list[str]) -> Tasks:
    """transformers, with the built-in model's weights of the tree `source`."""
    import torch
    from baselines.generate import Generator
    from PIL import Image

    from showtell.core.bundle import builtin, load_bundle

    torch.set_num_threads(threads)
    network, bundle = builtin_network(Path(source)), load_bundle(builtin())
    tokenizer, manifest = bundle.tokenizer, bundle.manifest
    (bos,) = tokenizer.prompt_ids("en")
    generator = Generator(network.decoder, bos, tokenizer.eos_id, 0, tokenizer.banned_ids)
    settings = manifest.decode.model_copy(update=LIMIT)
    size, mean, std = manifest.pixels.size, manifest.pixels.mean, manifest.pixels.std

    @torch.inference_mode()
    def regions(paths: list[str]) -> Any:
        images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for path in paths]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2) / 255
        pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        return network.decoder.encoder_norm(network.decoder.embed_regions(network.encoder(pixels)))

    encoded = torch.cat([regions(photos[n : n + 4]) for n in range(0, len(photos), 4)])
    return {
        "decode": lambda: generator.captions(encoded, settings),
        "photo": lambda: tokenizer.decode(generator.captions(regions(photos[:1]), settings)[0]),
    }


def uncached_transformer(threads: int, source: str, photos: list[str]) -> Tasks:
    import torch
    from baselines.uncached_transformer import Captioner

    from showtell.core.bundle import builtin, load_bundle

    torch.set_num_threads(threads)
    network, bundle = builtin_network(Path(source)), load_bundle(builtin())
    tokenizer, settings = bundle.tokenizer, bundle.manifest.decode
    (bos,) = tokenizer.prompt_ids("en")
    captioner = Captioner(network.decoder, bos, tokenizer.eos_id, tokenizer.banned_ids)
    pixels = torch.from_numpy(_pixels_of(bundle.manifest.pixels, photos))
    with torch.inference_mode():
        regions = torch.cat([
            network.decoder.encoder_norm(network.decoder.embed_regions(network.encoder(pixels[n : n + 4])))
            for n in range(0, len(pixels), 4)
        ])  # fmt: skip
    length = LIMIT["max_length"], settings.length_penalty
    return {"decode": lambda: [captioner.caption(each, LIMIT["beam_size"], *length) for each in regions]}


def attention_lstm(threads: int, decoder_settings: Any, grid: int, channels: int, vocab_size: int, length: int,
                   photos: list[str], beam_size: int) -> Tasks:  # fmt: skip
    """The network of `models.patch_bundle` with these arguments."""
    import torch
    from baselines.attention_lstm import Captioner

    from showtell.settings import PixelSettings

    torch.set_num_threads(threads)
    network = patch_network(decoder_settings, grid, channels, vocab_size)
    captioner = Captioner(network.decoder, bos=3, eos=2)
    pixels = torch.from_numpy(_pixels_of(PixelSettings(size=grid * 16), photos))
    with torch.inference_mode():
        features = network.regions(pixels)
    return {"from pixels": lambda: [captioner.caption(each, beam_size, length) for each in features]}


def encoder_alone(threads: int, graph: str, runtime: str, model: str | None, photos: list[str]) -> Tasks:
    from baselines.encoder_alone import runner

    from showtell.core.bundle import builtin, load_bundle

    bundle = load_bundle(Path(model) if model else builtin())
    run, pixels = runner(Path(graph), runtime, threads), _pixels_of(bundle.manifest.pixels, photos)
    return {"bulk": lambda: run(pixels)}


def _pixels_of(settings: Any, photos: list[str]) -> Any:
    from showtell.core.image import load_image
    from showtell.core.pixels import to_pixels

    return np.stack([to_pixels(load_image(photo), settings) for photo in photos])
