"""Where a model comes from: a folder, or a hub, which is a server on localhost."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from tests.hub.fake_hub import COMMIT, ID, OLD_COMMIT, Repository, serving, use

from showtell.errors import BadConfig, BadWeights, ShowtellError
from showtell.hub.source import Source, fetch
from showtell.progress import ProgressReporter

WEIGHTS = os.urandom(3_000_000)
CARD = b"---\nlicense: bsd-3-clause\ntags: [captions]\n---\n# A captioner\n"
FILES = {
    "config.json": b'{"model_type": "blip"}',
    "tokenizer.json": b"{}",
    "vocab.txt": b"a\nb\n",
    "README.md": CARD,
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"never fetched",
    "onnx/model.onnx": b"never fetched",
    "onnx/config.json": b"never fetched",
    "modeling.py": b"never fetched",
    "model.fp16.safetensors": b"never fetched",
}


class Reporter(ProgressReporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.done = 0, 0

    def stage(self, title: str, total: int, done: int = 0):  # type: ignore[no-untyped-def]
        self.total = total
        return super().stage(title, total, done)

    def _lines(self, title: str, total: int, done: int):  # type: ignore[no-untyped-def]
        def advance(n: int, note: str = "") -> None:
            self.done += n

        return advance


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    old = {name: content for name, content in FILES.items() if name != "model.safetensors"}
    with serving(Repository(dict(FILES), {**old, "model.safetensors": b"older"})) as repository:
        use(repository, tmp_path / "cache", monkeypatch)
        yield repository


def get(revision: str | None = None, model: str = ID) -> Source:
    return fetch(model, revision, Reporter(), lambda config: None)


def refused(revision: str | None = None, model: str = ID) -> str:
    with pytest.raises(ShowtellError) as error:
        get(revision, model)
    assert "\n" not in str(error.value)
    return str(error.value)


def fetched(repository: Repository) -> set[str]:
    return {path.rpartition("/")[2] for method, path, _ in repository.requests if method == "GET" and "api" not in path}


def parts(folder: Path) -> list[str]:
    """Files of the cache that are not complete."""
    return [str(file) for file in folder.rglob("*.incomplete")]


def test_a_model_of_the_hub(hub: Repository) -> None:
    reporter = Reporter()
    source = fetch(ID, None, reporter, lambda config: None)
    assert (source.id, source.revision, source.licence) == (ID, COMMIT, "bsd-3-clause")
    wanted = {"config.json", "tokenizer.json", "vocab.txt", "README.md", "model.safetensors"}
    assert {file.name for file in source.folder.iterdir()} == wanted == fetched(hub)
    assert all((source.folder / name).read_bytes() == FILES[name] for name in wanted)
    assert reporter.total == reporter.done == 3  # megabytes
    asked = len(hub.requests)
    assert get() == source
    # What is complete is not fetched again: the second import asks for the commit only.
    assert len(hub.requests) == asked + 1


def test_a_model_that_is_not_wanted_is_not_fetched(hub: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: dict[str, str]) -> None:
        raise BadConfig(f"found {config['model_type']}")

    for _ in range(2):
        with pytest.raises(BadConfig, match="found blip"):
            fetch(ID, None, Reporter(), refuse)
    assert fetched(hub) == {"config.json"}
    get()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadConfig, match="found blip"):
        fetch(ID, COMMIT, Reporter(), refuse)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_configuration_that_is_none(content: bytes, hub: Repository) -> None:
    hub.files["config.json"] = content
    assert "config.json: " in refused()


@pytest.mark.parametrize("revision", ["v1", OLD_COMMIT])
def test_a_revision_is_pinned_to_its_commit(revision: str, hub: Repository) -> None:
    source = get(revision)
    assert source.revision == OLD_COMMIT
    assert (source.folder / "model.safetensors").read_bytes() == b"older"
    assert all(OLD_COMMIT in path for method, path, _ in hub.requests if "api" not in path)


def test_a_broken_connection_is_resumed_where_it_broke(hub: Repository) -> None:
    hub.broken["model.safetensors"] = [1_000_000, 500_000]
    source = get()
    assert (source.folder / "model.safetensors").read_bytes() == WEIGHTS
    assert [span for method, path, span in hub.requests if method == "GET" and "/cdn/" in path] == [
        None,
        "bytes=1000000-",
        "bytes=1500000-",
    ]


def test_a_connection_that_stays_broken(hub: Repository, tmp_path: Path) -> None:
    hub.broken["model.safetensors"] = [1000] + [0] * 20
    message = refused()
    assert "cannot be fetched" in message and "run the command again" in message
    assert parts(tmp_path) == []
    hub.broken.clear()
    hub.requests.clear()
    assert (get().folder / "model.safetensors").read_bytes() == WEIGHTS
    assert fetched(hub) == {"model.safetensors"}  # the others were complete


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash(name: str, hub: Repository) -> None:
    hub.lies[name] = "0" * (64 if name == "model.safetensors" else 40)
    for _ in range(2):  # it is removed, so that it is not found complete by the next import
        assert refused().startswith(f"{name}: what was fetched has not the hash")
    hub.lies.clear()
    assert (get().folder / name).read_bytes() == FILES[name]


def test_a_wrong_size(hub: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes the connection properly, before the end that it has promised."""
    hub.broken["config.json"] = [5] + [0] * 20
    assert "cannot be fetched" in refused()


def test_a_file_that_is_listed_and_not_there(hub: Repository) -> None:
    hub.absent.add("config.json")
    assert "config.json" in refused() and "a file that it lists is not there" in refused()


def test_no_configuration(hub: Repository) -> None:
    del hub.files["config.json"]
    assert "no config.json" in refused()


def test_gated_private_and_unknown_models(hub: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not found" in refused(model="people/nobody") and "hf auth login" in refused(model="people/nobody")
    hub.token = "hf_secret"
    assert "is gated; accept its terms at" in refused() and f"/{ID}, log in" in refused()
    hub.refusal = (401, "RepoNotFound")
    assert "or private" in refused()
    hub.refusal = (403, "")
    assert "refuses access (403)" in refused()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")  # the hub's own login
    assert get().revision == COMMIT
    assert hub.token not in str(get())


def test_an_unknown_revision(hub: Repository) -> None:
    assert refused("no-such-branch").startswith(f"{ID}: has no revision no-such-branch")


def test_a_hub_with_troubles(hub: Repository) -> None:
    hub.status = 500
    assert "answers with 500" in refused()


def test_no_network(hub: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    assert "cannot be fetched from http://127.0.0.1:9" in refused() and "HF_HUB_OFFLINE=1" in refused()


def test_offline_from_the_cache(hub: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not in the cache, and HF_HUB_OFFLINE is set" in refused()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    online = get()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert get(COMMIT) == online and hub.requests == []
    (online.folder / "model.safetensors").unlink()
    assert "not complete in the cache" in refused(COMMIT)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"])
def test_only_pickles(name: str, hub: Repository, tmp_path: Path) -> None:
    del hub.files["model.safetensors"], hub.files["pytorch_model.bin"]
    hub.files[name] = b"a pickle"
    message = refused()
    assert f"only in {name}, a pickle" in message and "--revision refs/pr/N" in message and "save_pretrained" in message
    assert fetched(hub) == set()
    folder = tmp_path / "saved"
    folder.mkdir()
    for file in ("config.json", name):
        (folder / file).write_bytes(hub.files[file])
    assert f"only in {name}, a pickle" in refused(model=str(folder))


def test_only_pickles_and_the_pull_request_of_the_converter(hub: Repository) -> None:
    del hub.files["model.safetensors"]
    hub.pull_requests = ["Update README.md", "Adding `safetensors` variant of this model"]
    message = refused()
    assert "only in pytorch_model.bin, a pickle" in message and message.endswith("--revision refs/pr/2")
    assert fetched(hub) == set()


def test_a_model_in_several_files(hub: Repository) -> None:
    del hub.files["model.safetensors"]
    several = {f"model-0000{i}-of-00002.safetensors": b"part" * i for i in (1, 2)}
    hub.files |= {**several, "model.safetensors.index.json": b"{}"}
    assert {file.name for file in get().folder.iterdir()} >= {*several, "model.safetensors.index.json"}


def test_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "blip"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "README.md"):
        (folder / name).write_bytes(FILES[name])
    assert get(model=str(folder)) == Source(folder, "blip", None, "bsd-3-clause")
    assert "--revision" in refused("main", str(folder))


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (b"# no metadata\n", None),
        (b"---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0"),
        (b"---\nlicense: other\nlicense_name: openrail\n---\n", "openrail"),
        (b"---\nlicense: other\n---\n", "other"),
        (b"---\n{broken: [\n---\n", None),
        (b"---", None),
        (b"\xff\xfe", None),
        (b"---\njust text\n---\n", None),
    ],
)
def test_licences(card: bytes, licence: str | None, tmp_path: Path) -> None:
    for name, content in {**FILES, "README.md": card}.items():
        if "/" not in name:
            (tmp_path / name).write_bytes(content)
    assert get(model=str(tmp_path)).licence == licence


def test_what_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, files in {
        "bundle": ["bundle.json", "config.json"],
        "run": ["config.yaml", "log.jsonl"],
        "empty": [],
        "bare": ["config.json"],
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")
    (tmp_path / "weights.bin").write_bytes(b"x")
    assert "is a showtell bundle already; run: showtell caption" in refused(model="bundle")
    assert "showtell export run DIR" in refused(model="run")
    assert "no config.json in it" in refused(model="empty")
    assert "no model.safetensors in it" in refused(model="bare")
    assert "is a file; expected the folder" in refused(model="weights.bin")
    assert "no such folder, and no id of the hub" in refused(model="./blip")
    assert "no such folder, and no id of the hub" in refused(model="a/b/c")
    assert "no such folder, and no id of the hub" in refused(model="https://huggingface.co/a/b")


def test_the_errors_are_of_the_classes_that_the_docstring_names(hub: Repository) -> None:
    with pytest.raises(BadConfig):
        get("no-such-branch")
    with pytest.raises(BadWeights):
        get(model="people/nobody")
