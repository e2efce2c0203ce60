"""The sizes of the published systems, as they report them or as their layers give by hand."""

import pytest

from showtell.config import apply_overrides, parse_recipe
from showtell.nets.parameters import Row, parameter_table
from showtell.recipes import find_recipe, names

VGG16 = 138_357_544 - 4_097_000  # without fc8, which belongs to ImageNet
PUBLISHED = {  # recipe: vocabulary, trained, frozen
    "convnext-lstm": (9490, 15_239_699, 49_453_152),
    "imgcap-lstm": (4096, 29_383_680, 23_508_032),
    "imgcap-attention": (4096, 36_722_689, 23_508_032),
    "bottomup-rnn": (1004, 1_428_460, VGG16),
    "bottomup-lstm": (1004, 2_609_644, VGG16),
    "bottomup-transformer": (1004, 3_803_884, VGG16),
    "resnet152-transformer": (7736, 53_119_032, 58_143_808),
}


def table(name: str, vocabulary: int, *changes: str) -> list[Row]:
    return parameter_table(parse_recipe(apply_overrides(find_recipe(name), changes), name), vocabulary)


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_of_the_published_systems(name: str) -> None:
    vocabulary, trained, frozen = PUBLISHED[name]
    rows = table(name, vocabulary)
    assert sum(row.trainable for row in rows) == trained
    assert rows[0].part == "encoder" and rows[0].trainable == 0
    assert sum(row.frozen for row in rows) == frozen


def test_flickr8k_lstm_by_hand() -> None:
    """ResNet-50's 2,048 channels to 256; 1,000 words; two layers of LSTM with torch's two biases."""
    image, words, output = 2048 * 256 + 256, 1000 * 256, 256 * 1000 + 1000
    layers = 2 * (4 * 256 * (256 + 256) + 8 * 256)
    assert sum(row.trainable for row in table("flickr8k-lstm", 1000)) == image + words + layers + output


def test_flickr8k_attention_by_hand() -> None:
    """ResNet-101's regions; attention of 256, embedding and LSTM of 512, gate, first states; 1,000 words."""
    attention = (2048 * 256 + 256) + (512 * 256 + 256) + (256 + 1)
    states, gate = 2 * (2048 * 512 + 512), 512 * 2048 + 2048
    cell = 4 * 512 * (512 + 2048 + 512) + 8 * 512
    whole = attention + states + gate + cell + 1000 * 512 + (512 * 1000 + 1000)
    assert sum(row.trainable for row in table("flickr8k-attention", 1000)) == whole


def test_parts_and_trained_stages() -> None:
    rows = {row.part: row for row in table("convnext-lstm", 9490, "train.trainable_encoder_stages=1")}
    assert rows["encoder"].trainable > 0 and rows["encoder"].trainable + rows["encoder"].frozen == 49_453_152
    assert rows["decoder.token_embedding"] == Row("decoder.token_embedding", 9490 * 512, 0)
    assert rows["decoder.output"].trainable == 512 * 9490 + 9490


@pytest.mark.parametrize("name", names())
def test_every_recipe_can_be_counted_and_says_what_it_is(name: str) -> None:
    assert table(name, 500)
    assert parse_recipe(find_recipe(name), name).description
