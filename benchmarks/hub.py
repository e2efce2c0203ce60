"""An imported captioner against Hugging Face's `generate`: same weights, same tokens, float32 on both sides.

    python benchmarks/hub.py FOLDER [NAME...]

NAME is a public model in `MODELS`, default blip-base. No weights are downloaded: a checkpoint of its shapes with random
weights is made in FOLDER, as the hub would have it, and imported by `showtell import` in half precision and in int8.
Random weights write captions of the maximum length, so both sides decode 19 tokens.

Ours and theirs are two processes that take turns, since ONNX Runtime and torch in one process fight for threads;
times are medians of interleaved rounds. Memory is the peak of each process. Captions may differ in few places: theirs
have the checkpoint's weights, ours those in half precision, and transformers resizes photos by torchvision.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROUNDS = 5
PHOTOS = 16
BEAM = 5
MODELS: dict[str, str] = {
    "blip-base": "Salesforce/blip-image-captioning-base",
    "blip-large": "Salesforce/blip-image-captioning-large",
    "git-base": "microsoft/git-base-coco",
    "git-large": "microsoft/git-large-coco",
    "vit-gpt2": "nlpconnect/vit-gpt2-image-captioning",
}


# --- checkpoints of public shapes, with random weights ---


def make_checkpoint(name: str, folder: Path) -> None:
    import torch

    torch.manual_seed(0)
    model, tokenizer, processor = {"blip": blip, "git": git, "vit": vit_gpt2}[name.split("-")[0]](
        name.endswith("large")
    )
    for parameter in model.parameters():  # public models have no two words of nearly equal probability; nor has this
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, float(parameter.mean()), 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)


def word_pieces(size: int) -> Any:
    """A BERT tokenizer with a vocabulary of that size."""
    from transformers import BertTokenizerFast

    special = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    words += [f"##{w}" for w in words]
    made = (prefix + a + b + c for prefix in ("", "##") for a in "bcdfghklmnprstvwz" for b in "aeiou" for c in LETTERS)
    vocabulary = [*special, *words, *made]
    vocabulary += [f"word{n}" for n in range(size - len(vocabulary))]
    return BertTokenizerFast(vocab={token: n for n, token in enumerate(vocabulary[:size])})


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def blip(is_large: bool) -> tuple[Any, Any, Any]:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    width = 1024 if is_large else 768
    vision = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 24 if is_large else 12}
    vision |= {"num_attention_heads": width // 64, "image_size": 384, "patch_size": 16}
    text = {"vocab_size": 30524, "hidden_size": 768, "encoder_hidden_size": width, "num_attention_heads": 12}
    config = BlipConfig(text_config={**text, "bos_token_id": 30522, "sep_token_id": 102}, vision_config=vision)
    return BlipForConditionalGeneration(config), word_pieces(30522), BlipImageProcessor()


def git(is_large: bool) -> tuple[Any, Any, Any]:
    from transformers import CLIPImageProcessor, GitConfig, GitForCausalLM

    width, patch = (1024, 14) if is_large else (768, 16)
    vision = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": 24 if is_large else 12}
    vision |= {"num_attention_heads": width // 64, "image_size": 224, "patch_size": patch}
    model = GitForCausalLM(GitConfig(vision_config=vision, num_hidden_layers=6))
    return model, word_pieces(30522), CLIPImageProcessor()


def vit_gpt2(is_large: bool) -> tuple[Any, Any, Any]:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Config, GPT2TokenizerFast, ViTConfig, ViTImageProcessor
    from transformers import VisionEncoderDecoderConfig as Config
    from transformers import VisionEncoderDecoderModel as Model

    end = 50256
    decoder = GPT2Config(is_decoder=True, add_cross_attention=True)
    config = Config.from_encoder_decoder_configs(ViTConfig(), decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = end, end, end
    model = Model(config=config)
    model.generation_config.decoder_start_token_id, model.generation_config.pad_token_id = end, end
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(f"Ġword{n}" for n in range(end - len(letters))), "<|endoftext|>"]
    tokenizer = GPT2TokenizerFast(vocab={token: n for n, token in enumerate(vocabulary)}, merges=[])
    return model, tokenizer, ViTImageProcessor()


# --- the two sides, each in its own process ---


def ours(bundle: str, photos: list[str], pipe: Connection) -> None:
    from showtell import Captioner

    captioner = Captioner.load(bundle)
    bulk = captioner.settings(beam_size=BEAM)

    answer(
        pipe,
        lambda: captioner.caption(photos[0]).text,
        lambda: [row.captions[0].text for row in captioner.caption_many(photos, batch_size=PHOTOS, decode=bulk)],
    )


def theirs(folder: str, photos: list[str], pipe: Connection) -> None:
    import torch
    from PIL import Image
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
    from transformers import BlipForConditionalGeneration as Blip
    from transformers import GitForCausalLM as Git
    from transformers import VisionEncoderDecoderModel as EncoderDecoder

    kinds = {"blip": Blip, "git": Git, "vision-encoder-decoder": EncoderDecoder}
    model = kinds[AutoConfig.from_pretrained(folder).model_type].from_pretrained(folder).eval()
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)

    @torch.inference_mode()
    def captions(paths: list[str], **options: Any) -> list[str]:
        images = [Image.open(path).convert("RGB") for path in paths]
        ids = model.generate(pixel_values=processor(images, return_tensors="pt").pixel_values, **options)
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    answer(
        pipe,
        lambda: captions(photos[:1], num_beams=1)[0],
        lambda: captions(photos, num_beams=BEAM, early_stopping="never"),
    )


def answer(pipe: Connection, one: Callable[[], Any], many: Callable[[], Any]) -> None:
    """Run what the other end of the pipe asks for, until it asks for memory."""
    tasks = {"one": one, "many": many}
    pipe.send("ready")
    while (task := pipe.recv()) != "memory":
        begin = time.perf_counter()
        result = tasks[task]()
        pipe.send((time.perf_counter() - begin, result))
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


class Side:
    def __init__(self, target: Callable[..., None], model: Path, photos: list[str]) -> None:
        self.pipe, end = get_context("spawn").Pipe()
        self.process = get_context("spawn").Process(target=target, args=(str(model), photos, end))
        self.process.start()
        self.pipe.recv()

    def ask(self, task: str) -> Any:
        self.pipe.send(task)
        return self.pipe.recv()


def compare(name: str, checkpoint: Path, bundles: dict[str, Path], photos: list[str]) -> None:
    sides = {"generate": Side(theirs, checkpoint, photos)}
    sides |= {precision: Side(ours, bundle, photos) for precision, bundle in bundles.items()}
    for task, what in (("one", "one photo, greedy"), ("many", f"{PHOTOS} photos, beam {BEAM}")):
        times: dict[str, list[float]] = {side: [] for side in sides}
        results = {side: sides[side].ask(task)[1] for side in sides}  # and to warm up
        for _ in range(ROUNDS):
            for side in sides:
                times[side].append(sides[side].ask(task)[0])
        median = {side: statistics.median(values) for side, values in times.items()}
        for side in bundles:
            ratios = sorted(a / b for a, b in zip(times["generate"], times[side], strict=True))
            pairs = list(
                zip(*([r] if isinstance(r, str) else r for r in (results[side], results["generate"])), strict=True)
            )
            note = f"same captions: {sum(a == b for a, b in pairs)} of {len(pairs)}"
            print(
                f"| {name} | {what} | {side} | {median['generate']:.2f} s | {median[side]:.2f} s | "
                f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {note} |",
                flush=True,
            )
    peak = {side: sides[side].ask("memory") for side in sides}
    for side in bundles:
        print(f"| {name} | peak memory | {side} | {peak['generate']:.0f} MiB | {peak[side]:.0f} MiB | "
              f"{peak['generate'] / peak[side]:.2f} | |")  # fmt: skip
    for side in sides.values():
        side.process.join()


# --- import, start, installed size ---


def run(command: list[str]) -> tuple[float, float]:
    """Seconds and peak MiB of a command."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def start(name: str, checkpoint: Path, bundles: dict[str, Path], photo: str) -> None:
    """A new process to its first caption."""
    commands = {
        side: [sys.executable, "-m", "showtell", "caption", photo, "--model", str(b)] for side, b in bundles.items()
    }
    commands["generate"] = [sys.executable, str(Path(__file__)), "--first", str(checkpoint), photo]
    times: dict[str, list[float]] = {side: [] for side in commands}
    for _ in range(3):
        for side, command in commands.items():
            times[side].append(run(command)[0])
    theirs_median = statistics.median(times["generate"])
    for side in bundles:
        median = statistics.median(times[side])
        print(f"| {name} | new process to first caption | {side} | {theirs_median:.1f} s | {median:.1f} s | "
              f"{theirs_median / median:.2f} | |", flush=True)  # fmt: skip


def installed(*names: str) -> float:
    """MiB of these distributions and of all that they need, without extras."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            seen.discard(name)
            continue
        for text in needs:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    sizes = (Path(str(f.locate())) for name in seen for f in metadata.files(name) or [])
    return sum(path.stat().st_size for path in sizes if path.is_file()) / 2**20


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photos = make_photos(folder)
    print("| model | measurement | ours | generate | ours | ratio | |\n|---|---|---|---|---|---|---|")
    for name in names:
        checkpoint, bundles = folder / name, {p: folder / f"{name}-{p}" for p in ("half", "int8")}
        if not (checkpoint / "config.json").exists():
            make_checkpoint(name, checkpoint)
        for precision, bundle in bundles.items():
            if not bundle.exists():
                command = [sys.executable, "-m", "showtell", "import", str(checkpoint), str(bundle)]
                seconds, peak = run([*command, "--precision", precision])
                size = sum(f.stat().st_size for f in bundle.iterdir()) / 2**20
                source = sum(f.stat().st_size for f in checkpoint.iterdir()) / 2**20
                print(f"| {name} | import: {seconds:.0f} s, peak {peak:.0f} MiB | {precision} | {source:.0f} MiB | "
                      f"{size:.0f} MiB | {source / size:.2f} | |", flush=True)  # fmt: skip
        compare(name, checkpoint, bundles, photos)
        start(name, checkpoint, bundles, photos[0])
    ours_size, theirs_size = installed("showtell"), installed("transformers", "torch", "torchvision", "pillow")
    print(f"| | installed size | | {theirs_size:.0f} MiB | {ours_size:.0f} MiB | {theirs_size / ours_size:.1f} | |")
    print(f"\n{json.dumps({n: metadata.version(n) for n in ('transformers', 'torch', 'onnxruntime')})}")


def make_photos(folder: Path) -> list[str]:
    """JPEGs of 500 x 375 pixels, as Flickr has them: smooth random colours with noise."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    paths = []
    for n in range(PHOTOS):
        patches = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((500, 375))
        noisy = np.asarray(patches, np.int16) + random.integers(-20, 20, (375, 500, 1), dtype=np.int16)
        path = folder / f"photo{n}.jpg"
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(str(path))
    return paths


if __name__ == "__main__":
    if sys.argv[1:2] == ["--first"]:
        first, other = get_context("spawn").Pipe()
        other.send("one"), other.send("memory")
        theirs(sys.argv[2], sys.argv[3:], first)
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        main(Path(sys.argv[1]), sys.argv[2:] or ["blip-base"])
