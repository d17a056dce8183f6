"""Servers that break off, lie, redirect in circles or send something else: what is shown in the end is right, or nothing."""
import gzip
import hashlib
import os
import shutil
import subprocess

import pytest
from hub_client import MODEL, SMALL, assert_is, client, hub, incomplete_files, visible_files  # noqa: F401 (fixtures)
from hub_server import HubServer

CDN = "/cdn/"  # where large files come from


def set_to(**fields):
    """A fault that sets these fields of the answer, and its headers where they are given."""

    def change(answer):
        headers = fields.get("headers", {})
        answer.headers |= headers
        for name, value in fields.items():
            if name != "headers":
                setattr(answer, name, value)

    return change


def instead(status, **headers):
    return set_to(status=status, body=b"", headers={name.replace("_", "-"): value for name, value in headers.items()})


def ranges(hub):
    return [request.headers.get("range") for request in hub.transfers()]


def assert_refused(result, home, error, text):
    assert result.get("error") == error and text in result["message"], result
    assert not visible_files(home)


# --- transfers that break off


def test_a_dropped_connection_is_resumed_from_its_last_byte(client, hub, tmp_path):
    hub.misbehave(set_to(cut_after=100_000), path=CDN, times=2)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert ranges(hub) == [None, "bytes=100000-", "bytes=200000-"]
    assert sum(request.sent for request in hub.transfers()) == len(hub.contents(MODEL))


def test_a_connection_dropped_again_and_again_is_given_up_and_resumed_by_the_next_run(client, hub, tmp_path):
    hub.misbehave(set_to(cut_after=10_000), path=CDN, times=5)
    refused = client.fetch(hub.environment(tmp_path), MODEL)
    assert_refused(refused, tmp_path, "network", "the last of 5 tries")
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert ranges(hub)[-1] == "bytes=50000-"


def test_tries_that_bring_much_are_no_failures(client, hub, tmp_path):
    (hub.folder / "owner/name/model.pth").write_bytes(os.urandom(8 << 20))
    hub.misbehave(set_to(cut_after=(1 << 20) + 1), path=CDN, times=7)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))


def test_a_stalled_connection_is_given_up_and_resumed(client, hub, tmp_path):
    hub.misbehave(set_to(stall_after=500), path=CDN)
    assert_is(client.fetch(hub.environment(tmp_path, HF_HUB_DOWNLOAD_TIMEOUT=1), MODEL), hub.contents(MODEL))
    assert ranges(hub) == [None, "bytes=500-"]


def whole(answer):
    answer.status, answer.body = 200, answer.file
    answer.headers.pop("Content-Range", None)


def test_a_server_without_ranges_sends_all_again(client, hub, tmp_path):
    hub.misbehave(set_to(cut_after=100_000), path=CDN)
    hub.misbehave(whole, path=CDN, times=2)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert [(request.status, request.sent) for request in hub.transfers()] == [(200, 100_000), (200, 300_000)]


def test_another_range_than_asked_for_is_not_taken(client, hub, tmp_path):
    def shifted(answer):
        if answer.status == 206:
            size = len(answer.file)
            answer.body, answer.headers["Content-Range"] = answer.file[7:], f"bytes 7-{size - 1}/{size}"

    hub.misbehave(set_to(cut_after=100_000), path=CDN)
    hub.misbehave(shifted, path=CDN, times=2)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert ranges(hub) == [None, "bytes=100000-", None]


def leave(home, hub, beginning):
    """What an earlier run might have left of the model."""
    blobs = home / "hf/hub/models--owner--name/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hashlib.sha256(hub.contents(MODEL)).hexdigest()}.incomplete").write_bytes(beginning)


@pytest.mark.parametrize("beginning, expected", [
    (lambda contents: contents[:1000], ["bytes=1000-"]),
    (lambda contents: contents, []),
    (lambda contents: contents + b"more", [None]),
    (lambda contents: bytes(1000), ["bytes=1000-", None]),
    (lambda contents: bytes(len(contents)), [None]),
], ids=["a beginning", "all", "more than all", "another beginning", "another file"])
def test_what_an_earlier_run_left_is_used_if_it_is_right(client, hub, tmp_path, beginning, expected):
    leave(tmp_path, hub, beginning(hub.contents(MODEL)))
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert ranges(hub) == expected and not incomplete_files(tmp_path)


# --- lengths


@pytest.mark.parametrize("length", [10, 300_001], ids=["shorter", "longer"])
def test_another_length_than_the_files_is_refused(client, hub, tmp_path, length):
    hub.misbehave(set_to(headers={"Content-Length": str(length)}), path=CDN)
    refused = client.fetch(hub.environment(tmp_path), MODEL)
    assert_refused(refused, tmp_path, "network", f"{length} bytes are announced, 300000 were expected")


def test_a_length_that_was_a_lie_from_the_start_is_refused(client, hub, tmp_path):
    for method in ("HEAD", "GET"):
        hub.misbehave(set_to(headers={"Content-Length": "5"}), method=method, times=-1)
    refused = client.fetch(hub.environment(tmp_path), SMALL)
    assert_refused(refused, tmp_path, "network", "the last of 5 tries")


def test_more_than_the_files_length_is_refused(client, hub, tmp_path):
    hub.misbehave(lambda answer: set_to(body=answer.body + b"more", with_length=False)(answer), path=CDN)
    refused = client.fetch(hub.environment(tmp_path), MODEL)
    assert_refused(refused, tmp_path, "checksum", "more comes than the 300000 bytes")


def chunked(answer):
    half = len(answer.body) // 2
    pieces = (answer.body[:half], answer.body[half:], b"")
    answer.body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    answer.with_length, answer.headers["Transfer-Encoding"] = False, "chunked"


@pytest.mark.parametrize("without_length", [set_to(with_length=False), chunked], ids=["closed", "chunked"])
def test_a_length_need_not_be_told(client, hub, tmp_path, without_length):
    hub.misbehave(set_to(with_length=False), method="HEAD")
    hub.misbehave(without_length)
    assert_is(client.fetch(hub.environment(tmp_path), SMALL), hub.contents(SMALL))


def test_an_early_end_without_a_length_is_noticed(client, hub, tmp_path):
    hub.misbehave(set_to(with_length=False, cut_after=100_000), path=CDN)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert ranges(hub) == [None, "bytes=100000-"]


def test_what_could_not_be_verified_is_refused(client, hub, tmp_path):
    hub.misbehave(set_to(with_length=False, headers={"ETag": '"abc"'}), method="HEAD")
    hub.misbehave(set_to(with_length=False))
    refused = client.fetch(hub.environment(tmp_path), SMALL)
    assert_refused(refused, tmp_path, "network", "neither size nor checksum")


# --- other bytes


@pytest.mark.parametrize("file, path", [(MODEL, CDN), (SMALL, "config")], ids=["large", "small"])
def test_other_bytes_are_refused_and_forgotten(client, hub, tmp_path, file, path):
    hub.misbehave(lambda answer: set_to(body=answer.body[:-2] + b"!!")(answer), path=path)
    refused = client.fetch(hub.environment(tmp_path), file)
    assert_refused(refused, tmp_path, "checksum", "instead of")
    assert not incomplete_files(tmp_path)
    assert_is(client.fetch(hub.environment(tmp_path), file), hub.contents(file))


def test_other_bytes_of_a_url_are_refused_and_forgotten(client, hub, tmp_path):
    file = {"url": f"{hub.url}/files/vocabulary.txt?key=secret", "path": "words.txt", "sha256": "0" * 64}
    refused = client.fetch(hub.environment(tmp_path), file)
    assert_refused(refused, tmp_path, "checksum", "instead of")
    assert "secret" not in refused["message"]
    assert [path.name for path in tmp_path.rglob("words.txt*")] == ["words.txt.lock"]


def test_a_compressed_answer_is_not_taken_for_the_file(client, hub, tmp_path):
    def compressed(answer):
        answer.body, answer.headers["Content-Encoding"] = gzip.compress(answer.body), "gzip"

    hub.misbehave(compressed, path=CDN)
    refused = client.fetch(hub.environment(tmp_path), MODEL)
    assert_refused(refused, tmp_path, "network", 'sent as "gzip"')
    assert {request.headers["accept-encoding"] for request in hub.requests} == {"identity"}


# --- refusals


@pytest.mark.parametrize("method, path", [("HEAD", ""), ("GET", CDN)])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(client, hub, tmp_path, method, path, status):
    hub.misbehave(instead(status), times=2, method=method, path=path)
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))


def test_the_time_that_a_busy_server_asks_for_is_waited(client, hub, tmp_path):
    hub.misbehave(instead(429, Retry_After="1"), method="HEAD")
    assert_is(client.fetch(hub.environment(tmp_path), SMALL), hub.contents(SMALL))
    first, second = hub.requests[:2]
    assert second.time - first.time >= 1


def test_hours_are_not_waited(client, hub, tmp_path):
    hub.misbehave(instead(503, Retry_After="3600"), method="HEAD")
    refused = client.fetch(hub.environment(tmp_path), SMALL)
    assert_refused(refused, tmp_path, "network", "come back in 3600 s")
    assert len(hub.requests) == 1


def test_a_server_that_stays_busy_is_given_up(client, hub, tmp_path):
    hub.misbehave(instead(503), times=-1, method="HEAD")
    assert_refused(client.fetch(hub.environment(tmp_path), SMALL), tmp_path, "network", "HTTP 503 (the last of 5 tries)")
    assert len(hub.requests) == 5


def test_nobody_there_is_a_network_error_that_says_where_the_file_may_be_put(client, hub, tmp_path):
    nowhere = hub.environment(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    refused = client.fetch(nowhere, MODEL)
    assert_refused(refused, tmp_path, "network", "put it at")
    assert "owner/name/model.pth" in refused["message"] and "127.0.0.1:9" in refused["message"]


@pytest.mark.parametrize("file, text", [
    (MODEL | {"path": "other.pth"}, "no such file"),
    (MODEL | {"repository": "owner/other"}, "no such repository"),
    (MODEL | {"revision": "other"}, "no such revision"),
], ids=["file", "repository", "revision"])
def test_what_is_missing_is_named(client, hub, tmp_path, file, text):
    assert_refused(client.fetch(hub.environment(tmp_path), file), tmp_path, "not_found", text)
    assert len(hub.requests) == 1


@pytest.mark.parametrize("name, value", [
    ("X-Repo-Commit", ""), ("X-Repo-Commit", "../../x"), ("X-Linked-Etag", '"../../x"'), ("X-Linked-Etag", '"x.incomplete"'),
    ("X-Linked-Etag", '"' + "x" * 200 + '"'),
])
def test_a_servers_names_are_not_trusted(client, hub, tmp_path, name, value):
    hub.misbehave(set_to(headers={name: value}), method="HEAD")
    assert client.fetch(hub.environment(tmp_path), MODEL)["error"] == "network"
    assert not hub.transfers() and not (tmp_path / "hf").exists()


@pytest.mark.parametrize("raw", [
    b"\0\xff garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.1 999999 ?\r\n\r\n", b"",
], ids=["garbage", "many headers", "a long header", "a negative length", "a status", "nothing"])
def test_an_answer_that_is_none_is_a_network_error(client, hub, tmp_path, raw):
    hub.misbehave(set_to(raw=raw), times=-1, method="HEAD")
    assert_refused(client.fetch(hub.environment(tmp_path), MODEL), tmp_path, "network", "owner/name/model.pth: ")


# --- redirects


def test_a_renamed_repository_is_followed(client, hub, tmp_path):
    shutil.copytree(hub.folder / "owner/name", hub.folder / "owner/renamed")
    for method, revision in (("HEAD", "main"), ("GET", hub.commit("owner/renamed"))):
        moved = {"X-Repo-Commit": "", "Location": f"/owner/renamed/resolve/{revision}/model.pth"}
        hub.misbehave(set_to(status=307, body=b"", headers=moved), method=method, path="owner/name/resolve")
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_circles_are_left(client, hub, tmp_path, method):
    def around(answer):
        answer.status, answer.headers = 302, {"Location": f"/owner/name/resolve/{hub.commit('owner/name')}/model.pth"}

    hub.misbehave(around, times=-1, method=method, path="resolve")
    assert_refused(client.fetch(hub.environment(tmp_path), MODEL), tmp_path, "network", "redirected more than 5 times")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://[?signature=secret", "//"])
def test_redirects_lead_nowhere_but_to_the_web(client, hub, tmp_path, location):
    hub.misbehave(set_to(status=302, body=b"", headers={"Location": location}), path=CDN)
    refused = client.fetch(hub.environment(tmp_path), MODEL)
    assert_refused(refused, tmp_path, "network", "not a URL")
    assert "secret" not in refused["message"]


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for this machine that nobody has signed but itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-out", folder / "certificate", "-keyout", folder / "key"], check=True, capture_output=True)
    return folder / "certificate", folder / "key"


@pytest.fixture
def secure_hub(hub, certificate):
    with HubServer(hub.folder, certificate) as server:
        yield server


def test_a_certificate_that_nobody_knows_is_refused(client, secure_hub, tmp_path):
    refused = client.fetch(secure_hub.environment(tmp_path, HF_TOKEN="hf_secret"), MODEL)
    assert_refused(refused, tmp_path, "network", "certificate")
    assert not secure_hub.requests and "tries" not in refused["message"]


def test_a_certificate_that_is_trusted_is_taken(client, secure_hub, certificate, tmp_path):
    trusted = secure_hub.environment(tmp_path, SSL_CERT_FILE=certificate[0])
    assert_is(client.fetch(trusted, MODEL), secure_hub.contents(MODEL))


def test_tls_is_not_left_by_a_redirect(client, hub, secure_hub, certificate, tmp_path):
    secure_hub.misbehave(set_to(headers={"Location": f"{hub.url}/cdn/owner/name/model.pth"}), path="resolve")
    refused = client.fetch(secure_hub.environment(tmp_path, SSL_CERT_FILE=certificate[0]), MODEL)
    assert_refused(refused, tmp_path, "network", "without TLS")
    assert not hub.requests


def test_a_host_that_no_one_knows_is_named_after_all_tries(client, hub, tmp_path):
    refused = client.fetch(hub.environment(tmp_path, HF_ENDPOINT="http://hub.invalid"), MODEL)
    assert refused["error"] == "network" and "hub.invalid" in refused["message"]
