"""How defects are planted into whole data sets.

A defect is planted in the files of a format (`data_sets`), and gives the words of the line that must name it: the file
and the line, or the name of the photo, and what is wrong.
"""

from __future__ import annotations

import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from torture.data_sets import Photo, png

Words = tuple[str, ...]


class Planting(NamedTuple):
    """Where a defect goes."""

    folder: Path
    items: list[Photo]
    rng: random.Random

    def train(self) -> Photo:
        return self.rng.choice([photo for photo in self.items if photo.split == "train"])

    def dev(self) -> Photo:
        return self.rng.choice([photo for photo in self.items if photo.split == "dev"])

    def file_of(self, photo: Photo) -> Path:
        return next(self.folder.rglob(photo.name))


class Defect(NamedTuple):
    format: str
    plant: Callable[[Planting], Words | list[Words]]
    """Returns the words of its line, or of each of its lines."""


def change_photo(make: Callable[[Photo], bytes], *words: str) -> Callable[[Planting], Words]:
    def plant(p: Planting) -> Words:
        photo = p.train()
        p.file_of(photo).write_bytes(make(photo))
        return photo.name, *words

    return plant


def missing_photos(p: Planting) -> list[Words]:
    chosen = p.rng.sample(p.items, p.rng.randint(1, 4))
    for photo in chosen:
        p.file_of(photo).unlink()
    return [(f"{photo.name}: missing",) for photo in chosen]


def rewrite_table(p: Planting) -> tuple[Path, list[str]]:
    """The CSV in UTF-8 with commas, one line for each caption, and its lines."""
    lines = ["image,caption,split"]
    lines += [f"{photo.name},A dog {n}.,{photo.split}" for photo in p.items for n, _ in enumerate(photo.captions)]
    return p.folder / "t.csv", lines


def in_table(change: Callable[[Planting, list[str], int], object], *words: str) -> Callable[[Planting], Words]:
    """`change` one line of a table; it must be named by its number."""

    def plant(p: Planting) -> Words:
        file, lines = rewrite_table(p)
        at = p.rng.randrange(1, len(lines))
        change(p, lines, at)
        file.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape") + b"\n")
        return f"t.csv, line {at + 1}", *words

    return plant


def caption(text: str, *words: str) -> Callable[[Planting], Words]:
    """One caption of a table is another; the photo must be named."""

    def plant(p: Planting) -> Words:
        file, lines = rewrite_table(p)
        at = p.rng.randrange(1, len(lines))
        name, _, split = lines[at].split(",")
        lines[at] = f'{name},"{text}",{split}'
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return name, *words

    return plant


def set_line(make: Callable[[str], str]) -> Callable[[Planting, list[str], int], object]:
    return lambda p, lines, at: lines.__setitem__(at, make(lines[at]))


def without_header(p: Planting) -> Words:
    file, lines = rewrite_table(p)
    file.write_text("\n".join(["picture_of,says,part", *lines[1:]]) + "\n", encoding="utf-8")
    return "t.csv, line 1", "columns"


def in_two_splits(p: Planting) -> Words:
    file, lines = rewrite_table(p)
    photo = p.train()
    file.write_text("\n".join([*lines, f"{photo.name},A dog.,test"]) + "\n", encoding="utf-8")
    return f"t.csv, line {len(lines) + 1}", photo.name, "'test'", "'train'"


def copy_under_another_name(split: str) -> Callable[[Planting], Words]:
    def plant(p: Planting) -> Words:
        file, lines = rewrite_table(p)
        photo = p.train()
        (p.folder / "copy.png").write_bytes(p.file_of(photo).read_bytes())
        file.write_text("\n".join([*lines, f"copy.png,A dog.,{split}"]) + "\n", encoding="utf-8")
        return photo.name, "copy.png", "the same file"

    return plant


def near_copy(p: Planting) -> Words:
    file, lines = rewrite_table(p)
    photo = p.train()
    image = Image.fromarray(photo.pixels)
    image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST).save(p.folder / "copy.jpg", quality=80)
    file.write_text("\n".join([*lines, "copy.jpg,A dog.,dev"]) + "\n", encoding="utf-8")
    return photo.name, "copy.jpg", "look the same, in different splits"


def photo_without_row(p: Planting) -> Words:
    Photo("extra.png", "train", [], p.items[0].pixels[::-1]).write(p.folder / "extra.png")
    return "extra.png", "no caption"


def in_lines(name: str, change: Callable[[list[str], int], object], *words: str) -> Callable[[Planting], Words]:
    """`change` one line of a text file; it must be named by its number, unless the words do otherwise."""

    def plant(p: Planting) -> Words:
        file = p.folder / name
        lines = file.read_text(encoding="utf-8").splitlines()
        at = p.rng.randrange(1, len(lines))
        change(lines, at)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return f"{name}, line {at + 1}", *words

    return plant


def name_in_two_lists(p: Planting) -> Words:
    file, photo = p.folder / "testImages.txt", p.train()
    lines = [*file.read_text(encoding="utf-8").split(), photo.name]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"testImages.txt, line {len(lines)}", photo.name, "trainImages.txt, line"


def listed_without_caption(p: Planting) -> Words:
    file = p.folder / "devImages.txt"
    lines = [*file.read_text(encoding="utf-8").split(), "none.png"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"devImages.txt, line {len(lines)}", "none.png", "no caption"


def in_json(pattern: str, change: Callable[[dict, random.Random], Words]) -> Callable[[Planting], Words]:  # type: ignore[type-arg]
    """`change` the first file of the pattern; it must be named."""

    def plant(p: Planting) -> Words:
        file = min(p.folder.rglob(pattern))
        document = json.loads(file.read_text(encoding="utf-8"))
        words = change(document, p.rng)
        file.write_text(json.dumps(document), encoding="utf-8")
        return file.name, *words

    return plant


def cut(pattern: str, *words: str) -> Callable[[Planting], Words]:
    def plant(p: Planting) -> Words:
        file = min(p.folder.rglob(pattern))
        data = file.read_bytes()
        content = len(data.rstrip(b"\0"))  # behind it a tar has zeros, of which it needs a few only
        file.write_bytes(data[: int(content * p.rng.uniform(0.3, 0.9))])
        return file.name, *words

    return plant


def _unlisted(document: dict, rng: random.Random) -> Words:  # type: ignore[type-arg]
    document["annotations"].insert(rng.randrange(3), {"image_id": 999, "caption": "A dog."})
    return ("a caption of image 999",)


def _two_of_an_id(document: dict, rng: random.Random) -> Words:  # type: ignore[type-arg]
    first = document["images"][0]
    document["images"].append({"id": first["id"], "file_name": "other.png"})
    return first["file_name"], "other.png", "id"


def _empty_caption(document: dict, rng: random.Random) -> Words:  # type: ignore[type-arg]
    chosen = rng.choice(document["annotations"])
    chosen["caption"] = " "
    name = next(image["file_name"] for image in document["images"] if image["id"] == chosen["image_id"])
    return "an empty caption", name


def _unknown_split(document: dict, rng: random.Random) -> Words:  # type: ignore[type-arg]
    chosen = rng.choice(document["images"])
    chosen["split"] = "holdout"
    return "'holdout'", chosen["filename"]


def _no_sentences(document: dict, rng: random.Random) -> Words:  # type: ignore[type-arg]
    chosen = rng.choice(document["images"])
    chosen["sentences"] = []
    return chosen["filename"], "empty caption or none"


def beside(name: str, data: bytes, *words: str) -> Callable[[Planting], Words]:
    """A file more in the folder of the training split."""

    def plant(p: Planting) -> Words:
        (p.folder / "train" / name).write_bytes(data)
        return f"train/{name}", *words

    return plant


def without_text(p: Planting) -> Words:
    photo = p.train()
    p.file_of(photo).with_suffix(".txt").unlink()
    return f"train/{photo.name}", "no caption"


def empty_text(p: Planting) -> Words:
    photo = p.train()
    p.file_of(photo).with_suffix(".txt").write_text(" \n")
    return f"train/{photo.name}", "no caption", "is empty"


def text_in_latin_1(p: Planting) -> Words:
    text = p.file_of(p.train()).with_suffix(".txt")
    text.write_bytes("A dog.\nA café.".encode("latin-1"))
    return f"{text.name}, line 2", "0xe9", "not UTF-8"


def two_of_a_stem(p: Planting) -> Words:
    photo = p.train()
    Image.fromarray(photo.pixels[::-1]).save(p.file_of(photo).with_suffix(".jpg"))
    return Path(photo.name).stem, "beside it", "one image for each stem"


def beside_the_splits(p: Planting) -> Words:
    (p.folder / "lost.png").write_bytes(png(p.items[0]))
    (p.folder / "lost.txt").write_text("A dog.")
    return "lost.png", "beside the split folders"


def leak_by_name(p: Planting) -> Words:
    """The same name in two splits, with other pixels."""
    photo = p.train()
    Photo(photo.name, "dev", [], 255 - photo.pixels).write(p.folder / "dev" / photo.name)
    (p.folder / "dev" / photo.name).with_suffix(".txt").write_text("A dog.")
    return photo.name, "in several splits"


def in_tar(change: Callable[[tarfile.TarFile, Photo], object], *words: str) -> Callable[[Planting], Words]:
    """Members more at the end of the first tar of the training split."""

    def plant(p: Planting) -> Words:
        photo = next(photo for photo in p.items if photo.split == "train")
        with tarfile.open(p.folder / "train-000.tar", "a") as tar:
            change(tar, photo)
        return "train-000", *words

    return plant


def _link(tar: tarfile.TarFile, photo: Photo) -> None:
    member = tarfile.TarInfo("link.png")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar.addfile(member)


def parquet_without(column: str, *words: str) -> Callable[[Planting], Words]:
    def plant(p: Planting) -> Words:
        import pyarrow.parquet

        file = p.folder / "t.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(file).drop_columns([column]), file)
        return "t.parquet", *words

    return plant


def parquet_caption(value: object, *words: str) -> Callable[[Planting], Words]:
    def plant(p: Planting) -> Words:
        import pyarrow
        import pyarrow.parquet

        file = p.folder / "t.parquet"
        rows = pyarrow.parquet.read_table(file).to_pydict()
        rows["captions"][p.rng.randrange(len(rows["captions"]))] = value
        pyarrow.parquet.write_table(pyarrow.table(rows), file)
        return "t.parquet", *words

    return plant
