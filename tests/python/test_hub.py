"""Files are fetched into the hub's cache and found there again; what the environment says is honoured."""
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hub_client import HubClient, MODEL, SMALL, assert_is, client, hub, only_reader  # noqa: F401 (fixtures)

NOBODY = 65534


def test_a_large_file_is_laid_out_as_the_hub_does(client, hub, tmp_path):
    result = client.fetch(hub.environment(tmp_path), MODEL)
    repository, sha256 = tmp_path / "hf/hub/models--owner--name", hashlib.sha256(hub.contents(MODEL)).hexdigest()
    path = repository / "snapshots" / hub.commit("owner/name") / "model.pth"
    assert result["path"] == str(path)
    assert os.readlink(path) == f"../../blobs/{sha256}"
    assert (repository / "blobs" / sha256).read_bytes() == hub.contents(MODEL)
    assert (repository / "refs/main").read_text() == hub.commit("owner/name")
    assert (tmp_path / f"hf/hub/.locks/models--owner--name/{sha256}.lock").exists()
    assert os.listdir(repository / "blobs") == [sha256]


def test_a_small_file_is_named_by_its_git_checksum(client, hub, tmp_path):
    path = client.fetch(hub.environment(tmp_path), SMALL)["path"]
    blob = b"blob %d\0" % len(hub.contents(SMALL)) + hub.contents(SMALL)
    assert os.readlink(path) == f"../../../blobs/{hashlib.sha1(blob).hexdigest()}"


@pytest.mark.parametrize("file", [MODEL, SMALL], ids=["large", "small"])
def test_size_checksum_and_commit_of_a_fetched_file_are_known(client, hub, tmp_path, file):
    result, contents = client.fetch(hub.environment(tmp_path), file), hub.contents(file)
    assert (result["size"], result["sha256"]) == (len(contents), hashlib.sha256(contents).hexdigest())
    assert result["commit"] == hub.commit("owner/name")


def test_what_is_there_is_not_asked_for_again(client, hub, tmp_path):
    first = client.fetch(hub.environment(tmp_path), MODEL)
    asked = len(hub.requests)
    again = client.fetch(hub.environment(tmp_path), MODEL)
    assert again["path"] == first["path"] and again["progress"] == []
    assert len(hub.requests) == asked


def test_the_same_contents_are_transferred_once(client, hub, tmp_path):
    shutil.copy(hub.folder / "owner/name/model.pth", hub.folder / "owner/name/copy.pth")
    client.fetch(hub.environment(tmp_path), MODEL)
    copy = client.fetch(hub.environment(tmp_path), MODEL | {"path": "copy.pth"})
    assert_is(copy, hub.contents(MODEL))
    assert len(hub.transfers()) == 1


def test_progress_grows_to_the_whole(client, hub, tmp_path):
    done = [done for done, total in client.fetch(hub.environment(tmp_path), MODEL)["progress"]]
    assert done == sorted(done) and done[0] == 0 and done[-1] == len(hub.contents(MODEL))


def test_a_commit_may_be_named(client, hub, tmp_path):
    commit = hub.commit("owner/name")
    result = client.fetch(hub.environment(tmp_path), MODEL | {"revision": commit})
    assert result["commit"] == commit
    assert not (tmp_path / "hf/hub/models--owner--name/refs").exists()


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("name", ["e.pth", "e.json"])
def test_a_file_may_be_next_to_nothing(client, hub, tmp_path, size, name):
    (hub.folder / "owner/name" / name).write_bytes(bytes(size))
    assert_is(client.fetch(hub.environment(tmp_path), MODEL | {"path": name}), bytes(size))


@pytest.mark.parametrize("variables, folder", [
    ({"HF_HUB_CACHE": "{home}/c"}, "c"),
    ({"HF_HOME": "{home}/h"}, "h/hub"),
    ({"HF_HOME": "", "XDG_CACHE_HOME": "{home}/x"}, "x/huggingface/hub"),
    ({"HF_HOME": "", "XDG_CACHE_HOME": "", "HOME": "{home}"}, ".cache/huggingface/hub"),
    ({"HF_HOME": "~/t"}, "t/hub"),
])
def test_the_cache_is_where_the_environment_says(client, hub, tmp_path, variables, folder):
    more = {name: value.format(home=tmp_path) for name, value in variables.items()}
    path = client.fetch(hub.environment(tmp_path, **more), MODEL)["path"]
    assert path.startswith(f"{tmp_path}/{folder}/models--owner--name/")


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "WKV_OFFLINE"])
def test_offline_nothing_is_asked_and_what_is_missing_has_a_place(client, hub, tmp_path, variable):
    offline = hub.environment(tmp_path, **{variable: 1})
    missing = client.fetch(offline, MODEL)
    assert missing["error"] == "offline" and not hub.requests
    place = Path(missing["message"].split("put it at ")[1])
    place.parent.mkdir(parents=True)
    place.write_bytes(hub.contents(MODEL))
    assert_is(client.fetch(offline, MODEL), hub.contents(MODEL))


def test_offline_what_was_fetched_is_found(client, hub, tmp_path):
    client.fetch(hub.environment(tmp_path), MODEL)
    assert_is(client.fetch(hub.environment(tmp_path, HF_HUB_OFFLINE=1), MODEL), hub.contents(MODEL))


# --- what is known beforehand


def test_a_file_of_a_url_is_kept_under_its_checksum(client, hub, tmp_path):
    sha256 = hashlib.sha256(b"words\n").hexdigest()
    file = {"url": f"{hub.url}/files/vocabulary.txt", "path": "words.txt", "sha256": sha256}
    result = client.fetch(hub.environment(tmp_path), file)
    assert_is(result, b"words\n")
    assert result["path"] == f"{tmp_path}/cache/wkv/{sha256}/words.txt" and result["commit"] == ""
    assert_is(client.fetch(hub.environment(tmp_path, WKV_OFFLINE=1), file), b"words\n")


def test_a_url_needs_a_checksum(client, hub, tmp_path):
    refused = client.fetch(hub.environment(tmp_path), {"url": f"{hub.url}/files/vocabulary.txt", "path": "words.txt"})
    assert refused["error"] == "invalid_argument" and not hub.requests


@pytest.mark.parametrize("known", [{"size": 5}, {"sha256": "0" * 64}], ids=["size", "sha256"])
def test_another_file_than_expected_is_not_transferred(client, hub, tmp_path, known):
    refused = client.fetch(hub.environment(tmp_path), MODEL | known)
    assert refused["error"] == "checksum" and not hub.transfers()


def test_another_file_than_expected_is_not_found_in_the_cache(client, hub, tmp_path):
    client.fetch(hub.environment(tmp_path), MODEL)
    refused = client.fetch(hub.environment(tmp_path, WKV_OFFLINE=1), MODEL | {"sha256": "0" * 64})
    assert refused["error"] == "offline"


@pytest.mark.parametrize("names", [
    {"path": "../model.pth"}, {"path": "/etc/passwd"}, {"path": "a//b"}, {"path": "a/./b"}, {"path": ""}, {"path": "a/"},
    {"path": "a\nb"}, {"path": "a\\b"}, {"repository": "../name"}, {"repository": "name"}, {"repository": "a/b/c"},
    {"repository": "owner/.."}, {"repository": "ow ner/name"}, {"revision": ".."}, {"revision": "a/../../b"},
    {"revision": "a b"}, {"revision": ""}, {"sha256": "abc"}, {"sha256": "A" * 64}, {"size": -1},
], ids=str)
def test_names_that_lead_elsewhere_are_refused(client, hub, tmp_path, names):
    refused = client.fetch(hub.environment(tmp_path), MODEL | names)
    assert refused["error"] == "invalid_argument" and not hub.requests


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "words.txt"])
def test_only_the_web_is_asked(client, hub, tmp_path, url):
    refused = client.fetch(hub.environment(tmp_path), {"url": url, "path": "x", "sha256": "0" * 64})
    assert refused["error"] == "invalid_argument"


# --- who may read it


def authorization(hub):
    """Of each request so far, by the port that it came to."""
    return [(request.port == hub.port, request.headers.get("authorization")) for request in hub.requests]


def test_the_token_is_sent_to_the_hub_and_to_nobody_else(client, hub, tmp_path):
    client.fetch(hub.environment(tmp_path, HF_TOKEN="hf_secret"), MODEL)
    assert set(authorization(hub)) == {(True, "Bearer hf_secret"), (False, None)}


def test_a_token_is_not_sent_again_when_another_host_redirects_back(client, hub, tmp_path):
    def back(answer):
        answer.status, answer.body, answer.headers = 302, b"", {"Location": f"{hub.url}/files/model.pth"}

    shutil.copy(hub.folder / "owner/name/model.pth", hub.folder / "files/model.pth")
    hub.misbehave(back, path="cdn")
    assert_is(client.fetch(hub.environment(tmp_path, HF_TOKEN="hf_secret"), MODEL), hub.contents(MODEL))
    assert authorization(hub)[-2:] == [(False, None), (True, None)]


def test_the_token_is_not_sent_to_a_url_of_others(client, hub, tmp_path):
    file = {"url": f"http://127.0.0.1:{hub.cdn_port}/files/vocabulary.txt", "path": "w", "sha256": hashlib.sha256(b"words\n").hexdigest()}
    assert_is(client.fetch(hub.environment(tmp_path, HF_TOKEN="hf_secret"), file), b"words\n")
    assert authorization(hub) == [(False, None)]


@pytest.mark.parametrize("variable, place", [("HF_HOME", "hf/token"), ("HF_TOKEN_PATH", "elsewhere")])
def test_the_token_may_be_in_a_file(client, hub, tmp_path, variable, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("hf_secret\n")
    more = {"HF_TOKEN_PATH": tmp_path / place} if variable == "HF_TOKEN_PATH" else {}
    client.fetch(hub.environment(tmp_path, **more), SMALL)
    assert authorization(hub)[0] == (True, "Bearer hf_secret")


@pytest.mark.parametrize("token, advice", [("", "set HF_TOKEN"), ("hf_wrong", "the token in HF_TOKEN may not read it")])
def test_a_gated_repository_says_what_it_needs(client, hub, tmp_path, token, advice):
    hub.token = "hf_secret"
    refused = client.fetch(hub.environment(tmp_path, HF_TOKEN=token), MODEL)
    assert refused["error"] == "network" and advice in refused["message"] and "hf_wrong" not in refused["message"]
    assert len(hub.requests) == 1


@pytest.mark.parametrize("name, value", [
    ("HF_TOKEN", "two\nlines"), ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"), ("HF_HUB_DOWNLOAD_TIMEOUT", "-1"), ("WKV_RETRY_DELAY", "nan"),
    ("HF_ENDPOINT", "hub"), ("HF_ENDPOINT", "ftp://hub"),
])
def test_a_variable_that_makes_no_sense_is_named(client, hub, tmp_path, name, value):
    refused = client.fetch(hub.environment(tmp_path, **{name: value}), MODEL)
    assert refused["error"] == "invalid_argument" and (name in refused["message"] or value in refused["message"])


def test_a_proxy_is_used(client, hub, tmp_path):
    proxied = hub.environment(tmp_path, HF_ENDPOINT="http://hub.invalid", http_proxy=hub.url)
    assert_is(client.fetch(proxied, SMALL), hub.contents(SMALL))
    assert {request.target.split("/owner")[0] for request in hub.requests} == {"http://hub.invalid"}


# --- a cache that can't be written


@pytest.fixture
def not_root(client):
    return {"user": NOBODY} if os.getuid() == 0 else {}


def test_a_read_only_cache_is_used(client, hub, tmp_path, not_root):
    client.fetch(hub.environment(tmp_path), MODEL)
    with only_reader(tmp_path):
        assert_is(client.fetch(hub.environment(tmp_path), MODEL, **not_root), hub.contents(MODEL))


def test_what_a_read_only_cache_lacks_is_refused_by_name(client, hub, tmp_path, not_root):
    client.fetch(hub.environment(tmp_path), MODEL)
    with only_reader(tmp_path):
        refused = client.fetch(hub.environment(tmp_path), SMALL, **not_root)
    assert refused["error"] == "invalid_argument" and "Permission denied" in refused["message"]
    assert f"{tmp_path}/hf/hub" in refused["message"] and len(hub.transfers()) == 1


def test_a_read_only_cache_is_used_for_another_name_of_its_commit(client, hub, tmp_path, not_root):
    path = client.fetch(hub.environment(tmp_path), MODEL | {"revision": hub.commit("owner/name")})["path"]
    with only_reader(tmp_path):
        # It can't keep what `main` is, so only the fetch itself finds it.
        assert client.fetch(hub.environment(tmp_path), MODEL, **not_root)["message"] == path
    assert len(hub.transfers()) == 1


def test_no_folder_for_a_cache_is_refused_by_name(client, hub, tmp_path):
    (tmp_path / "file").write_text("")
    refused = client.fetch(hub.environment(tmp_path, HF_HOME=tmp_path / "file"), MODEL)
    assert "Not a directory" in refused["message"] and "HF_HUB_CACHE" in refused["message"]


def test_the_cache_may_be_on_another_file_system(client, hub, tmp_path):
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"{other} is no other file system that can be written")
    cache = other / f"wkv-hub-{os.getpid()}"
    try:
        assert_is(client.fetch(hub.environment(tmp_path, HF_HOME=cache), MODEL), hub.contents(MODEL))
    finally:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture
def client_without_links(client, tmp_path):
    """As on a file system that knows no symbolic links."""
    if not shutil.which("cc"):
        pytest.skip("there is no C compiler to take symlink() away with")
    (tmp_path / "links.c").write_text("#include <errno.h>\nint symlink(const char *a, const char *b) { errno = EPERM; return -1; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", tmp_path / "links.so", tmp_path / "links.c"], check=True)
    without_links = HubClient(LD_PRELOAD=str(tmp_path / "links.so"))
    yield without_links
    without_links.close()


def test_a_cache_without_links_holds_the_file_itself(client_without_links, hub, tmp_path):
    for _ in range(2):
        result = client_without_links.fetch(hub.environment(tmp_path), MODEL)
        assert_is(result, hub.contents(MODEL))
    assert not os.path.islink(result["path"]) and len(hub.transfers()) == 1
    assert result["sha256"] == hashlib.sha256(hub.contents(MODEL)).hexdigest()
