"""Bundles: whole ones load, damaged ones are refused with the first damage named."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.manifests import write_manifest

from showtell import Captioner
from showtell.core.bundle import (
    CARD,
    CHECKED,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    RERANKER,
    builtin,
    check_destination,
    is_card_edited,
    load_bundle,
    write_bundle,
)
from showtell.core.bundle_updates import write_calibration
from showtell.core.confidence import Calibration
from showtell.errors import BadBundle, OutputError
from showtell.files import sha256

DATA = ("encoder.onnx.data", "decoder.onnx.data")
"""Where the built-in model, whose linear layers compute in eight bits, has its weights."""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(builtin(), tmp_path / "model"))


def change_manifest(bundle: Path, **changes: Any) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(bundle, {**manifest, **changes})


def rehash(bundle: Path, name: str) -> None:
    """Make the manifest believe in a changed file, so that later checks are reached."""
    files = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["files"]
    files[name] = {"sha256": sha256(bundle / name), "size": (bundle / name).stat().st_size}
    change_manifest(bundle, files=files)


def test_the_builtin_model_is_whole_and_small() -> None:
    bundle = load_bundle(builtin())
    assert sum(file.stat().st_size for file in builtin().iterdir()) <= 60e6
    assert bundle.manifest.languages == ("en", "ar", "de") == tuple(bundle.manifest.calibration)
    assert {file.name for file in builtin().iterdir()} == {*CHECKED, *DATA, RERANKER, CARD, MANIFEST}


def test_a_copy_captions(bundle: Path) -> None:
    assert Captioner.load(bundle).languages == ("en", "ar", "de")


@pytest.mark.parametrize("name", [*CHECKED, *DATA, RERANKER])
def test_one_flipped_bit_is_found(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BadBundle, match=rf"{name}.*sha256"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", CHECKED)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BadBundle, match=name):
        load_bundle(bundle)


@pytest.mark.parametrize("name", CHECKED)
def test_a_file_without_a_record_is_named(bundle: Path, name: str) -> None:
    files = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))["files"]
    change_manifest(bundle, files={key: record for key, record in files.items() if key != name})
    with pytest.raises(BadBundle, match=f"has no entry for {name}"):
        load_bundle(bundle)


def test_a_git_lfs_pointer_is_called_so(bundle: Path) -> None:
    (bundle / "encoder.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(BadBundle, match=r"encoder\.onnx: found a Git LFS pointer, .*run `git lfs pull`"):
        load_bundle(bundle)


# --- the model card


@pytest.mark.parametrize("text", ["My card.", "", None])
def test_a_card_may_be_edited_and_removed(bundle: Path, text: str | None) -> None:
    before = load_bundle(bundle)
    if text is None:
        (bundle / CARD).unlink()
    else:
        (bundle / CARD).write_text(text, encoding="utf-8")
    assert load_bundle(bundle).manifest == before.manifest
    files = before.manifest.files
    change_manifest(bundle, files={name: files[name].model_dump() for name in (*CHECKED, *DATA, RERANKER)})
    assert load_bundle(bundle).fingerprint == before.fingerprint


def test_an_edited_card_is_one_after_calibration_too(bundle: Path) -> None:
    """Otherwise the next export would replace it."""
    curves = {"en": Calibration(slope=1.0, intercept=0.5)}
    assert not is_card_edited(bundle)
    (bundle / CARD).write_text("My card.", encoding="utf-8")
    write_calibration(bundle, curves)
    assert is_card_edited(bundle) and load_bundle(bundle).manifest.calibration["en"] == curves["en"]
    with pytest.raises(BadBundle, match="has been edited and would be replaced"):
        check_destination(bundle)


def test_an_edited_card_is_not_overwritten(bundle: Path) -> None:
    check_destination(bundle)
    (bundle / CARD).write_text("My card.", encoding="utf-8")
    parts, manifest = parts_and_manifest()
    with pytest.raises(BadBundle, match=r"README\.md: has been edited and would be replaced; rename it .*--card"):
        write_bundle(bundle, manifest, parts)
    assert (bundle / CARD).read_text(encoding="utf-8") == "My card."
    (bundle / CARD).rename(bundle / "mine.md")
    write_bundle(bundle, manifest, parts)
    assert (bundle / "mine.md").read_text(encoding="utf-8") == "My card."
    assert (bundle / CARD).read_bytes() == (builtin() / CARD).read_bytes()


def test_what_a_person_put_beside_a_model_stays_when_it_is_replaced(bundle: Path) -> None:
    (bundle / "LICENSE").write_text("free", encoding="utf-8")
    (bundle / ".git").mkdir()
    (bundle / ".git" / "HEAD").write_text("ref", encoding="utf-8")
    parts, manifest = parts_and_manifest()
    write_bundle(bundle, {**manifest, "showtell": "9.9"}, parts)
    assert load_bundle(bundle).manifest.showtell == "9.9"
    assert {file.name for file in bundle.iterdir()} == {*CHECKED, *DATA, RERANKER, CARD, MANIFEST, "LICENSE", ".git"}
    assert (bundle / ".git" / "HEAD").read_text(encoding="utf-8") == "ref"


def test_a_cut_file_says_how_much_is_there(bundle: Path) -> None:
    whole = (bundle / "decoder.onnx").read_bytes()
    (bundle / "decoder.onnx").write_bytes(whole[:1000])
    with pytest.raises(BadBundle, match=f"found 1000 bytes, expected {len(whole)}"):
        load_bundle(bundle)


def test_another_format_is_refused(bundle: Path) -> None:
    change_manifest(bundle, format=99)
    with pytest.raises(BadBundle, match="found bundle format 99; expected 3"):
        load_bundle(bundle)


def test_a_bundle_from_before_the_settings_were_renamed_says_what_to_do(bundle: Path) -> None:
    change_manifest(bundle, format=1)
    with pytest.raises(
        BadBundle, match="format 1, from before settings were renamed; expected 3; train and export again"
    ):
        load_bundle(bundle)


def test_a_manifest_with_an_unknown_key_is_refused(bundle: Path) -> None:
    change_manifest(bundle, surprise=1)
    with pytest.raises(BadBundle, match="surprise"):
        load_bundle(bundle)


def test_any_flipped_bit_of_the_manifest_is_found(bundle: Path) -> None:
    """Also where it makes another number, or the name of another key that may be absent."""
    write_calibration(bundle, {"en": Calibration(slope=1.0, intercept=0.5)})
    whole, undamaged = (bundle / MANIFEST).read_bytes(), load_bundle(bundle).manifest
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        (bundle / MANIFEST).write_bytes(damaged)
        with pytest.raises(BadBundle) as caught:
            load_bundle(bundle)
        assert "\n" not in str(caught.value)
    (bundle / MANIFEST).write_bytes(whole)
    assert load_bundle(bundle).manifest == undamaged


def test_a_changed_manifest_says_how_to_keep_the_change(bundle: Path) -> None:
    parts, manifest = parts_and_manifest()
    write_bundle(bundle, manifest, parts)
    raw = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    raw["decode"]["beam_size"] = 3
    (bundle / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(BadBundle, match=r"not as it was written: .* or remove checksum from it if"):
        load_bundle(bundle)
    write_manifest(bundle, raw)
    assert load_bundle(bundle).manifest.decode.beam_size == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", [MANIFEST, *CHECKED])
def test_a_pipe_or_device_is_not_read(bundle: Path, name: str) -> None:
    """It would never end."""
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    with pytest.raises(BadBundle, match=rf"{name}: found a device or pipe, expected a file"):
        load_bundle(bundle)
    (bundle / name).unlink()
    (bundle / name).symlink_to("/dev/zero")
    with pytest.raises(BadBundle, match=rf"{name}: found a device or pipe, expected a file"):
        load_bundle(bundle)


def test_a_huge_manifest_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / MANIFEST, MAX_MANIFEST_BYTES + 1)
    with pytest.raises(BadBundle, match=rf"{MANIFEST}: found {MAX_MANIFEST_BYTES + 1} bytes, expected"):
        load_bundle(bundle)


SURROGATE = "\ud800".encode("utf-16", "surrogatepass").decode("latin-1")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, SURROGATE], ids=lambda text: text[:4])
def test_a_broken_manifest_is_one_line(bundle: Path, text: str) -> None:
    (bundle / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(BadBundle) as raised:
        load_bundle(bundle)
    assert "\n" not in str(raised.value) and MANIFEST in str(raised.value)


def test_a_tokenizer_of_another_model_is_found(bundle: Path) -> None:
    tokenizer = json.loads((bundle / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["zebra-crossing"] = len(tokenizer["model"]["vocab"])
    (bundle / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    rehash(bundle, "tokenizer.json")
    with pytest.raises(BadBundle, match="tokenizer has"):
        load_bundle(bundle)


def test_a_network_with_other_words_is_found(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    tokenizer = json.loads((bundle / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["model"]["vocab"]["zebra-crossing"] = manifest.vocab_size
    (bundle / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    rehash(bundle, "tokenizer.json")
    change_manifest(bundle, vocab_size=manifest.vocab_size + 1)
    with pytest.raises(BadBundle, match=f"network has {manifest.vocab_size} tokens"):
        Captioner.load(bundle)


def test_a_file_that_is_no_network_is_found(bundle: Path) -> None:
    (bundle / "encoder.onnx").write_bytes(b"not a graph")
    rehash(bundle, "encoder.onnx")
    with pytest.raises(BadBundle, match=r"encoder\.onnx: ONNX Runtime cannot load it"):
        Captioner.load(bundle)


@pytest.mark.parametrize("place", ["nowhere", "a_file"])
def test_no_such_model_folder(tmp_path: Path, place: str) -> None:
    (tmp_path / "a_file").write_text("x", encoding="utf-8")
    with pytest.raises(BadBundle, match="no such model folder"):
        load_bundle(tmp_path / place)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match=f"no {MANIFEST}"):
        load_bundle(tmp_path)


def parts_and_manifest() -> tuple[Path, dict[str, Any]]:
    manifest = load_bundle(builtin()).manifest.model_dump(exclude={"files"})
    return builtin(), manifest


def test_writing_replaces_a_bundle_and_nothing_else(tmp_path: Path) -> None:
    parts, manifest = parts_and_manifest()
    target = tmp_path / "new" / "model"
    write_bundle(target, manifest, parts)
    write_bundle(target, {**manifest, "showtell": "9.9"}, parts)
    assert load_bundle(target).manifest.showtell == "9.9"
    assert [p.name for p in target.parent.iterdir()] == ["model"]  # no litter
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"precious")
    with pytest.raises(BadBundle, match="holds other files"):
        write_bundle(tmp_path / "photos", manifest, parts)
    assert (tmp_path / "photos" / "mine.jpg").read_bytes() == b"precious"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    parts, manifest = parts_and_manifest()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for place in (tmp_path / "file" / "model", Path("/proc/model")):
        with pytest.raises(BadBundle, match="cannot be written"):
            write_bundle(place, manifest, parts)


def test_a_full_disk_is_called_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    parts, manifest = parts_and_manifest()
    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(OutputError, match=r"model: cannot be written \(No space.*make room and run the command again"):
        write_bundle(bundle, manifest, parts)
    assert [path.name for path in bundle.parent.iterdir()] == ["model"] and load_bundle(bundle)


def test_a_failed_write_leaves_the_old_bundle(bundle: Path, tmp_path: Path) -> None:
    _, manifest = parts_and_manifest()
    before = load_bundle(bundle).manifest
    incomplete = tmp_path / "parts"
    incomplete.mkdir()
    with pytest.raises(BadBundle, match="cannot be written"):
        write_bundle(bundle, manifest, incomplete)
    assert load_bundle(bundle).manifest == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "parts"]
