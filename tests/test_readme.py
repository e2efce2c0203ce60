"""What README and docs say of formats is what the registry has."""

import re
from pathlib import Path

from showtell.image_formats import DECODED

ROOT = Path(__file__).parents[1]


def test_the_readme_names_every_format_that_is_decoded() -> None:
    (sentence,) = re.findall(r"Photos may be (.*?);", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    formats = [f.name for f in DECODED if f.extra is None]
    extras = {f.name: f.extra for f in DECODED if f.extra is not None}
    assert sentence.replace("\n", " ") == f"{', '.join(formats)} or, with `pip install '.[heif]'`, HEIC"
    assert extras == {"HEIC": "heif"}
