"""Fetches files as `wkv::zoo::fetch` does, each call in a process of its own that may be killed (hub_client.cpp)."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import heed_ctrl_c
from hub_server import HubServer

PROGRAM = Path(os.environ.get("WKV_PROGRAM", Path(__file__).parents[2] / "build/bin/wkv")).parent / "hub_client"


# Two files of the repository that the fixture `hub` serves: one that is redirected, and one that is not.
MODEL = {"repository": "owner/name", "path": "model.pth"}
SMALL = {"repository": "owner/name", "path": "sub/config.json"}


@dataclass
class Run:
    client: "HubClient"
    id: int
    answer: Path

    def kill(self, sent=signal.SIGKILL):
        os.kill(self.id, sent)

    def wait(self):
        """The signal that ended it, or 0."""
        return self.client.ask({"wait": self.id})

    def result(self):
        """What came of its files: {"path", "size", "sha256", "commit", "progress"} or {"error", "message"}."""
        assert self.wait() == 0
        results = json.loads(self.answer.read_text())
        return results[0] if len(results) == 1 else results


class HubClient:
    def __init__(self, **environment):
        self.process = subprocess.Popen(
            [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, preexec_fn=heed_ctrl_c
        )
        self.answers = tempfile.TemporaryDirectory()
        os.chmod(self.answers.name, 0o755)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.answers.cleanup()

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, environment, *files, **limits):
        """files: the fields of a RemoteFile each; limits: user, file_bytes."""
        descriptor, answer = tempfile.mkstemp(dir=self.answers.name)
        os.close(descriptor)
        request = {"fetch": files, "environment": environment, "answer": answer, **limits}
        return Run(self, self.ask(request), Path(answer))

    def fetch(self, environment, *files, **limits):
        return self.start(environment, *files, **limits).result()


@pytest.fixture(scope="session")
def client():
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is missing: it is built with WKV_BUILD_TESTS")
    client = HubClient()
    yield client
    client.close()


@pytest.fixture
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    for path, contents in {"owner/name/model.pth": os.urandom(300_000), "owner/name/sub/config.json": b"{}\n", "files/vocabulary.txt": b"words\n"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(contents)
    with HubServer(folder) as server:
        yield server


def assert_is(result, contents):
    """Fetched, whole, and the only thing that can be seen."""
    assert "error" not in result, result
    assert Path(result["path"]).read_bytes() == contents


def visible_files(home):
    """What a program that looks into the cache would take for files."""
    return [path for path in Path(home).glob("hf/hub/models--*/*/**/*") if path.is_file() and path.suffix != ".incomplete" and path.parts[-2] != "refs"]


def incomplete_files(home):
    return list(Path(home).rglob("*.incomplete"))


@contextlib.contextmanager
def only_reader(folder):
    """Nobody may write below the folder, which everybody may read."""
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = [path.stat().st_mode for path in paths]
    above = [path for path in folder.parents if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o777 == 0o700]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in above:
        path.chmod(0o711)
    yield
    for path in above:
        path.chmod(0o700)
    for path, mode in zip(paths, modes):
        path.chmod(mode)
