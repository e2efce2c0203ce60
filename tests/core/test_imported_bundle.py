"""Bundles whose graphs share their weights, and captioners of imported models, whose captions begin with a prompt."""

import itertools
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from tests import tiny_bundle
from tests.fake_stepper import REGIONS, FakeStepper, script
from tests.manifests import write_manifest
from tests.tiny_bundle import END, START, VOCABULARY, ids, table, write

from showtell import Captioner
from showtell.core.bundle import CHECKED, MANIFEST, WEIGHTS, Bundle, builtin, load_bundle, write_bundle
from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.core.stepper import Floats, Ids
from showtell.errors import BadBundle, BadConfig
from showtell.settings import ImportedText

PHOTO = np.zeros((20, 30, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "model", tmp_path / "parts")


def test_weights_beside_the_graphs(model: Path) -> None:
    assert WEIGHTS in load_bundle(model).manifest.files
    assert Captioner.load(model, threads=1).caption(PHOTO).text == "a dog runs."  # "a" has the dog for its last word
    shutil.rmtree(model.parent / "parts")
    moved = model.rename(model.parent / "moved")
    assert Captioner.load(moved, threads=1).caption(PHOTO).text == "a dog runs."


def test_a_flipped_bit_of_the_weights_is_found(model: Path) -> None:
    data = bytearray((model / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (model / WEIGHTS).write_bytes(data)
    with pytest.raises(BadBundle, match=r"model\.safetensors: its sha256 is not the one"):
        load_bundle(model)


def test_missing_and_surplus_weights_are_named(model: Path) -> None:
    (model / WEIGHTS).rename(model / "elsewhere")
    with pytest.raises(BadBundle, match=r"model\.safetensors: cannot be read"):
        load_bundle(model)
    raw = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    del raw["files"][WEIGHTS]
    write_manifest(model, raw)
    with pytest.raises(BadBundle, match="ONNX Runtime cannot load it"):
        Captioner.load(model)
    (model / "elsewhere").rename(model / WEIGHTS)
    with pytest.raises(BadBundle, match=r"model\.safetensors: has no entry in bundle\.json; remove the file"):
        load_bundle(model)


def test_replacing_a_bundle_leaves_no_old_weights(model: Path, tmp_path: Path) -> None:
    before = load_bundle(model).fingerprint
    write(model, tmp_path / "parts", "a cat .")
    after = load_bundle(model).fingerprint
    assert before[:3] == after[:3] and before != after, "the weights alone differ"
    write_bundle(model, load_bundle(model).manifest.model_dump(exclude={"files"}), without_weights(model, tmp_path))
    assert {file.name for file in model.iterdir()} == {*CHECKED, "README.md", MANIFEST}


def without_weights(model: Path, folder: Path) -> Path:
    """The parts of a bundle whose graphs hold their own weights."""
    parts = folder / "own"
    parts.mkdir()
    for name in ("tokenizer.json", "README.md"):
        shutil.copy(model / name, parts)
    for name in ("encoder.onnx", "decoder.onnx"):
        onnx.save(onnx.load(str(model / name)), str(parts / name))
    return parts


def test_a_manifest_has_new_keys_only_where_they_say_something(model: Path, tmp_path: Path) -> None:
    new = {"prefix_regions", "imported_text", "source"}
    raw = json.loads((model / MANIFEST).read_text(encoding="utf-8"))
    assert new <= raw.keys() and raw["decode"]["truncate"] is True
    assert load_bundle(model).manifest.imported_text == tiny_bundle.manifest()["imported_text"]
    own = load_bundle(builtin()).manifest.model_dump(exclude={"files"}) | {"source": {}, "prefix_regions": 0}
    write_bundle(tmp_path / "own", own, builtin())
    raw = json.loads((tmp_path / "own" / MANIFEST).read_text(encoding="utf-8"))
    assert not new & raw.keys() and "truncate" not in raw["decode"] and "resize_size" not in raw["pixels"]
    assert load_bundle(tmp_path / "own").manifest.model_dump(exclude={"files"}) == own


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"vocab_size": VOCABULARY - 2}, "the tokenizer has 11 tokens, the network 10"),
        ({"bos_ids": (VOCABULARY,)}, f"imported_text: found the token id {VOCABULARY}; the network has {VOCABULARY}"),
        ({"eos_id": 99}, "found the token id 99"),
        ({"banned_ids": (50,)}, "found the token id 50"),
    ],
)
def test_tokens_that_the_network_does_not_have(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    text = tiny_bundle.manifest()["imported_text"]
    if "vocab_size" not in changes:
        changes = {"imported_text": text.model_copy(update=changes)}
    with pytest.raises(BadBundle, match=problem):
        load_bundle(write(tmp_path / "model", tmp_path / "parts", **changes))


def test_a_network_of_another_width_than_the_manifest_says(tmp_path: Path) -> None:
    model = write(tmp_path / "model", tmp_path / "parts", vocab_size=VOCABULARY + 1)
    with pytest.raises(BadBundle, match=f"network has {VOCABULARY} tokens, bundle.json says {VOCABULARY + 1}"):
        Captioner.load(model)


# --- prompts


def test_a_prompt_begins_the_caption(model: Path) -> None:
    captioner = Captioner.load(model, threads=1)
    caption = captioner.caption(PHOTO, prompt="a cat of")
    assert caption.prompt == "a cat of" and caption.continuation == "a dog runs."
    assert caption.text == "a cat of a dog runs." and [word.text for word in caption.words] == ["a", "dog", "runs."]
    assert [row.captions[0].text for row in captioner.caption_many([PHOTO, PHOTO], prompt="cat photo")] == [
        "cat photo of a dog runs."
    ] * 2
    again = pickle.loads(pickle.dumps(captioner))  # noqa: S301
    assert again.caption(PHOTO, prompt="a cat of") == caption


def test_the_default_prompt(tmp_path: Path) -> None:
    text = tiny_bundle.manifest()["imported_text"].model_copy(update={"prompt": "a cat of", "takes_prompt": False})
    captioner = Captioner.load(write(tmp_path / "model", tmp_path / "parts", imported_text=text), threads=1)
    assert captioner.caption(PHOTO).text == "a cat of a dog runs."
    with pytest.raises(BadConfig, match="found the prompt 'a dog'; this model takes none"):
        captioner.caption(PHOTO, prompt="a dog")


@pytest.mark.parametrize("prompt", [3, "two\nlines", "half \ud800", b"bytes"])
def test_a_prompt_that_is_no_text(model: Path, prompt: Any) -> None:
    with pytest.raises(BadConfig, match=r"prompt: found .*; expected a text of one line"):
        Captioner.load(model, threads=1).caption_many([], prompt=prompt)


def test_our_own_models_take_no_prompt() -> None:
    with pytest.raises(BadConfig, match="found the prompt ''; this model takes none, leave it out"):
        Captioner.load(threads=1).caption(PHOTO, prompt="")


def test_prompt_and_caption_share_the_positions(model: Path) -> None:
    """12 positions; the last token of a truncated caption is not read."""
    captioner = Captioner.load(model, threads=1)
    for prompt, most in (("", 12), ("a", 11), ("a photo of", 9), (" ".join(["a"] * 11), 1)):
        fits = captioner.settings(max_length=most)
        assert captioner.generation_options(prompt=prompt, decode=fits).prompt == prompt
        if most < 12:
            with pytest.raises(BadConfig, match=rf"found max_length {most + 1}; this model writes at most {most} tok"):
                captioner.generation_options(prompt=prompt, decode=captioner.settings(max_length=most + 1))
    closed = captioner.settings(max_length=9, truncate=False)
    with pytest.raises(BadConfig, match="found max_length 9; this model writes at most 8 tokens after a prompt of 4"):
        captioner.generation_options(prompt="a photo of", decode=closed)
    with pytest.raises(BadConfig, match="found a prompt of 13 tokens; this model reads at most 12, the caption among"):
        captioner.generation_options(prompt=" ".join(["a"] * 12))


def test_reference_captions_are_read_after_the_default_prompt(tmp_path: Path) -> None:
    text = tiny_bundle.manifest()["imported_text"].model_copy(update={"prompt": "a photo of"})
    captioner = Captioner.load(write(tmp_path / "model", tmp_path / "parts", imported_text=text), threads=1)
    (score,) = captioner.score_captions([PHOTO], [["a dog runs."]])
    assert score is not None and score.tokens == score.hits == 5  # the prompt is not scored
    logits, read = table().astype(np.float64), [*ids("of a dog runs ."), END]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    by_hand = -sum(log_probs[a, b] for a, b in itertools.pairwise(read))
    assert score.loss == pytest.approx(by_hand, abs=1e-4)


def test_an_ensemble_of_imported_models(model: Path, tmp_path: Path) -> None:
    same = write(tmp_path / "same", tmp_path / "parts")
    captioner = Captioner.load([model, same], threads=1)
    assert captioner.caption(PHOTO, prompt="a cat of").text == "a cat of a dog runs."
    assert captioner.has_common_grid
    other = write(tmp_path / "other", tmp_path / "parts", prefix_regions=0)
    assert not Captioner.load([model, other], threads=1).has_common_grid
    text = tiny_bundle.manifest()["imported_text"].model_copy(update={"bos_ids": (2,)})
    foreign = write(tmp_path / "foreign", tmp_path / "parts", imported_text=text)
    with pytest.raises(BadBundle, match="begins or ends its captions with other tokens"):
        Captioner.load([model, foreign], threads=1)


# --- attention and words


class OneNetwork(FakeStepper):
    """Writes the same about every photo."""

    def encode(self, pixels: Floats) -> Ids:
        return super().encode([0] * len(pixels))


def test_attention_without_prefix_regions_of_a_truncated_caption(model: Path) -> None:
    """Four tokens and no end: four log-probabilities, four maps; the first of 40 regions is no part of the photo."""
    bundle, sentence = load_bundle(model), ids("a dog runs . a")
    lines = {tuple([*ids("of"), *sentence[:t]]): {sentence[t]: 1 / (t + 2)} for t in range(5)}
    manifest = bundle.manifest.model_copy(update={"grid": (3, (REGIONS - 1) // 3)})
    writer = Captioner(Bundle(model, manifest, bundle.tokenizer), OneNetwork([script(VOCABULARY, lines)]))
    settings = writer.settings(max_length=4, beam_size=2)
    caption = writer.caption(PHOTO, attention=True, decode=settings, prompt="of")
    assert caption.text == "of a dog runs."
    assert [word.text for word in caption.words] == ["a", "dog", "runs."]
    logs = -np.log([2, 3, 4 * 5])
    np.testing.assert_allclose([word.log_probability for word in caption.words], logs, rtol=1e-5)
    assert caption.score == pytest.approx(logs.sum() / 4)
    assert caption.attention is not None and caption.attention.shape == (3, 3, 13)
    # The fake shows what it has read: the image (cut off here), the start, the prompt, then ids.
    np.testing.assert_array_equal(caption.attention.reshape(3, -1)[1, :4], [START, *ids("of a"), -1])


def test_large_photos_are_decoded_at_no_less_than_they_are_resized_to(model: Path) -> None:
    bundle = load_bundle(model)
    pixels = bundle.manifest.pixels.model_copy(update={"crop_mode": "shortest_edge", "resize_size": 40})
    manifest = bundle.manifest.model_copy(update={"pixels": pixels})
    captioner = Captioner(Bundle(model, manifest, bundle.tokenizer), FakeStepper([]))
    seen = []

    def load(source: Any, max_pixels: int, hint_size: int) -> Image.Image:
        seen.append(hint_size)
        return Image.new("RGB", (100, 50))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("showtell.core.captioner.load_image", load)
        (image,) = captioner.preprocess(PHOTO)
    assert seen == [40] and image.shape == (16, 16, 3)


def test_an_imported_tokenizer_reads_the_bundle_s_text(model: Path) -> None:
    tokenizer = load_bundle(model).tokenizer
    assert isinstance(tokenizer, ImportedTokenizer) and isinstance(tokenizer.text, ImportedText)
    assert tokenizer.prompt_ids("en", "a photo") == [START, *ids("a photo")] and tokenizer.eos_id == END
