"""The captioner with the built-in model, on real photos and on odd ones."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from PIL import Image
from tests import bad_images
from tests.builtin_model import DOG_WORD
from tests.fake_stepper import REGIONS, FakeStepper, script
from tests.rounding import SCORE_BOUND
from tokenizers import models

from showtell import Captioner
from showtell.core.bundle import Bundle, builtin
from showtell.core.sources import ImageInput
from showtell.core.stepper import Floats, Ids
from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadConfig, BadImage

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))
DOG = next(path for path in EXAMPLES if path.stem == "dog")


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(threads=1)


def test_it_sees_what_is_on_the_photos(captioner: Captioner) -> None:
    captions = {path.stem: captioner.caption(path).text for path in EXAMPLES}
    assert DOG_WORD in captions["dog"] and "dog" in captions["two_dogs"]
    assert len(set(captions.values())) >= 4


def test_a_caption_says_how_sure_it_is(captioner: Captioner) -> None:
    caption = captioner.caption(EXAMPLES[0])
    assert caption.text == " ".join(word.text for word in caption.words)
    assert caption.language == "en"
    assert 0 < caption.confidence < 1
    # The end counts as a word, and its probability is at most 1.
    assert caption.score * (len(caption.words) + 1) <= sum(word.log_probability for word in caption.words) + 1e-5
    assert caption.attention is None


def test_attention_to_the_grid_for_every_word(captioner: Captioner) -> None:
    caption = captioner.caption(EXAMPLES[0], attention=True)
    assert caption.attention is not None
    assert caption.attention.shape == (len(caption.words), 7, 7)
    sums = caption.attention.sum((1, 2))
    assert ((sums > 0.3) & (sums < 1)).all()  # the rest is attention to tags
    assert caption.text == captioner.caption(EXAMPLES[0]).text


def test_every_kind_of_source_gives_the_same_caption(captioner: Captioner) -> None:
    path = EXAMPLES[0]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    with path.open("rb") as file:
        sources = [path, str(path), path.read_bytes(), file, Image.fromarray(pixels), pixels, ImageInput(str(path))]
        assert len({row.captions[0].text for row in captioner.caption_many(sources)}) == 1


def test_rows_come_in_order_with_bad_images_between(captioner: Captioner, tmp_path: Path) -> None:
    expected = bad_images.write_all(tmp_path)
    rows = list(captioner.caption_many(expected, batch_size=4))
    assert {row.source: row.error for row in rows} == expected
    assert [row.source for row in rows] == list(expected)
    assert all(len(row.captions) == 1 and row.captions[0].text for row in rows if row.ok)
    assert all(row.detail and not row.captions for row in rows if not row.ok)


def test_the_pixel_limit_is_an_argument_of_load_and_of_preprocess() -> None:
    photo = bad_images.encode(bad_images.photo(100, 80), "PNG")
    limited = Captioner.load(max_pixels=100 * 80 - 1)
    with pytest.raises(BadImage, match="too_large"):
        limited.preprocess(photo)
    assert [row.error for row in limited.caption_many([photo])] == ["too_large"]
    assert limited.preprocess(photo, max_pixels=100 * 80)
    with pytest.raises(BadImage, match="too_large"):
        Captioner.load().preprocess(photo, max_pixels=100 * 80 - 1)


def test_a_panorama_above_the_limit_has_a_caption(captioner: Captioner) -> None:
    wide = Image.linear_gradient("L").resize((30_000, 2_700))
    assert captioner.caption(bad_images.encode(wide, "JPEG")).text


def test_one_bad_image_raises(captioner: Captioner, tmp_path: Path) -> None:
    with pytest.raises(BadImage) as raised:
        captioner.caption(tmp_path / "none.jpg")
    assert raised.value.code == "missing"


def test_an_image_turned_by_its_camera_has_the_caption_of_the_upright_one(captioner: Captioner) -> None:
    """Of a photo with no other caption nearly as good: turned, JPEG loses other details."""
    with Image.open(EXAMPLES[1]) as image:
        turned = bad_images.rotated_jpeg(6, image.convert("RGB"))
        upright = bad_images.encode(image.convert("RGB"), "JPEG", quality=75)
    a, b = (row.captions[0] for row in captioner.caption_many([turned, upright]))
    assert a.text == b.text
    assert a.score == pytest.approx(b.score, abs=0.05)


def test_a_caption_does_not_depend_on_the_batch_it_came_in(captioner: Captioner) -> None:
    """Nor on its place there; 7 photos, so that a network's run of 4 has other neighbours, or none."""
    photos = [*EXAMPLES, *EXAMPLES[:2]]
    alone = {path: captioner.caption(path) for path in EXAMPLES}
    for size in (2, 3, len(photos)):
        for order in (photos, photos[::-1]):
            for row in captioner.caption_many(order, batch_size=size):
                assert row.captions[0].text == alone[row.source].text
                assert row.captions[0].score == pytest.approx(alone[row.source].score, abs=SCORE_BOUND)


def test_how_well_a_caption_is_read_does_not_depend_on_the_batch(captioner: Captioner) -> None:
    captions = [["a dog"] * (n + 1) + ["a dog runs over the green grass"] for n in range(len(EXAMPLES))]
    alone, together = (list(captioner.score_captions(EXAMPLES, captions, batch_size=size)) for size in (1, 4))
    for a, b in zip(alone, together, strict=True):
        assert a is not None and b is not None and a[:2] == b[:2]
        assert a.loss == pytest.approx(b.loss, abs=SCORE_BOUND * a.tokens)


def test_it_is_lazy_and_holds_two_batches_at_most(captioner: Captioner) -> None:
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield EXAMPLES[0]

    rows = captioner.caption_many(endless(), batch_size=2)
    assert taken == 0
    next(rows)
    assert taken <= 4
    for _ in range(3):
        next(rows)
    assert taken <= 6
    rows.close()


def test_rows_before_an_error_come_before_it(captioner: Captioner) -> None:
    """Of the iterable, and of a function that gives a photo."""

    def stopped() -> Iterator[Path]:
        yield from EXAMPLES[:3]
        raise ConnectionError("gone")

    def broken() -> Path:
        raise LookupError("mine")

    settings = captioner.settings(beam_size=1, max_length=3)
    for images, error in ((stopped(), ConnectionError), ([*EXAMPLES[:3], broken, EXAMPLES[0]], LookupError)):
        rows = captioner.caption_many(images, batch_size=2, decode=settings)
        assert [next(rows).source for _ in range(3)] == EXAMPLES[:3]
        with pytest.raises(error):
            next(rows)
    scores = captioner.score_captions([EXAMPLES[0], broken], [["a dog"]] * 2)
    assert next(scores) is not None
    with pytest.raises(LookupError):
        next(scores)


def test_several_captions_come_best_first_and_differ(captioner: Captioner) -> None:
    (row,) = captioner.caption_many([EXAMPLES[0]], num=3, decode=captioner.settings(length_penalty=1.0))
    assert len({c.text for c in row.captions}) == 3
    weight = captioner.settings().rerank_weight
    totals = [c.score + weight * (c.expected_cider or 0) for c in row.captions]
    assert totals == sorted(totals, reverse=True)
    own = captioner.settings(length_penalty=1.0, rerank_weight=0)
    (row,) = captioner.caption_many([EXAMPLES[0]], num=3, decode=own)
    assert [c.score for c in row.captions] == sorted((c.score for c in row.captions), reverse=True)


def test_settings_hold(captioner: Captioner) -> None:
    short = captioner.settings(max_length=3)
    assert all(len(row.captions[0].words) <= 3 for row in captioner.caption_many(EXAMPLES, decode=short))
    long = captioner.settings(min_length=9)
    assert all(len(row.captions[0].words) >= 9 for row in captioner.caption_many(EXAMPLES, decode=long))
    assert captioner.settings(beam_size=None) == captioner.bundle.manifest.decode


@pytest.mark.parametrize("options", [{"num": 9}, {"num": 0}, {"batch_size": 0}, {"language": "fr"}])
def test_what_cannot_be_done_is_said_before_the_first_image(captioner: Captioner, options: dict[str, object]) -> None:
    def never() -> Iterator[Path]:
        raise AssertionError("looked at an image")
        yield

    with pytest.raises(BadConfig, match="found"):
        captioner.caption_many(never(), **options)


def test_a_wrong_setting_names_itself(captioner: Captioner) -> None:
    with pytest.raises(BadConfig, match="beam"):
        captioner.settings(beam_size=0)


# --- a network that writes pieces of words


class OneNetwork(FakeStepper):
    """Writes the same about every photo."""

    def encode(self, pixels: Floats) -> Ids:
        return super().encode([0] * len(pixels))


def writer_of_pieces(captioner: Captioner, line: str) -> Captioner:
    """It says `line`, each piece with a probability of 1/2, 1/3, 1/4 ... and never anything else."""
    pieces = line.split()
    vocabulary = ["<pad>", "<unk>", "<end>", "<en>", *dict.fromkeys(pieces)]
    text = Tokenizer(
        tokenizers.Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(vocabulary)}, "<unk>")), ["en"]
    )
    ids = [*text.tokens_to_ids(pieces), text.eos_id]
    lines = {tuple(ids[:t]): {ids[t]: 1 / (t + 2)} for t in range(len(ids))}
    manifest = captioner.bundle.manifest.model_copy(
        update={"vocab_size": text.vocab_size, "grid": (5, REGIONS // 5), "prefix_regions": 0}
    )
    return Captioner(Bundle(captioner.bundle.path, manifest, text), OneNetwork([script(text.vocab_size, lines)]))


@pytest.mark.parametrize("beam", [1, 3])
def test_pieces_become_words(captioner: Captioner, beam: int) -> None:
    writer = writer_of_pieces(captioner, "a z ##e ##b isn ##'t b")
    caption = writer.caption(EXAMPLES[0], attention=True, decode=captioner.settings(beam_size=beam, max_length=9))
    assert caption.text == "a zeb isn't b"
    assert [word.text for word in caption.words] == ["a", "zeb", "isn't", "b"]
    probabilities = [1 / 2, 1 / 3 / 4 / 5, 1 / 6 / 7, 1 / 8]
    assert [math.exp(word.log_probability) for word in caption.words] == pytest.approx(probabilities)
    assert caption.score == pytest.approx(math.log(math.prod(probabilities) / 9) / 8)  # seven pieces and the end
    # The fake shows in its regions what it has read: the image's number, the start, then ids; -1 for nothing yet.
    assert caption.attention is not None and caption.attention.shape == (4, 5, REGIONS // 5)
    assert caption.attention.dtype == np.float32
    a, z, e, b, isn = writer.bundle.tokenizer.tokens_to_ids(["a", "z", "##e", "##b", "isn"])
    none = -1.0
    by_hand = [
        [3, none, none, none, none, none],
        [3, a, (none + z + z) / 3, (none + none + e) / 3, none, none],
        [3, a, z, e, b, (none + isn) / 2],
    ]
    np.testing.assert_allclose(caption.attention.reshape(4, -1)[:3, 1:7], by_hand, rtol=1e-6)


def test_a_caption_of_no_words(captioner: Captioner) -> None:
    settings = captioner.settings(min_length=0)
    caption = writer_of_pieces(captioner, "").caption(EXAMPLES[0], attention=True, decode=settings)
    assert (caption.text, caption.words) == ("", ()) and caption.score == pytest.approx(math.log(1 / 2))
    assert caption.attention is not None and caption.attention.shape == (0, 5, REGIONS // 5)


def test_a_model_reads_its_own_caption_as_it_wrote_it(captioner: Captioner, tmp_path: Path) -> None:
    written = captioner.caption(DOG, decode=captioner.settings(beam_size=1))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    images, captions = [DOG, broken, DOG], [[written.text], ["a dog"], [written.text, "a dog"]]
    one, none, two = captioner.score_captions(images, captions, batch_size=2)
    assert one is not None and two is not None and none is None
    assert one.tokens == one.hits == len(written.words) + 1
    assert one.loss == pytest.approx(-written.score * one.tokens, abs=SCORE_BOUND * one.tokens)
    assert two.tokens == one.tokens + 3 and two.loss > one.loss


def test_reading_says_at_once_what_cannot_be(captioner: Captioner) -> None:
    with pytest.raises(BadConfig, match="found language 'xx'"):
        captioner.score_captions([], [], language="xx")


def test_what_was_learned_of_one_model_is_not_said_of_two() -> None:
    assert Captioner.load(threads=1).calibrated == ("en", "ar", "de")
    assert Captioner.load([builtin(), builtin()], threads=1).calibrated == ()


def test_captioning_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry leaves a database and a session file where it is on."""
    for place in ("home", "tmp"):
        (tmp_path / place).mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "TMPDIR": str(tmp_path / "tmp")}
    program = "import sys; from showtell import Captioner; print(Captioner.load().caption(sys.argv[1]).text)"
    done = subprocess.run([sys.executable, "-c", program, DOG], env=environment, capture_output=True, text=True)
    assert DOG_WORD in done.stdout and done.returncode == 0
    assert [str(each) for each in tmp_path.rglob("*") if each.is_file()] == []
