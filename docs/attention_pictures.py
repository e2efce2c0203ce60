"""Draws docs/attention_en.jpg and docs/attention_ar.jpg: attention maps of the built-in model.

python docs/attention_pictures.py
"""

from pathlib import Path

from PIL import Image

from showtell import Captioner
from showtell.view.attention import sheet

ROOT = Path(__file__).parents[1]
PHOTOS = {"en": "dog.jpg", "ar": "two_dogs.jpg"}
WIDTH = 1200


def main() -> None:
    captioner = Captioner.load()
    for language, name in PHOTOS.items():
        photo = ROOT / "examples" / name
        drawn = sheet(photo, captioner.caption(photo, language=language, attention=True))
        drawn = drawn.resize((WIDTH, round(drawn.height * WIDTH / drawn.width)), Image.Resampling.LANCZOS)
        drawn.save(ROOT / "docs" / f"attention_{language}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    main()
