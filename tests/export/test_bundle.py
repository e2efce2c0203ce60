"""Export: what the bundle writes is what the network writes, and a bundle that does not is refused."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tests.export.tiny_runs import CAPTIONS, make_run, recipe
from tests.rounding import assert_rounding

from showtell import Captioner
from showtell.core.bundle import load_bundle
from showtell.core.decode import decode
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadConfig, ExportMismatch
from showtell.export import bundle as export_bundle
from showtell.export.bundle import export_run, load_run
from showtell.export.quantize import quantize
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder


def steppers(exported: tuple[RunFolder, Path]) -> tuple[TorchStepper, OnnxStepper, Tokenizer, Recipe]:
    run, path = exported
    model, text, settings = load_run(run)
    bundle = load_bundle(path)
    return TorchStepper(model), OnnxStepper(bundle.encoder, bundle.decoder, 1), text, settings


def test_onnx_follows_torch_word_by_word(exported: tuple[RunFolder, Path]) -> None:
    """Through widening, reordering and leaving of images, with sizes that the export never saw."""
    torch_stepper, onnx_stepper, text, _ = steppers(exported)
    exact_stepper = TorchStepper(copy.deepcopy(torch_stepper.model).double())
    random = np.random.default_rng(1)
    pixels = random.normal(size=(5, 3, 96, 96)).astype(np.float32)
    networks = [(onnx_stepper, pixels), (torch_stepper, pixels), (exact_stepper, pixels.astype(np.float64))]
    states = [stepper.init_state(stepper.encode(seen)) for stepper, seen in networks]
    tokens = np.full((5, 1), text.prompt_ids("en")[0])
    log_probs, attention = [], []
    for images, width in [(5, 1), (5, 4), (3, 4), (3, 2), (1, 2), (1, 1)]:
        chosen = np.sort(random.permutation(tokens.shape[0])[:images])
        steps = [stepper.step(tokens, state) for (stepper, _), state in zip(networks, states, strict=True)]
        best = onnx_stepper.step(tokens, states[0], 3)  # a state may be stepped from twice
        np.testing.assert_array_equal(best.tokens, np.argsort(-steps[0].log_probs, 2, "stable")[:, :, :3])
        np.testing.assert_array_equal(best.log_probs, -np.sort(-steps[0].log_probs, 2)[:, :, :3])
        log_probs.append([step.log_probs.ravel() for step in steps])
        attention.append([step.attention.ravel() for step in steps])
        beams = random.integers(tokens.shape[1], size=(images, width))
        states = [s.reorder(step.state, chosen, beams) for (s, _), step in zip(networks, steps, strict=True)]
        tokens = random.integers(text.vocab_size, size=(images, width))
    for quantity in (log_probs, attention):
        assert_rounding(*map(np.concatenate, zip(*quantity, strict=True)))


def test_both_write_the_same_captions(exported: tuple[RunFolder, Path]) -> None:
    torch_stepper, onnx_stepper, text, settings = steppers(exported)
    pixels = np.random.default_rng(2).normal(size=(16, 3, 96, 96)).astype(np.float32)
    ours, theirs = (decode(s, s.encode(pixels), 16, text, "en", settings.decode) for s in (torch_stepper, onnx_stepper))
    assert [text.decode(h[0].tokens) for h in ours] == [text.decode(h[0].tokens) for h in theirs]


def test_the_bundle_captions_photos(exported: tuple[RunFolder, Path]) -> None:
    caption = Captioner.load(exported[1], threads=1).caption(np.zeros((50, 70, 3), np.uint8), attention=True)
    assert caption.text and caption.attention is not None and caption.attention.shape == (len(caption.words), 3, 3)


def test_no_path_of_this_machine_is_in_the_bundle(exported: tuple[RunFolder, Path]) -> None:
    home = str(Path(__file__).parents[2]).encode()
    for file in exported[1].iterdir():
        content = file.read_bytes()
        assert b"alice" not in content, file.name
        assert home not in content and str(exported[0].path).encode() not in content, file.name


def exporting(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """Let an export take the graphs that are there, and not make them again."""

    def copied(model: CaptioningModel, size: int, folder: Path) -> None:
        for name in ("encoder.onnx", "decoder.onnx", "model.safetensors"):
            shutil.copy(bundle / name, folder)

    monkeypatch.setattr(export_bundle, "export_graphs", copied)


def test_a_network_that_says_something_else_is_not_written(
    exported: tuple[RunFolder, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run has another embedding than the graphs."""
    run = RunFolder(Path(shutil.copytree(exported[0].path, tmp_path / "run")))
    weights = load_file(str(run.best))
    weights["decoder.token_embedding.weight"] *= 1.5
    save_file(weights, str(run.best), {"about": "{}"})
    exporting(monkeypatch, exported[1])
    with pytest.raises(ExportMismatch, match="nothing was written"):
        export_run(run.path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_decode_settings_may_change_after_training_and_nothing_else(
    exported: tuple[RunFolder, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = exported[0]
    exporting(monkeypatch, exported[1])
    export_run(run.path, tmp_path / "bundle", changes=["decode.beam_size=2", "decode.length_penalty=1.5"])
    found = load_bundle(tmp_path / "bundle").manifest
    expected = run.recipe().decode.model_copy(update={"beam_size": 2, "length_penalty": 1.5})
    assert found.decode == expected != run.recipe().decode
    refused = [
        ("train.epochs=3", "only settings such as decode.beam_size=8 can change"),
        ("decode.beam_sizes=3", "did you mean 'beam_size'"),
    ]
    if found.max_length is not None:  # a recurrence has no positions that end
        refused.append((f"decode.max_length={found.max_length + 1}", f"writes at most {found.max_length} tokens"))
    for change, message in refused:
        with pytest.raises(BadConfig, match=message):
            export_run(run.path, tmp_path / "other", changes=[change])
    assert not (tmp_path / "other").exists()


def test_a_run_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no run folder"):
        load_run(RunFolder(tmp_path))
    RunFolder(tmp_path / "run").open(recipe("transformer"))
    Tokenizer.build(CAPTIONS, ["en"], 1).save(tmp_path / "run" / "tokenizer.json")
    with pytest.raises(BadConfig, match="no best model yet"):
        load_run(RunFolder(tmp_path / "run"))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "transformer")
    run.best.write_bytes(b"not safetensors")
    with pytest.raises(BadConfig, match=r"model\.safetensors: damaged"):
        load_run(run)


def test_eight_bits_stay_near_and_say_what_they_lose(
    exported: tuple[RunFolder, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, bundle = exported
    exporting(monkeypatch, bundle)
    loss = export_run(run.path, tmp_path / "bundle", precision="int8").int8
    assert loss is not None and loss.images == 8
    # 7 bits of a weight and 8 of an input: an error of half a percent in each of a few layers, of logits around 10.
    assert 1e-4 < loss.mean < 0.3 and loss.same >= 4
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.source == {"precision": "int8", "int8": loss.as_dict()}
    assert "model.safetensors" not in manifest.files and "decoder.onnx.data" in manifest.files
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert str(loss) in card and "not in the eight bits of this bundle" in card
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    assert Captioner.load(tmp_path / "bundle", threads=1).caption(photo).text


def test_what_eight_bits_say_of_a_photo_does_not_depend_on_the_others(
    exported: tuple[RunFolder, Path], tmp_path: Path
) -> None:
    """Their ranges would, with one scale for all rows."""
    folder = Path(shutil.copytree(exported[1], tmp_path / "bundle"))
    quantize(folder)
    stepper = OnnxStepper(folder / "encoder.onnx", folder / "decoder.onnx", 1)
    pixels = np.random.default_rng(3).normal(size=(3, 3, 96, 96)).astype(np.float32)
    pixels[1:] *= 100
    log_probs = [
        stepper.step(np.full((len(seen), 1), 3), stepper.init_state(stepper.encode(seen))).log_probs[0]
        for seen in (pixels, pixels[:1])
    ]
    np.testing.assert_allclose(*log_probs, atol=1e-4)
