from pathlib import Path

import numpy as np
import pytest
import torch

from showtell.core.tokenizer import Tokenizer
from showtell.records import Sample
from showtell.train.augment import is_mirrored
from showtell.train.batches import PAD, Batch, Photo, batches, group_photos

WORDS = ["a", "dog", "left", "of", "right", "cat", "the", "on", "and", "big", "small", "red", "blue", "runs"]


def sample(name: str, captions: list[str], language: str = "en") -> Sample:
    return Sample(name, Path(name), tuple(captions), "train", language)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """120 photos with one to five captions of one to eleven words, some of left and right."""
    random = np.random.default_rng(0)
    return [
        sample(f"{i}.jpg", [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(1 + i % 5)])
        for i in range(120)
    ]


@pytest.fixture(scope="module")
def text(samples: list[Sample]) -> Tokenizer:
    return Tokenizer.build((caption for s in samples for caption in s.captions), ["en", "ar"], 1)


@pytest.fixture(scope="module")
def taken(samples: list[Sample], text: Tokenizer) -> list[Photo]:
    return group_photos(samples, text, max_length=8)


def plan(taken: list[Photo], text: Tokenizer, **changes: int) -> list[Batch]:
    return batches(taken, text, **{"batch_size": 7, "views": 3, "seed": 5, "epoch": 2, **changes})


def equal(one: Batch, other: Batch) -> bool:
    return (
        np.array_equal(one.images, other.images)
        and np.array_equal(one.views, other.views)
        and len(one.slots) == len(other.slots)
        and all(map(torch.equal, one.slots, other.slots))
    )


def captions(batch: Batch, row: int) -> list[list[int]]:
    """What is written in one photo's row of all slots."""
    rows = [[token for token in slot[row, 0].tolist() if token != PAD] for slot in batch.slots]
    return [ids for ids in rows if ids]


# --- photos


def test_captions_in_several_languages_come_together(text: Tokenizer) -> None:
    both = [sample("1.jpg", ["a dog"]), sample("2.jpg", ["a cat"]), sample("1.jpg", ["a red"], "ar")]
    first, second = group_photos(both, text, 8)
    assert first.sample.name == "1.jpg" and second.sample.name == "2.jpg"
    assert [ids[0] for ids in first.tokens] == [*text.prompt_ids("en"), *text.prompt_ids("ar")]
    assert [text.decode(ids[1:-1]) for ids in first.tokens] == ["a dog", "a red"]
    assert first.languages == ["en", "ar"] and second.languages == ["en"]


def test_captions_begin_and_end_and_are_cut_off(text: Tokenizer) -> None:
    (photo,) = group_photos([sample("1.jpg", ["a dog runs left and right on and on", "left cat"])], text, 4)
    assert photo.tokens == [
        [*text.prompt_ids("en"), *text.tokens_to_ids(["a", "dog", "runs", "left"]), text.eos_id],
        [*text.prompt_ids("en"), *text.tokens_to_ids(["left", "cat"]), text.eos_id],
    ]
    assert photo.length == 6 + 4
    assert [text.decode(ids[1:-1]) for ids in photo.mirrored] == ["a dog runs right", "right cat"]


# --- batches


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_every_photo_comes_once_in_an_epoch(taken: list[Photo], text: Tokenizer, size: int) -> None:
    epoch = plan(taken, text, batch_size=size)
    assert sorted(np.concatenate([batch.images for batch in epoch])) == list(range(120))
    assert len(epoch) == -(-120 // size)  # what the schedule counts on
    assert all(0 < len(batch.images) <= size for batch in epoch)


def test_an_epoch_depends_on_seed_and_number_alone(taken: list[Photo], text: Tokenizer) -> None:
    first = plan(taken, text)
    np.random.seed(1)
    torch.manual_seed(1)
    assert all(map(equal, first, plan(taken, text)))
    for change in ({"epoch": 3}, {"seed": 6}):
        other = plan(taken, text, **change)
        assert not any(map(equal, first, other))
        company = [{frozenset(batch.images.tolist()) for batch in epoch} for epoch in (first, other)]
        assert len(company[0] & company[1]) < len(first) / 2


def test_every_caption_is_there_mirrored_exactly_where_the_photo_is(taken: list[Photo], text: Tokenizer) -> None:
    seen, turned = 0, 0
    for batch in plan(taken, text):
        for row, (image, view) in enumerate(zip(batch.images, batch.views, strict=True)):
            mirrored = is_mirrored(5, int(image), int(view))
            wanted = taken[image].mirrored if mirrored else taken[image].tokens
            assert sorted(captions(batch, row)) == sorted(wanted)
            seen, turned = seen + 1, turned + (mirrored and taken[image].mirrored != taken[image].tokens)
    assert seen == 120 and turned > 20


def test_tokens_are_counted_after_the_prompt(
    taken: list[Photo], text: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prompt in ([3], [3, 6, 7]):
        monkeypatch.setattr(Tokenizer, "prompt_ids", lambda self, language, prompt=prompt: prompt)
        for batch in plan(taken, text, views=1):
            ids = [ids for image in batch.images for ids in taken[image].tokens]
            assert batch.tokens == sum(map(len, ids)) - len(prompt) * len(ids)


def test_all_views_are_used_and_no_others(taken: list[Photo], text: Tokenizer) -> None:
    views = np.concatenate([batch.views for batch in plan(taken, text)])
    assert set(views) == {0, 1, 2} and np.bincount(views).min() > 20
    assert all((batch.views == 0).all() for batch in plan(taken, text, views=1))
    over_time = {view for epoch in range(20) for b in plan(taken, text, epoch=epoch) for view in b.views[b.images == 3]}
    assert over_time == {0, 1, 2}


def test_slots_are_padded_on_the_right_only(taken: list[Photo], text: Tokenizer) -> None:
    for batch in plan(taken, text):
        for slot in batch.slots:
            assert slot.dtype == torch.int64 and slot.shape[:2] == (len(batch.images), 1)
            real = slot[:, 0] != PAD
            assert (real.long().diff(dim=1) <= 0).all()  # once padding begins, it goes on
            assert real.any(0).all()  # no column of nothing but padding
            for tokens, count in zip(slot[:, 0], real.sum(1), strict=True):
                if count:
                    assert [tokens[0]] == text.prompt_ids("en") and tokens[count - 1] == text.eos_id
                    assert (tokens[1 : count - 1] > text.prompt_ids("ar")[0]).all()


def test_slot_n_has_the_nth_shortest_caption_of_every_photo(taken: list[Photo], text: Tokenizer) -> None:
    for batch in plan(taken, text):
        assert len(batch.slots) == max(len(taken[image].tokens) for image in batch.images)
        for row, image in enumerate(batch.images):
            lengths = [int((slot[row] != PAD).sum()) for slot in batch.slots]
            count = len(taken[image].tokens)
            assert lengths[:count] == sorted(len(ids) for ids in taken[image].tokens)
            assert lengths[count:] == [0] * (len(batch.slots) - count)


def test_photos_of_like_length_stand_together(taken: list[Photo], text: Tokenizer) -> None:
    epoch = batches(taken, text, batch_size=7, views=1, seed=0, epoch=0)
    spread = [max(lengths) - min(lengths) for lengths in ([taken[i].length for i in b.images] for b in epoch)]
    lengths = [photo.length for photo in taken]
    assert np.mean(spread) < (max(lengths) - min(lengths)) / 3  # seven photos at random span more than half of it
    order = [min(taken[i].length for i in batch.images) for batch in epoch]
    assert order != sorted(order)  # but not the short ones first


def test_a_small_set_makes_other_batches_in_every_epoch(taken: list[Photo], text: Tokenizer) -> None:
    """Not one pool, in which the same photos of like length would meet again and again."""
    epochs = [batches(taken[:56], text, batch_size=7, views=1, seed=0, epoch=e) for e in range(2)]
    first, second = ({frozenset(map(int, b.images)) for b in epoch} for epoch in epochs)
    assert len(first & second) <= 2


def test_captions_are_drawn_anew_in_every_epoch(text: Tokenizer) -> None:
    """Two in each language, of five and one; order and views of the photos are those of an epoch with all."""
    words = ["dog", "cat", "big", "small", "red"]
    both = [s for n in range(40) for s in (sample(f"{n}.jpg", words), sample(f"{n}.jpg", ["runs"], "ar"))]
    photos = group_photos(both, text, 8)
    starts = [text.prompt_ids(language)[0] for language in ("en", "ar")]
    drawn = [plan(photos, text, epoch=epoch, captions_per_language=2) for epoch in (0, 0, 1)]
    assert all(map(equal, *drawn[:2]))
    everything: set[tuple[int, ...]] = set()
    for batch in (batch for epoch in drawn for batch in epoch):
        for row in range(len(batch.images)):
            kept = captions(batch, row)
            assert sorted(ids[0] for ids in kept) == sorted([starts[0], starts[0], starts[1]])
            assert len({tuple(ids) for ids in kept}) == 3
            everything |= {tuple(ids) for ids in kept}
        assert batch.tokens == 3 * 2 * len(batch.images)
    assert len(everything) == 6
    of_each = [{int(i): captions(b, r) for b in epoch for r, i in enumerate(b.images)} for epoch in drawn]
    assert sum(of_each[0][i] != of_each[2][i] for i in range(40)) > 0
    views = [{int(i): int(v) for b in epoch for i, v in zip(b.images, b.views, strict=True)} for epoch in drawn]
    assert views[0] == {
        int(i): int(v) for b in plan(photos, text, epoch=0) for i, v in zip(b.images, b.views, strict=True)
    }
