import re

import pytest

from showtell.data.scenes import Scene, Thing, all_scenes, scene_captions
from showtell.errors import BadConfig

CIRCLE = Thing("circle", "red", "small")
SQUARE = Thing("square", "blue", "big")


def test_a_scene_of_one_thing() -> None:
    scene = Scene((CIRCLE,), "top")
    assert scene_captions(scene, "en") == ("a small red circle is at the top", "there is a small red circle at the top")
    assert scene_captions(scene, "ar") == ("دائرة حمراء صغيرة في الأعلى", "هناك دائرة حمراء صغيرة في الأعلى")


def test_a_scene_of_two_things_is_told_from_both_sides() -> None:
    assert scene_captions(Scene((CIRCLE, SQUARE), "beside"), "en") == (
        "a small red circle is to the left of a big blue square",
        "there is a small red circle to the left of a big blue square",
        "a big blue square is to the right of a small red circle",
        "there is a big blue square to the right of a small red circle",
    )
    assert scene_captions(Scene((CIRCLE, SQUARE), "over"), "ar") == (
        "دائرة حمراء صغيرة فوق مربع أزرق كبير",
        "هناك دائرة حمراء صغيرة فوق مربع أزرق كبير",
        "مربع أزرق كبير تحت دائرة حمراء صغيرة",
        "هناك مربع أزرق كبير تحت دائرة حمراء صغيرة",
    )


def test_no_sentence_is_said_of_two_scenes() -> None:
    for language in ("en", "ar"):
        said = [caption for scene in all_scenes() for caption in scene_captions(scene, language)]
        assert len(said) == len(set(said))


def test_arabic_adjectives_agree_with_their_noun() -> None:
    feminine = re.compile(r"(دائرة|نجمة) (حمراء|خضراء|زرقاء|صفراء|سوداء) (صغيرة|كبيرة)\b")
    masculine = re.compile(r"(مربع|مثلث) (أحمر|أخضر|أزرق|أصفر|أسود) (صغير|كبير)\b")
    for scene in all_scenes():
        for caption in scene_captions(scene, "ar"):
            assert len(feminine.findall(caption)) + len(masculine.findall(caption)) == len(scene.things), caption


def test_the_language_is_small() -> None:
    words = {word for scene in all_scenes() for caption in scene_captions(scene, "en") for word in caption.split()}
    assert len(words) == 25


def test_another_language_is_refused() -> None:
    with pytest.raises(BadConfig, match="no captions in 'arr'; did you mean 'ar'"):
        scene_captions(Scene((CIRCLE,), "top"), "arr")
