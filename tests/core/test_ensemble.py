"""Ensembles: by hand, and against a plain reference that asks every member about every sentence from its start."""

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests import skips
from tests.fake_stepper import FakeStepper, NextWord, history, random_ngram, script
from tests.manifests import write_manifest
from tests.rounding import EXP_LOG, SCORE_BOUND, gamma

from showtell import Captioner
from showtell.core.beam import beam_search
from showtell.core.bundle import MANIFEST, Bundle, builtin, load_bundle
from showtell.core.decode import decode
from showtell.core.ensemble import Ensemble, check_together, log_mean_exp
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.pixels import to_pixels
from showtell.core.rules import AnyRule, MaxLength, NoRepeatNgram
from showtell.core.search import Hypothesis, greedy
from showtell.core.stepper import Floats
from showtell.core.teacher_forced import score_captions
from showtell.errors import BadBundle, BadConfig
from showtell.files import sha256
from showtell.settings import DecodeSettings

END, START, A, B = 0, 1, 2, 3
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))


# --- scripted networks


def test_the_mean_by_hand() -> None:
    """Alone the first says A B and the second B; together A is worth 0.35, B 0.45, and after B they disagree."""
    one = script(4, {(): {A: 0.6, B: 0.3, END: 0.1}, (A,): {B: 1}, (A, B): {END: 1}, (B,): {A: 0.75, END: 0.25}})
    two = script(4, {(): {A: 0.1, B: 0.6, END: 0.3}, (B,): {END: 1}, (B, A): {END: 0.5}})
    stepper = Ensemble([FakeStepper([one]), FakeStepper([two])])
    (found,) = greedy(stepper, stepper.encode([[0], [0]]), np.array([[START]]), END, [], attention=True)
    assert found.tokens.tolist() == [B]
    np.testing.assert_allclose(np.exp(found.log_probs), [0.45, 0.625], rtol=1e-5)
    assert found.attention is not None
    np.testing.assert_allclose(found.attention, [history(0, [START])])
    # What the first alone calls impossible can be said all the same.
    reading = score_captions(stepper, stepper.encode([[0], [0]]), [[[START, B, A, END], [START, A, B, END]]])[0]
    assert reading.tokens == 6
    np.testing.assert_allclose(reading.loss, -np.log([0.45, 0.375, 0.25, 0.35, 0.5, 0.5]).sum(), rtol=1e-5)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_mean_of_what_is_very_small_or_impossible() -> None:
    none = -np.inf
    one, two = np.array([-200, -200, none, none, 0], np.float32), np.array([-200, none, -300, none, none], np.float32)
    expected = [-200, -200 - np.log(2), -300 - np.log(2), none, -np.log(2)]
    np.testing.assert_allclose(log_mean_exp([one, two]), expected, rtol=gamma(EXP_LOG + 2))
    assert log_mean_exp([one, two]).dtype == np.float32 and one[3] == none and two[4] == none, "inputs stay"


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_mean_of_equals_is_that_to_the_last_bit(count: int) -> None:
    table = np.random.default_rng(1).normal(-9, 8, (3, 5, 50)).astype(np.float32)
    np.testing.assert_array_equal(log_mean_exp([table] * count), table)


def averaged(networks: Sequence[NextWord]) -> NextWord:
    def next_word(read: tuple[int, ...]) -> Floats:
        with np.errstate(divide="ignore"):
            mean = np.log(np.mean([np.exp(network(read).astype(np.float64)) for network in networks], axis=0))
        return mean.astype(np.float32)

    return next_word


def same(found: Sequence[Sequence[Hypothesis]], expected: Sequence[Sequence[Hypothesis]]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        if [h.tokens.tolist() for h in ours] != [h.tokens.tolist() for h in theirs]:
            # Sentences that are as good as each other may change places.
            np.testing.assert_allclose([h.log_prob for h in ours], [h.log_prob for h in theirs], atol=1e-4)
            continue
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.log_probs, b.log_probs, atol=1e-4)
            assert (a.attention is None) == (b.attention is None)
            if a.attention is not None and b.attention is not None:
                np.testing.assert_allclose(a.attention, b.attention, atol=1e-5)


@settings(max_examples=settings().max_examples // 3)  # an example is five searches
@given(seed=st.integers(0, 2**32 - 1), members=st.integers(2, 4), order=st.permutations(range(3)))
def test_a_search_is_that_of_one_network_with_the_mean_probabilities(seed: int, members: int, order: list[int]) -> None:
    """Through widening, reordering and leaving of images; and it does not depend on the batch."""
    random = np.random.default_rng(seed)
    tables = [[random_ngram(random, 6, 3, impossible=0.2) for _ in order] for _ in range(members)]
    ensemble = Ensemble([FakeStepper(networks) for networks in tables])
    single = FakeStepper([averaged(each) for each in zip(*tables, strict=True)])
    starts, rules = random.integers(6, size=len(order)), [NoRepeatNgram(2)]
    numbers = [order] * members

    def found(stepper: Ensemble | FakeStepper, images: Any, starts: Any) -> list[list[Hypothesis]]:
        return beam_search(stepper, stepper.encode(images), starts[:, None], END, rules, 3, 6, 0.7, 2, attention=True)

    together = found(ensemble, numbers, starts[order])
    same(together, found(single, order, starts[order]))
    for image, hypotheses in zip(order, together, strict=True):
        (alone,) = found(ensemble, [[image]] * members, starts[[image]])
        assert [h.tokens.tolist() for h in alone] == [h.tokens.tolist() for h in hypotheses]
        for a, b in zip(alone, hypotheses, strict=True):
            np.testing.assert_array_equal(a.log_probs, b.log_probs)


class NarrowStepper(FakeStepper):
    """It divides a photo into fewer regions."""

    def step(self, tokens: Any, state: Any) -> Any:
        step = super().step(tokens, state)
        return type(step)(step.log_probs, step.state, step.attention[:, :, :9])


def test_no_attention_unless_all_can_say_it_of_equally_many_regions() -> None:
    network, rules = script(4, {(): {A: 1}, (A,): {END: 1}}), [MaxLength(3, END)]

    def looked(other: FakeStepper) -> Floats | None:
        stepper = Ensemble([FakeStepper([network]), other])
        memory, checked = stepper.encode([[0], [0]]), list[AnyRule](rules)
        return greedy(stepper, memory, np.array([[START]]), END, checked, attention=True)[0].attention

    assert looked(FakeStepper([network])) is not None
    assert looked(FakeStepper([network], attention=False)) is None
    assert looked(NarrowStepper([network])) is None


# --- the built-in model and changed copies of it


def changed(folder: Path, **changes: Any) -> Path:
    """A copy of the built-in model whose manifest says something else."""
    shutil.copytree(builtin(), folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(folder, {**manifest, **changes})
    return folder


def pixels(**changes: Any) -> dict[str, Any]:
    return {**load_bundle(builtin()).manifest.pixels.model_dump(mode="json"), **changes}


@pytest.mark.parametrize("beam", [1, 5])
def test_a_model_with_itself_writes_what_it_writes(beam: int) -> None:
    one, twice = Captioner.load(threads=1), Captioner.load([builtin(), str(builtin())], threads=1)
    alone, together = (
        [row.captions for row in each.caption_many(EXAMPLES, num=min(beam, 2), decode=each.settings(beam_size=beam))]
        for each in (one, twice)
    )
    assert [[(c.text, c.score, c.words) for c in each] for each in together] == [
        [(c.text, c.score, c.words) for c in each] for each in alone
    ]
    attended, expected = (each.caption(EXAMPLES[0], attention=True).attention for each in (twice, one))
    assert attended is not None and expected is not None
    np.testing.assert_array_equal(attended, expected)


def test_one_folder_in_a_list_is_one_model() -> None:
    assert isinstance(Captioner.load([builtin()], threads=1).stepper, OnnxStepper)
    with pytest.raises(BadBundle, match="expected one or more"):
        Captioner.load([])


def test_a_photo_is_loaded_once_and_seen_as_each_member_wants_it(tmp_path: Path) -> None:
    other = changed(tmp_path / "other", pixels=pixels(crop_mode="center", mean=(0.3, 0.3, 0.3)))
    loaded = []

    def photo(path: Path) -> Callable[[], Image.Image]:
        def load() -> Image.Image:
            loaded.append(path)
            with Image.open(path) as image:
                return image.convert("RGB")

        return load

    ensemble, few = Captioner.load([builtin(), other], threads=1), EXAMPLES[:3]
    how = ensemble.settings(beam_size=2, rerank_weight=0)
    rows = ensemble.caption_many([photo(path) for path in few], attention=True, batch_size=2, decode=how)
    found = [row.captions[0] for row in rows]
    assert sorted(loaded) == few
    expected = reference([load_bundle(builtin()), load_bundle(other)], few, how)
    assert [caption.text for caption in found] == [text for text, _ in expected]
    assert [caption.score for caption in found] == pytest.approx([score for _, score in expected], abs=SCORE_BOUND)
    # Regions of the whole photo and of its centre are not the same places.
    assert all(caption.attention is None for caption in found)
    alone = [row.captions[0].score for row in Captioner.load(threads=1).caption_many(few, decode=how)]
    assert all(abs(caption.score - score) > 2 * SCORE_BOUND for caption, score in zip(found, alone, strict=True))


def test_settings_are_the_first_one_s_and_lengths_what_all_can_write(tmp_path: Path) -> None:
    usual = load_bundle(builtin()).manifest.decode
    decoding = {**usual.model_dump(mode="json"), "beam_size": 2, "max_length": 8}
    calibration = {"en": {"slope": 1.0, "intercept": 5.0}}
    short = changed(tmp_path / "short", max_length=8, decode=decoding, calibration=calibration)
    long_first, short_first = Captioner.load([builtin(), short]), Captioner.load([short, builtin()])
    assert (long_first.settings().beam_size, short_first.settings().beam_size) == (usual.beam_size, 2)
    assert long_first.settings().max_length == 8, "the second has no positions for more"
    with pytest.raises(BadConfig, match="found max_length 9; this model writes at most 8 tokens"):
        long_first.caption(EXAMPLES[0], decode=long_first.settings(max_length=9))
    caption = short_first.caption(EXAMPLES[0])
    assert caption.confidence == pytest.approx(np.exp(caption.score)), "a calibration of one says nothing of both"
    assert Captioner.load(short).caption(EXAMPLES[0]).confidence > 0.95
    (reading,) = long_first.score_captions([EXAMPLES[0]], [["a dog " * 20]])
    assert reading is not None and reading.tokens == 9


def test_members_that_write_other_words_are_refused(tmp_path: Path) -> None:
    other = changed(tmp_path / "other")
    file = other / "tokenizer.json"
    words = file.read_text(encoding="utf-8").replace('"dog"', '"gnu"')
    file.write_text(words, encoding="utf-8")
    manifest = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][file.name] = {"sha256": sha256(file), "size": file.stat().st_size}
    write_manifest(other, manifest)
    with pytest.raises(BadBundle) as raised:
        Captioner.load([builtin(), builtin(), other])
    assert str(other) in str(raised.value) and str(builtin()) in str(raised.value)
    assert "train both on the same captions" in str(raised.value) and "\n" not in str(raised.value)


def test_members_of_other_languages_are_refused(tmp_path: Path) -> None:
    first = load_bundle(builtin())

    def bundle(path: str, *languages: str) -> Bundle:
        return Bundle(Path(path), first.manifest.model_copy(update={"languages": languages}), first.tokenizer)

    check_together([bundle("here", "ar", "en"), bundle("elsewhere", "en", "ar")])
    with pytest.raises(BadBundle, match=r"elsewhere: found languages en, ar; expected en, as here has them"):
        check_together([bundle("here", "en"), bundle("elsewhere", "en", "ar")])


# --- against a reference


def reference(
    bundles: Sequence[Bundle], photos: Sequence[Path | np.ndarray], how: DecodeSettings
) -> list[tuple[str, float]]:
    """Captions with their scores by networks that, for every word, read the whole sentence again, a photo at a time."""
    steppers = [OnnxStepper(bundle.encoder, bundle.decoder, 1) for bundle in bundles]

    def network(bundle: Bundle, stepper: OnnxStepper, photo: Path | np.ndarray) -> NextWord:
        image = Image.fromarray(photo) if isinstance(photo, np.ndarray) else Image.open(photo).convert("RGB")
        memory = stepper.encode(to_pixels(image, bundle.manifest.pixels)[None])

        def next_word(read: tuple[int, ...]) -> Floats:
            state = stepper.init_state(memory)
            for token in read:
                step = stepper.step(np.array([[token]]), state)
                state = step.state
            last: Floats = step.log_probs[0, 0]
            return last

        return next_word

    networks = [
        averaged([network(bundle, stepper, photo) for bundle, stepper in zip(bundles, steppers, strict=True)])
        for photo in photos
    ]
    text, slow = bundles[0].tokenizer, FakeStepper(networks)
    found = decode(slow, slow.encode(range(len(photos))), len(photos), text, "en", how)
    return [(text.decode(best.tokens), best.score) for best, *_ in found]


CAPTIONS = ["a red dog runs on the green grass", "two dogs sit by a small blue boat", "a child jumps over the wall"]
SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    "transformer": (96, {"kind": "transformer", "width": 64, "layers": 1, "heads": 4, "ffn_dim": 64}),
    "attention": (64, {"kind": "attention", "width": 64, "embedding_dim": 32, "attention_dim": 48}),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two kinds of networks for photos of two sizes, with random weights made so lively that words differ."""
    torch = pytest.importorskip("torch", reason=skips.PACKAGES)
    pytest.importorskip("timm", reason=skips.PACKAGES)
    pytest.importorskip("onnxscript", reason=skips.PACKAGES)
    from showtell.config import parse_recipe
    from showtell.core.tokenizer import Tokenizer
    from showtell.export.bundle import export_run
    from showtell.nets.captioning_model import CaptioningModel
    from showtell.train.run_folder import RunFolder
    from showtell.train.state import save_weights

    folder = tmp_path_factory.mktemp("exported")
    for seed, (name, (size, decoder)) in enumerate(SMALL.items()):
        encoder = {"name": "test_efficientnet", "pretrained": False, "pixels": {"size": size}}
        raw = {"model": {"encoder": encoder, "decoder": decoder}, "decode": {"beam_size": 3, "max_length": 8}}
        run, recipe = RunFolder(folder / f"{name}.run"), parse_recipe({**raw, "text": {"max_length": 10}}, "test")
        run.open(recipe)
        Tokenizer.build(CAPTIONS, ["en"], 1).save(run.tokenizer)
        torch.manual_seed(seed)
        model = CaptioningModel(recipe.model, run.load_tokenizer().vocab_size, 10)
        with torch.no_grad():
            for parameter in model.decoder.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
        scores = {"epoch": 1, "step": 1, "scores": {"en": {"CIDEr": 0.5}, "CIDEr": 0.5}}
        save_weights(run.best, model, scores)
        run.best_scores.write_text(json.dumps(scores), encoding="utf-8")
        export_run(run.path, folder / name)
    return {name: folder / name for name in SMALL}


def photos(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    coarse = random.integers(256, size=(count, 5, 7, 3), dtype=np.uint8)
    return [each.repeat(20, 0).repeat(20, 1) for each in coarse]


@pytest.mark.parametrize("members", [["transformer", "attention"], ["attention", "attention", "transformer"]])
@pytest.mark.parametrize("beam", [1, 3])
def test_exported_models_write_what_the_reference_writes(
    exported: dict[str, Path], members: list[str], beam: int
) -> None:
    ensemble = Captioner.load([exported[name] for name in members], threads=1)
    how = ensemble.settings(beam_size=beam)
    found = [row.captions[0] for row in ensemble.caption_many(photos(6), decode=how, batch_size=4, attention=True)]
    expected = reference([load_bundle(exported[name]) for name in members], photos(6), how)
    assert [caption.text for caption in found] == [text for text, _ in expected]
    assert [caption.score for caption in found] == pytest.approx([score for _, score in expected], abs=SCORE_BOUND)
    assert all(caption.attention is None for caption in found), "grids of 3 x 3 and of 2 x 2"
    alone = Captioner.load(exported[members[0]], threads=1).caption_many(photos(6), decode=how)
    assert [caption.text for caption in found] != [row.captions[0].text for row in alone]


def test_exported_models_read_captions_together(exported: dict[str, Path]) -> None:
    bundles = [load_bundle(exported[name]) for name in SMALL]
    ensemble = Captioner.load(list(exported.values()), threads=1)
    captions = [["a dog", "two dogs sit"], ["the wall"], ["a child jumps over the boat"]]
    found = list(ensemble.score_captions(photos(3), captions, batch_size=2))
    for photo, each, reading in zip(photos(3), captions, found, strict=True):
        assert reading is not None and reading.tokens == sum(len(caption.split()) + 1 for caption in each)
        loss = -sum(
            np.log(np.mean([chances(bundle, photo, caption) for bundle in bundles], 0)).sum() for caption in each
        )
        assert reading.loss == pytest.approx(loss, abs=SCORE_BOUND * reading.tokens)


def chances(bundle: Bundle, photo: np.ndarray, caption: str) -> np.ndarray:
    """The probability of each true word and of the end, by one model: [T + 1]."""
    stepper, ids = OnnxStepper(bundle.encoder, bundle.decoder, 1), bundle.tokenizer.encode(caption, "en")
    state = stepper.init_state(stepper.encode(to_pixels(Image.fromarray(photo), bundle.manifest.pixels)[None]))
    found = []
    for token, true in pairwise(ids):
        step = stepper.step(np.array([[token]]), state)
        state = step.state
        found.append(np.exp(float(step.log_probs[0, 0, true])))
    return np.array(found)


def test_an_ensemble_s_caption_does_not_depend_on_the_batch_it_came_in(exported: dict[str, Path]) -> None:
    ensemble = Captioner.load([exported["transformer"], exported["attention"]], threads=1)
    drawn = photos(9)
    alone = [ensemble.caption(photo) for photo in drawn]
    random = np.random.default_rng(4)
    for size in (2, 3, 5, 9):
        order = random.permutation(len(drawn)).tolist()
        together = ensemble.caption_many([drawn[n] for n in order], batch_size=size)
        for n, row in zip(order, together, strict=True):
            assert row.captions[0].text == alone[n].text
            assert row.captions[0].score == pytest.approx(alone[n].score, abs=SCORE_BOUND)
