"""Export: what the bundle writes is what the network writes, and a bundle that does not is refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from showtell import Captioner
from showtell.config import parse_recipe
from showtell.core.bundle import load_bundle
from showtell.core.decode import decode
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.text import Text
from showtell.errors import BadConfig, ExportMismatch
from showtell.export import bundle as export_bundle
from showtell.export.bundle import export_run, load_run
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder
from showtell.train.state import save_weights

CAPTIONS = ["a red dog runs on the green grass", "two dogs sit by a small blue boat", "a child jumps over the wall"]
DECODERS = {
    "transformer": {"kind": "transformer", "width": 64, "layers": 2, "heads": 4, "feed_forward": 64},
    "attention": {"kind": "attention", "width": 64, "embedding": 32, "attention": 48},
}


def recipe(decoder: str) -> Recipe:
    encoder = {"name": "test_efficientnet", "random": True, "pixels": {"size": 96}}
    decoding = {"beam": 3, "max_length": 8}
    raw = {
        "data": "folder:/home/alice/photos",
        "model": {"encoder": encoder, "decoder": DECODERS[decoder]},
        "text": {"max_words": 10},
        "decode": decoding,
    }
    return parse_recipe(raw, "test")


def make_run(folder: Path, decoder: str) -> RunFolder:
    """A run folder as training leaves it, but with random weights, made lively so that words differ between images."""
    run, settings = RunFolder(folder), recipe(decoder)
    run.open(settings)
    Text.build(CAPTIONS, ["en"], 1).save(run.tokenizer)
    torch.manual_seed(0)
    model = CaptioningModel(settings.model, run.text().size, 10)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    scores = {"epoch": 1, "step": 1, "scores": {"en": {"CIDEr": 0.5}, "CIDEr": 0.5}}
    save_weights(run.best, model, scores)
    run.best_scores.write_text(json.dumps(scores), encoding="utf-8")
    return run


@pytest.fixture(scope="module", params=DECODERS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    run = make_run(folder / "run", request.param)
    parity = export_run(run.path, folder / "bundle")
    assert parity.same == parity.images == 8 and parity.largest < 1e-3
    return run, folder / "bundle"


def steppers(exported: tuple[RunFolder, Path]) -> tuple[TorchStepper, OnnxStepper, Text, Recipe]:
    run, path = exported
    model, text, settings = load_run(run)
    bundle = load_bundle(path)
    return TorchStepper(model), OnnxStepper(bundle.encoder, bundle.decoder, 1), text, settings


def test_onnx_follows_torch_word_by_word(exported: tuple[RunFolder, Path]) -> None:
    """Through widening, reordering and leaving of images, with sizes that the export never saw."""
    torch_stepper, onnx_stepper, text, _ = steppers(exported)
    random = np.random.default_rng(1)
    pixels = random.normal(size=(5, 3, 96, 96)).astype(np.float32)
    states = [stepper.start(stepper.encode(pixels)) for stepper in (torch_stepper, onnx_stepper)]
    tokens = np.full((5, 1), text.starts["en"])
    for images, width in [(5, 1), (5, 4), (3, 4), (3, 2), (1, 2), (1, 1)]:
        chosen = np.sort(random.permutation(tokens.shape[0])[:images])
        a, b = (s.step(tokens, state) for s, state in zip((torch_stepper, onnx_stepper), states, strict=True))
        np.testing.assert_allclose(a.log_probs, b.log_probs, atol=1e-4)
        assert a.attention is not None and b.attention is not None
        np.testing.assert_allclose(a.attention, b.attention, atol=1e-5)
        beams = random.integers(tokens.shape[1], size=(images, width))
        states = [torch_stepper.select(a.state, chosen, beams), onnx_stepper.select(b.state, chosen, beams)]
        tokens = random.integers(text.size, size=(images, width))


def test_both_write_the_same_captions(exported: tuple[RunFolder, Path]) -> None:
    torch_stepper, onnx_stepper, text, settings = steppers(exported)
    pixels = np.random.default_rng(2).normal(size=(16, 3, 96, 96)).astype(np.float32)
    ours, theirs = (decode(s, s.encode(pixels), 16, text, "en", settings.decode) for s in (torch_stepper, onnx_stepper))
    assert [text.decode(h[0].words) for h in ours] == [text.decode(h[0].words) for h in theirs]


def test_the_bundle_captions_photos(exported: tuple[RunFolder, Path]) -> None:
    caption = Captioner.load(exported[1], threads=1).caption(np.zeros((50, 70, 3), np.uint8), attention=True)
    assert caption.text and caption.attention is not None and caption.attention.shape == (len(caption.words), 3, 3)


def test_large_weights_are_stored_in_half_and_computed_in_single_precision(exported: tuple[RunFolder, Path]) -> None:
    graph = onnx.load(str(exported[1] / "decoder.onnx")).graph
    kinds = {t.data_type for t in graph.initializer if np.prod(t.dims) >= 1024}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert {i.type.tensor_type.elem_type for i in graph.input} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def test_no_path_of_this_machine_is_in_the_bundle(exported: tuple[RunFolder, Path]) -> None:
    home = str(Path(__file__).parents[2]).encode()
    for file in exported[1].iterdir():
        content = file.read_bytes()
        assert b"alice" not in content, file.name
        assert home not in content and str(exported[0].path).encode() not in content, file.name


def test_a_network_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", "attention")
    faithful = export_bundle.export_graphs

    def unfaithful(model: CaptioningModel, size: int, folder: Path) -> None:
        before = model.decoder.words.weight.detach().clone()
        with torch.no_grad():
            model.decoder.words.weight.mul_(1.5)
        faithful(model, size, folder)
        with torch.no_grad():
            model.decoder.words.weight.copy_(before)

    monkeypatch.setattr(export_bundle, "export_graphs", unfaithful)
    with pytest.raises(ExportMismatch, match="nothing was written"):
        export_run(run.path, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_decode_settings_may_change_after_training_and_nothing_else(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "transformer")
    export_run(run.path, tmp_path / "bundle", changes=["decode.beam=2", "decode.length_exponent=1.5"])
    found = load_bundle(tmp_path / "bundle").manifest
    expected = run.recipe().decode.model_copy(update={"beam": 2, "length_exponent": 1.5})
    assert found.decode == expected != run.recipe().decode
    longest = found.longest
    for change, message in [
        ("train.epochs=3", "only settings such as decode.beam=8 can change"),
        (f"decode.max_length={longest + 1}", f"writes at most {longest} words"),
        ("decode.bean=3", "did you mean 'beam'"),
    ]:
        with pytest.raises(BadConfig, match=message):
            export_run(run.path, tmp_path / "other", changes=[change])
    assert not (tmp_path / "other").exists()


def test_a_run_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no run folder"):
        load_run(RunFolder(tmp_path))
    RunFolder(tmp_path / "run").open(recipe("transformer"))
    Text.build(CAPTIONS, ["en"], 1).save(tmp_path / "run" / "tokenizer.json")
    with pytest.raises(BadConfig, match="no best model yet"):
        load_run(RunFolder(tmp_path / "run"))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "transformer")
    run.best.write_bytes(b"not safetensors")
    with pytest.raises(BadConfig, match=r"model\.safetensors: does not fit"):
        load_run(run)
