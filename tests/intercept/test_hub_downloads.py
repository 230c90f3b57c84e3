"""Downloads from a hub on this machine, and from its cache without any hub."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: not tested")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = b"weights" * 1000
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}


class _Hub(BaseHTTPRequestHandler):
    """What a hub answers for one repository."""

    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature
        """Nothing on the screen."""

    def _answer(self, *, send: bool) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if "/resolve/" in path:
            data = FILES[path.rpartition("/")[2]]
            self._send(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{_name(data)}"'}, send=send)
        elif "/tree/" in path:
            found = [
                {"type": "file", "path": name, "size": len(data), "oid": _name(data)}
                for name, data in FILES.items()
            ]
            self._send(json.dumps(found).encode(), {}, send=send)
        else:
            siblings = [{"rfilename": name} for name in FILES]
            about = {"id": "us/tiny", "sha": COMMIT, "siblings": siblings}
            self._send(json.dumps(about).encode(), {}, send=send)

    def _send(self, data: bytes, headers: Mapping[str, str], *, send: bool) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if send:
            self.wfile.write(data)


def _name(data: bytes) -> str:
    """Large files have their SHA-256 as a name, small ones what git calls them."""
    if data is WEIGHTS:
        return hashlib.sha256(data).hexdigest()
    blob = b"blob %d\0" % len(data) + data
    return hashlib.sha1(blob, usedforsecurity=False).hexdigest()


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        _Hub.asked.clear()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "huggingface_hub")

    @pytest.fixture(autouse=True)
    def _server(self, server: str) -> None:
        self.server = server

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        where = {"endpoint": self.server, "cache_dir": path / "cache"}
        return {
            "file": lambda: hub.hf_hub_download("us/tiny", "config.json", **where),
            "snapshot": lambda: hub.snapshot_download(repo_id="us/tiny", **where),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "not in the cache": lambda: hub.hf_hub_download(
                "us/tiny", "config.json", cache_dir=path, local_files_only=True
            ),
            "bad id": lambda: hub.hf_hub_download("a/b/c", "config.json"),
        }


def test_a_file_is_told_with_its_commit_and_checked_against_its_name(
    server: str, tmp_path: Path
) -> None:
    where = {"endpoint": server, "cache_dir": tmp_path / "cache"}

    def fetch() -> None:
        hub.hf_hub_download("us/tiny", "model.safetensors", revision="main", **where)

    found = loads_of(fetch)
    [load] = found.loaded
    assert (load.what, load.loader) == ("download", "huggingface_hub.hf_hub_download")
    assert (load.requested, load.revision, load.commit) == ("us/tiny", "main", COMMIT)
    assert load.facts["asked"] == {"filename": "model.safetensors"}
    assert found.of(load).digest == f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"
    assert found.of(load).reason is None

    [blob] = (path for path in (tmp_path / "cache").rglob("blobs/*") if len(path.name) == 64)
    blob.chmod(0o644)
    blob.write_bytes(b"another")
    again = loads_of(fetch)
    assert "differs from the name" in str(again.of(again.loaded[0]).reason)


def test_a_snapshot_is_one_record_of_all_its_files_and_needs_no_hub_later(
    server: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    kept: list[str] = []
    found = loads_of(
        lambda: kept.append(hub.snapshot_download("us/tiny", endpoint=server, cache_dir=cache))
    )
    asked = len(_Hub.asked)
    offline = loads_of(
        lambda: hub.snapshot_download("us/tiny", cache_dir=cache, local_files_only=True)
    )
    assert len(_Hub.asked) == asked
    for told in (found, offline):
        [load] = told.loaded
        assert (load.loader, load.commit) == ("huggingface_hub.snapshot_download", COMMIT)
        assert told.of(load).digest == digest_of_tree(Path(kept[0]), *FILES)
        assert not told.problems


def test_a_file_of_a_data_set_is_data(server: str, tmp_path: Path) -> None:
    found = loads_of(
        lambda: hub.hf_hub_download(
            "us/tiny",
            "config.json",
            repo_type="dataset",
            endpoint=server,
            cache_dir=tmp_path,
        )
    )
    [read] = found.read
    assert not found.loaded
    assert read.facts["commit"] == COMMIT
    [path] = tmp_path.rglob("snapshots/*/config.json")
    assert found.of(read).digest == digest(path)


def test_secrets_of_a_download_are_not_told(server: str, tmp_path: Path) -> None:
    token = "hf_" + "a" * 34
    found = loads_of(
        lambda: hub.hf_hub_download(
            "us/tiny", "config.json", token=token, endpoint=server, cache_dir=tmp_path
        )
    )
    assert token not in repr(found)
