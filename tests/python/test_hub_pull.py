"""`wkv pull` fetches what a card names, and says where it is."""
import hashlib
import json
import os
import pty
import subprocess

import pytest
from hub_client import MODEL, SMALL, hub  # noqa: F401 (fixture)
from test_cli import PROGRAM


@pytest.fixture
def cards(hub, tmp_path):
    """A folder with one card, of both files that the hub has."""
    card = {
        "name": "tiny", "aliases": [], "description": "for a test", "family": "rwkv7", "task": "text-generation",
        "source": {"repository": "owner/name", "revision": "main"},
        "files": [{"path": file["path"], "size": None, "sha256": None} for file in (MODEL, SMALL)],
        "container": "pth", "parameters": None, "config": {}, "tokenizer": None, "preprocessing": None, "prompt": None,
        "licence": "Apache-2.0", "figures": [], "verified": "shapes",
    }
    folder = tmp_path / "cards"
    folder.mkdir()
    (folder / "tiny.json").write_text(json.dumps(card))
    return folder


def pull(environment, *arguments):
    return subprocess.run([PROGRAM, "pull", *arguments], env=environment, capture_output=True, text=True)


def test_pull_prints_where_the_files_are(hub, cards, tmp_path):
    done = pull(hub.environment(tmp_path, WKV_CARDS=cards), "tiny")
    folder = tmp_path / "hf/hub/models--owner--name/snapshots" / hub.commit("owner/name")
    assert done.stdout.splitlines() == [str(folder / file["path"]) for file in (MODEL, SMALL)], done.stderr
    assert not done.stderr and (folder / "model.pth").read_bytes() == hub.contents(MODEL)


def test_pull_tells_programs_what_was_not_known_before(hub, cards, tmp_path):
    told = json.loads(pull(hub.environment(tmp_path, WKV_CARDS=cards), "tiny", "--json").stdout)
    assert told["name"] == "tiny"
    for told_file, file in zip(told["files"], (MODEL, SMALL), strict=True):
        contents = hub.contents(file)
        assert (told_file["size"], told_file["sha256"]) == (len(contents), hashlib.sha256(contents).hexdigest())
        assert told_file["commit"] == hub.commit("owner/name")


def test_pull_leaves_a_vocabulary_where_the_user_has_it(hub, cards, tmp_path):
    card = json.loads((cards / "tiny.json").read_text())
    (cards / "tiny.json").write_text(json.dumps({**card, "tokenizer": "world"}))
    vocabulary = tmp_path / "rwkv_vocab_v20230424.txt"
    vocabulary.touch()
    done = pull(hub.environment(tmp_path, WKV_CARDS=cards, WKV_TOKENIZERS=tmp_path), "tiny")
    assert done.stdout.splitlines()[-1] == str(vocabulary), done.stderr


def test_pull_fails_with_one_line(hub, cards, tmp_path):
    offline = hub.environment(tmp_path, WKV_CARDS=cards, WKV_OFFLINE=1)
    for name, text in (("tiny", "not in the cache"), ("nobody", "no model of this name")):
        done = pull(offline, name)
        assert done.returncode == 1 and not done.stdout
        assert len(done.stderr.splitlines()) == 1 and text in done.stderr


def test_a_terminal_sees_a_bar_which_is_gone_in_the_end(hub, cards, tmp_path):
    (hub.folder / "owner/name/model.pth").write_bytes(os.urandom(4_000_000))
    hub.misbehave(lambda answer: setattr(answer, "bytes_per_second", 10_000_000), path="cdn")
    terminal, end = pty.openpty()
    subprocess.run([PROGRAM, "pull", "tiny"], env=hub.environment(tmp_path, WKV_CARDS=cards), stdout=subprocess.DEVNULL, stderr=end)
    os.close(end)
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:  # nothing more: its other end is closed
        pass
    os.close(terminal)
    assert b"model.pth [" in shown and b" of 4.0 MB" in shown
    assert shown.endswith(b"\r\x1b[K")
