"""Kills, full disks and other processes: no file is ever seen that is not whole, and the next run goes on."""
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hub_client import MODEL, assert_is, client, hub, incomplete_files, visible_files  # noqa: F401 (fixtures)

CDN = "/cdn/"
KILLS = 100


def slow(bytes_per_second):
    return lambda answer: setattr(answer, "bytes_per_second", bytes_per_second)


def wait_until(happened):
    while not happened():
        time.sleep(0.002)


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # renamed meanwhile
        return 0


def test_kills_at_random_moments_leave_nothing_wrong_and_the_next_run_goes_on(client, hub, tmp_path):
    model, moment = hub.folder / "owner/name/model.pth", random.Random(1)
    model.write_bytes(os.urandom(60_000))
    hub.misbehave(slow(1_000_000), times=-1, path=CDN)
    homes, resumed = 0, 0
    for kill in range(KILLS):
        home = tmp_path / str(homes)
        left = [path.stat().st_size for path in incomplete_files(home)]
        begun = len(hub.transfers())
        run = client.start(hub.environment(home), MODEL)
        if kill % 2:
            time.sleep(moment.uniform(0, 0.1))
        else:
            enough = moment.randint(sum(left), 60_000)
            wait_until(lambda: visible_files(home) or any(size_of(path) >= enough for path in incomplete_files(home)))
        run.kill()
        run.wait()
        seen = visible_files(home)
        assert all(path.read_bytes() == model.read_bytes() for path in seen), kill
        if left and len(hub.transfers()) > begun:
            assert hub.transfers()[begun].headers.get("range") == (f"bytes={left[0]}-" if left[0] else None)
            resumed += left[0] > 0
        homes += any("snapshots" in path.parts for path in seen)
    for home in range(homes + 1):
        assert_is(client.fetch(hub.environment(tmp_path / str(home)), MODEL), model.read_bytes())
        assert not incomplete_files(tmp_path / str(home))
    assert resumed > 0


def test_ctrl_c_keeps_what_came(client, hub, tmp_path):
    hub.misbehave(slow(100_000), path=CDN)
    run = client.start(hub.environment(tmp_path), MODEL)
    wait_until(lambda: any(map(size_of, incomplete_files(tmp_path))))
    run.kill(signal.SIGINT)
    assert run.wait() == signal.SIGINT and not visible_files(tmp_path)
    kept = incomplete_files(tmp_path)[0].stat().st_size
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert hub.transfers()[-1].headers["range"] == f"bytes={kept}-"


def test_two_processes_transfer_once(client, hub, tmp_path):
    hub.misbehave(slow(1_000_000), path=CDN)
    runs = [client.start(hub.environment(tmp_path), MODEL) for _ in range(3)]
    for run in runs:
        assert_is(run.result(), hub.contents(MODEL))
    assert len(hub.transfers()) == 1


def test_threads_of_one_process_transfer_once(client, hub, tmp_path):
    hub.misbehave(slow(1_000_000), path=CDN)
    for result in client.fetch(hub.environment(tmp_path), *[MODEL] * 4):
        assert_is(result, hub.contents(MODEL))
    assert len(hub.transfers()) == 1


def test_who_waits_goes_on_where_a_killed_process_was(client, hub, tmp_path):
    hub.misbehave(slow(200_000), path=CDN)
    first = client.start(hub.environment(tmp_path), MODEL)
    wait_until(lambda: any(map(size_of, incomplete_files(tmp_path))))
    second = client.start(hub.environment(tmp_path), MODEL)
    wait_until(lambda: len([request for request in hub.requests if request.method == "HEAD"]) == 2)
    first.kill()
    first.wait()
    assert_is(second.result(), hub.contents(MODEL))
    assert len(hub.transfers()) == 2 and hub.transfers()[-1].headers["range"] != "bytes=0-"


# --- disks


def test_a_limit_of_the_files_size_is_a_full_disk(client, hub, tmp_path):
    refused = client.fetch(hub.environment(tmp_path), MODEL, file_bytes=100_000)
    assert refused["error"] == "disk_full" and "File too large" in refused["message"]
    assert not visible_files(tmp_path) and incomplete_files(tmp_path)[0].stat().st_size == 100_000
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert hub.transfers()[-1].headers["range"] == "bytes=100000-"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True)
    if not mounted or mounted.returncode != 0:
        pytest.skip("a small file system can't be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_file_that_is_too_large_for_the_disk_is_not_begun(client, hub, small_disk):
    refused = client.fetch(hub.environment(small_disk), MODEL)
    assert refused["error"] == "disk_full" and "are missing" in refused["message"]
    assert not visible_files(small_disk) and not incomplete_files(small_disk)[0].stat().st_size


def test_a_disk_that_becomes_full_keeps_what_came(client, hub, small_disk, tmp_path):
    contents = hub.contents(MODEL)[:100_000]
    (hub.folder / "owner/name/model.pth").write_bytes(contents)
    hub.misbehave(slow(200_000), path=CDN)
    run = client.start(hub.environment(small_disk), MODEL)
    wait_until(lambda: any(map(size_of, incomplete_files(small_disk))))
    with contextlib.suppress(OSError):
        (small_disk / "filler").write_bytes(bytes(128 << 10))
    refused = run.result()
    assert refused["error"] == "disk_full" and "No space left" in refused["message"]
    assert not visible_files(small_disk)
    (small_disk / "filler").unlink()
    assert_is(client.fetch(hub.environment(small_disk), MODEL), contents)
    assert hub.transfers()[-1].headers["range"] != "bytes=0-"


# --- other programs' traces


def test_a_link_to_nothing_is_replaced(client, hub, tmp_path):
    path = Path(client.fetch(hub.environment(tmp_path), MODEL)["path"])
    path.unlink()
    path.symlink_to("../../blobs/gone")
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert len(hub.transfers()) == 1


def test_a_blob_that_was_cut_is_fetched_again(client, hub, tmp_path):
    result = client.fetch(hub.environment(tmp_path), MODEL)
    os.truncate(result["path"], 1000)
    known = MODEL | {"size": len(hub.contents(MODEL)), "sha256": hashlib.sha256(hub.contents(MODEL)).hexdigest()}
    assert_is(client.fetch(hub.environment(tmp_path), known), hub.contents(MODEL))


def test_a_branch_without_a_commit_is_asked_for(client, hub, tmp_path):
    client.fetch(hub.environment(tmp_path), MODEL)
    (tmp_path / "hf/hub/models--owner--name/refs/main").write_text("")
    assert_is(client.fetch(hub.environment(tmp_path), MODEL), hub.contents(MODEL))
    assert len(hub.transfers()) == 1
