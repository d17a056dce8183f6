"""Where the tests find the package and their data, and what several of them share."""
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("WKV_TEST_DATA", ROOT.parent / "shared"))
sys.path.insert(0, str(ROOT / "zoo/python"))
os.environ["WKV_OFFLINE"] = "1"  # what isn't on this machine is missing


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the tests marked `full` as well")


def pytest_collection_modifyitems(config, items):
    device = os.environ.get("WKV_TEST_DEVICE", "cpu")
    wanted = {"full": config.getoption("--full"), "cuda": device != "cpu", "gpu": device == "cuda"}
    unwanted = [name for name in wanted if not wanted[name]]
    left_out = [item for item in items if any(item.get_closest_marker(name) for name in unwanted)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not any(item.get_closest_marker(name) for name in unwanted)]


def shared(path):
    """A third-party file that is not ours to commit; the test is skipped where it is missing."""
    if not (SHARED / path).exists():
        pytest.skip(f"{SHARED / path} is missing")
    return SHARED / path


def golden(path):
    """A golden file: in tests/data, or, too large to carry along, beside the third-party files."""
    here = ROOT / "tests/data" / path
    return here if here.exists() else shared(f"fixtures/{path}")


def heed_ctrl_c():
    """For a new process: tests that a shell runs in the background ignore Ctrl-C, and what they start would, too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Fixture:
    """Golden tensors of one RWKV-7 model: f["out.logits"], its weights as a checkpoint, its configuration."""

    def __init__(self, name, folder):
        import safetensors.torch

        self.tensors = safetensors.torch.load_file(golden(f"rwkv7/{name}.safetensors"))
        self.config = golden(f"rwkv7/{name}.json")
        self.weights = self.part("w.")
        self.path = folder / f"{name}.safetensors"
        safetensors.torch.save_file(self.weights, self.path)

    def __getitem__(self, name):
        return self.tensors[name]

    def part(self, prefix):
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}

    def load(self, **options):
        import wkv

        return wkv.load(self.path, config=self.config, **options)


@pytest.fixture(scope="session", params=["tiny", "tiny-h32", "tiny-h64"])
def fixture(request, tmp_path_factory):
    return Fixture(request.param, tmp_path_factory.mktemp("rwkv7"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return Fixture("tiny", tmp_path_factory.mktemp("rwkv7"))
