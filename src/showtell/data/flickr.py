"""`flickr:DIR`: Flickr8k or Flickr30k as distributed, or the same thing under plainer names.

    captions     captions.en.txt, captions.ar.txt ... or Flickr8k.token.txt, results_20130124.token (both English):
                 NAME.jpg#0 <TAB> caption
    split lists  trainImages.txt, devImages.txt, testImages.txt, or Flickr_8k.trainImages.txt ...:  one name per line
    photos       images/, Flicker8k_Dataset/ (spelt so in the archive), flickr30k-images/

A photo may have captions in some of the languages only. Images that no list names are left out. Samples come in the
order of the lists: train, dev, test. Flickr30k has no lists of its own; without any, a hash of the name decides, and
Karpathy's usual splits are in `karpathy:`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from showtell.data.files import resolve_folder
from showtell.data.omissions import Omissions
from showtell.data.photo_finder import AmbiguousName, PhotoFinder
from showtell.data.rows import split_from_hash
from showtell.data.text_files import collapse_whitespace, read_lines
from showtell.errors import BadData, MissingImages
from showtell.languages.tags import lenient_tag
from showtell.records import Sample

IMAGE_FOLDERS = (
    *("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset"),
    *("flickr30k-images", "flickr30k_images"),
)
FLICKR30K = "results_20130124.token"
ENGLISH_FILES = ("Flickr8k.token.txt", FLICKR30K)


class _ListedImage(NamedTuple):
    """Where a split list names an image."""

    split: str
    file: Path
    line: int


class Captions(NamedTuple):
    """The captions of an image, and the line of the first."""

    line: int
    texts: list[str]


def read_flickr(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Raises BadData when a file is missing or broken, or when lists, captions and photos do not fit together."""
    root = resolve_folder(location)
    photos = _first_existing(root, IMAGE_FOLDERS)
    files = {language: _caption_file(root, language) for language in languages}
    captions = {language: read_captions(file) for language, file in files.items()}
    listed = _read_lists(root) or _all_flickr30k_images(files[languages[0]], captions[languages[0]])
    if not listed:
        raise BadData(root, "no image in any split list", "trainImages.txt, devImages.txt or testImages.txt with names")
    omissions = omissions or Omissions()
    finder = PhotoFinder(photos)
    samples = []
    missing: dict[str, tuple[Path, int]] = {}
    has_others = _InOtherLanguages(root, captions)
    # Only listed images are looked for: the archive's Flickr8k.token.txt captions one photo that it does not contain.
    for name, origin in listed.items():
        path = _find(finder, photos, name, origin)
        for language, file in files.items():
            if name not in captions[language]:
                if has_others(name):
                    continue
                found = f"{name!r}, which has no caption in {file.name}"
                raise BadData(origin.file, found, "names of images with captions", origin.line)
            line, texts = captions[language][name]
            if path is None:
                missing.setdefault(name, (file, line))
            else:
                samples.append(Sample(name, path, tuple(texts), origin.split, language))
    if missing:
        name, (file, line) = next(iter(missing.items()))
        raise MissingImages(file, photos / name, list(missing), line)
    # Not faults: the published lists leave out some of the photos, and one caption is of no photo.
    unlisted = {name for by_name in captions.values() for name in by_name} - listed.keys()
    omissions.skip("photo in no split list", len(unlisted), "photos in no split list")
    return samples


def _find(finder: PhotoFinder, photos: Path, name: str, origin: _ListedImage) -> Path | None:
    try:
        return finder.find(photos, name)
    except AmbiguousName as error:
        found = f"{name!r}, which may be {error}"
        raise BadData(origin.file, found, "the name of one photo", origin.line) from error


def _first_existing(root: Path, names: Iterable[str]) -> Path:
    options = list(names)
    for name in options:
        if (root / name).exists():
            return root / name
    raise BadData(root, f"no {' or '.join(options)}", "the files of Flickr8k: captions, split lists and photos")


def _caption_file(root: Path, language: str) -> Path:
    """`captions.pt-BR.txt`, or the same tag in another spelling, `captions.pt_br.txt`."""
    if (file := _caption_files(root).get(language)) is not None:
        return file
    return _first_existing(root, [f"captions.{language}.txt"] + [*ENGLISH_FILES] * (language == "en"))


def _caption_files(root: Path) -> dict[str, Path]:
    """All caption files by language."""
    english = [("en", root / name) for name in reversed(ENGLISH_FILES) if (root / name).exists()]
    others = [(lenient_tag(file.name.split(".")[1]), file) for file in sorted(root.glob("captions.*.txt"))]
    return dict([*english, *reversed(others)])


class _InOtherLanguages:
    """Whether an image has captions in any language of the folder. Such an image may lack them in one; an image without
    any is a mistake in the list. Files of languages that nobody asked for are read at the first question."""

    def __init__(self, root: Path, captions: dict[str, dict[str, Captions]]) -> None:
        self.root, self.captions = root, captions
        self.names: set[str] | None = None

    def __call__(self, name: str) -> bool:
        if self.names is None:
            others = (file for tag, file in _caption_files(self.root).items() if tag not in self.captions)
            everything = [*self.captions.values(), *map(read_captions, others)]
            self.names = {name for captions in everything for name in captions}
        return name in self.names


def _read_lists(root: Path) -> dict[str, _ListedImage]:
    listed: dict[str, _ListedImage] = {}
    for split in ("train", "dev", "test"):
        names = [f"{split}Images.txt", f"Flickr_8k.{split}Images.txt"]
        for file in [root / name for name in names if (root / name).exists()][:1]:
            for line, text in read_lines(file):
                name = text.strip()
                if name in listed:
                    earlier = listed[name]
                    expected = f"it once; {earlier.file.name}, line {earlier.line} has it already"
                    raise BadData(file, f"{name!r} again", expected, line)
                listed[name] = _ListedImage(split, file, line)
    return listed


def _all_flickr30k_images(file: Path, captions: dict[str, Captions]) -> dict[str, _ListedImage]:
    """All images of Flickr30k; of Flickr8k, whose lists everybody has, none."""
    if file.name != FLICKR30K:
        return {}
    return {name: _ListedImage(split_from_hash(name), file, first.line) for name, first in captions.items()}


def read_captions(file: Path) -> dict[str, Captions]:
    captions: dict[str, Captions] = {}
    keys: set[str] = set()
    for line, text in read_lines(file):
        key, tab, caption = text.partition("\t")
        key = key.strip()
        name, _, index = key.rpartition("#")
        if not tab or not name or not index.isdecimal():
            raise BadData(file, repr(text[:60]), "NAME#0, a TAB, a caption", line)
        if key in keys:
            raise BadData(file, f"{key!r} again", "each key once", line)
        keys.add(key)
        caption = collapse_whitespace(caption)
        if not caption:
            raise BadData(file, f"an empty caption for {key!r}", "words after the TAB", line)
        captions.setdefault(name, Captions(line, [])).texts.append(caption)
    return captions
