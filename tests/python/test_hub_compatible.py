"""The hub's own program finds what we fetched, and we find what it fetched.

pip install huggingface_hub, here or for the interpreter that WKV_HUGGINGFACE_PYTHON names.
"""
import json
import os
import subprocess
import sys

import pytest
from hub_client import MODEL, SMALL, assert_is, client, hub  # noqa: F401 (fixtures)

PYTHON = os.environ.get("WKV_HUGGINGFACE_PYTHON", sys.executable)


@pytest.fixture(scope="module", autouse=True)
def package():
    if subprocess.run([PYTHON, "-c", "import huggingface_hub"], capture_output=True).returncode:
        pytest.skip(f"{PYTHON} has no huggingface_hub")


def ask_their_program(environment, expression):
    """What a Python expression with their functions gives, as JSON."""
    program = f"import huggingface_hub, json; print(json.dumps({expression}))"
    done = subprocess.run([PYTHON, "-W", "ignore", "-c", program], env=environment | {"HF_HUB_DISABLE_XET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def download(file, **options):
    return f"huggingface_hub.hf_hub_download({file['repository']!r}, {file['path']!r}, **{options})"


@pytest.mark.parametrize("file", [MODEL, SMALL], ids=["large", "small"])
def test_they_find_what_we_fetched(client, hub, tmp_path, file):
    ours = client.fetch(hub.environment(tmp_path), file)
    asked = len(hub.requests)
    assert ask_their_program(hub.environment(tmp_path, HF_HUB_OFFLINE=1), download(file)) == ours["path"]
    assert len(hub.requests) == asked
    assert ask_their_program(hub.environment(tmp_path), download(file)) == ours["path"]
    assert len(hub.transfers()) == 1


@pytest.mark.parametrize("file", [MODEL, SMALL], ids=["large", "small"])
def test_we_find_what_they_fetched(client, hub, tmp_path, file):
    theirs = ask_their_program(hub.environment(tmp_path), download(file))
    asked = len(hub.requests)
    ours = client.fetch(hub.environment(tmp_path, WKV_OFFLINE=1), file)
    assert_is(ours, hub.contents(file))
    assert ours["path"] == theirs and len(hub.requests) == asked


def test_we_link_the_blob_that_they_fetched_under_another_name(client, hub, tmp_path):
    (hub.folder / "owner/name/copy.pth").write_bytes(hub.contents(MODEL))
    ask_their_program(hub.environment(tmp_path), download(MODEL))
    assert_is(client.fetch(hub.environment(tmp_path), MODEL | {"path": "copy.pth"}), hub.contents(MODEL))
    assert len(hub.transfers()) == 1


def test_their_list_of_the_cache_has_our_files_and_no_complaint(client, hub, tmp_path):
    for file in (MODEL, SMALL):
        client.fetch(hub.environment(tmp_path), file)
    scan = "(lambda found: [len(found.warnings), sorted(f.file_name for r in found.repos for v in r.revisions for f in v.files)])(huggingface_hub.scan_cache_dir())"
    assert ask_their_program(hub.environment(tmp_path), scan) == [0, ["config.json", "model.pth"]]
