from pathlib import Path

from PIL import Image

from showtell.view.data_plots import draw_data


def test_it_draws_one_language_or_two_and_data_without_dev(tmp_path: Path) -> None:
    one = {"en": (0, 0, 3, 5, 2)}, {"en": (9, 4, 2, 1, 1)}, {"en": [(1, 5, 0.98), (2, 3, 0.9), (5, 1, None)]}
    two = tuple({**each, "ar": each["en"]} for each in one)
    pictures = []
    for name, data in (("one", one), ("two", two), ("none", ({}, {}, {}))):
        draw_data(*data, tmp_path / f"{name}.png")
        pictures.append(Image.open(tmp_path / f"{name}.png").convert("RGB"))
    assert all(min(picture.size) > 300 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 3
