"""`wkv bench`: its report, its worker, and what reads both."""
import json
import subprocess
import sys

import pytest
import torch
from test_cli import PROGRAM, ROOT, error_of, text_of

sys.path.insert(0, str(ROOT / "tests/benchmark"))
from benchmark_worker import Worker, WorkerFailed  # noqa: E402

SMALL = ("--prompt", "4,16", "--decode", 3, "--rounds", 3)


@pytest.fixture
def worker(tmp_path):
    command = [PROGRAM, "bench", "--worker", "embedded", "--threads", "1"]
    worker = Worker("embedded", command, environment=None, log=tmp_path / "log")
    yield worker
    worker.quit()
    assert worker.process.returncode == 0


def test_json_holds_every_combination_with_median_and_spread():
    report = json.loads(text_of("bench", "embedded", "--json", *SMALL, "--batch", "1,2", "--threads", "1,2", "--dtype", "fp32,bf16"))
    assert [part["dtype"] for part in report["dtypes"]] == ["fp32", "bf16"] and report["rounds"] == 3
    for part in report["dtypes"]:
        assert 0 < part["load_seconds"] < 60
        assert part["resident_mib_before_load"] > 20
        assert 20 < part["resident_mib_after_load"] <= part["peak_mib"]
        expected = [
            (work, threads, batch, tokens)
            for threads in (1, 2)
            for work, lengths in (("decode", [3]), ("prompt", [4, 16]))
            for batch in (1, 2)
            for tokens in lengths
        ]
        assert [(r["work"], r["threads"], r["batch"], r["tokens"]) for r in part["results"]] == expected
        for result in part["results"]:
            speed = result["tokens_per_second"]
            assert 0 < speed["lowest"] <= speed["median"] <= speed["highest"]


def test_a_table_has_a_line_for_each_piece_of_work():
    lines = text_of("bench", "embedded", *SMALL, "--batch", "1,2").splitlines()
    assert lines[0].startswith("fp32: loaded in ") and "tokens/s" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["decode"] * 2 + ["prompt"] * 4


@pytest.mark.parametrize("arguments", [
    ("--batch", "0"), ("--batch", "-1"), ("--batch", "1,x"), ("--batch", "1000000"), ("--prompt", "0"), ("--prompt", "1000000000000"),
    ("--threads", "0"), ("--threads", "99999999999999999999"), ("--decode", "0"), ("--rounds", "0"), ("--dtype", "int3"),
    ("--worker", "--json"), ("--worker", "--rounds", "3"), ("--worker", "--dtype", "fp32,bf16"), ("--worker", "--threads", "1,2"),
], ids=" ".join)
def test_bad_usage_is_refused(arguments):
    error_of("bench", "embedded", *arguments, status=2)


def test_a_missing_checkpoint_is_refused():
    assert "no-such-model.pth" in error_of("bench", "no-such-model.pth")
    assert "no-such-model.pth" in error_of("bench", "--worker", "no-such-model.pth")


def test_a_worker_is_ready_after_loading(worker):
    assert worker.facts["ready"] == 1 and worker.facts["name"] == "libwkv-fp32" and worker.facts["load_s"] > 0


def test_a_workers_logits_are_those_of_the_library(worker):
    import wkv

    tokens = torch.tensor([[i * 7919 % 256 for i in range(9)]])
    expected = wkv.load("embedded")(tokens)[0][0, -1]
    answer = worker.ask("logits 9")
    torch.testing.assert_close(torch.tensor(answer["v"]), expected[:16], rtol=1e-4, atol=1e-4)
    assert answer["argmax"] == expected.argmax()


def test_a_worker_times_decoding_and_prompts_and_tells_its_memory(worker):
    for command in ("decode 4", "prefill 32"):
        answer = worker.ask(command)
        assert answer["s"] > 0 and answer["cpu"] > 0
    memory = worker.ask("rss")
    assert 20 < memory["cur_mb"] <= memory["peak_mb"]


@pytest.mark.parametrize("command", ["", "dance", "decode", "decode 0", "decode -3", "decode x", "prefill 1e3", "logits 99999999999", "rss 1"])
def test_a_bad_command_is_answered_and_does_not_end_the_worker(worker, command):
    with pytest.raises(WorkerFailed):
        worker.ask(command)
    assert worker.ask("rss")["cur_mb"] > 0


def test_a_worker_ends_with_its_input_and_prints_nothing_else():
    done = subprocess.run([PROGRAM, "bench", "--worker", "embedded"], input=b"logits 1\n", stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0
    assert [sorted(json.loads(line)) for line in done.stdout.splitlines()] == [["load_s", "name", "ready"], ["argmax", "v"]]
