"""Fetches files as `wkv::zoo::fetch` does, each call in a process of its own that may be killed (hub_client.cpp)."""
import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(os.environ.get("WKV_PROGRAM", Path(__file__).parents[2] / "build/bin/wkv")).parent / "hub_client"


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
    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, text=True)
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
