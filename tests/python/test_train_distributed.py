"""`wkv train` in several processes: it does what one process does, and ends when one of them does."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import heed_ctrl_c
from test_cli import PROGRAM

SECONDS = 120
WORDS = "in the beginning was the word and the word was with others and was read again".split()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(" ".join(WORDS[i * i % 16] for i in range(600)))
    return path


@pytest.fixture
def recipe(text, tmp_path):
    """Writes a recipe, by default of a small RWKV-7, and gives its path."""

    def write(name="recipe", model=(), data=(), optimizer=(), **settings):
        content = {
            "output": str(tmp_path / "output"), "seed": 7, "steps": 6, "batch": 4, "context": 16, "log_every": 1,
            "checkpoint_every": 0, "export_dtype": "fp32", "threads": 1,
            "model": {"family": "rwkv7", "layers": 2, "width": 32, "head_size": 16, **dict(model)},
            "data": {"files": [str(text)], **dict(data)},
            # eps: where a gradient is rounding alone, so would be AdamW's step.
            "optimizer": {
                "learning_rate": 1e-2, "final_learning_rate": 1e-2, "warmup": 0, "eps": 1e-4, **dict(optimizer)
            },
            **settings,
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    return write


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(rank, size, port, recipe, *overrides, cwd=None, **environment):
    place = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port} if size > 1 else {}
    variables = {key: str(value) for key, value in {**place, **environment}.items()}
    return subprocess.Popen(
        [PROGRAM, "train", recipe, *overrides], env=os.environ | variables, cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c,
    )  # fmt: skip


def start_all(size, recipe, *overrides, **environment):
    port = free_port()
    return [start(rank, size, port, recipe, *overrides, **environment) for rank in range(size)]


def finish(processes, statuses=(0,)):
    """What they wrote to stderr."""
    try:
        said = [process.communicate(timeout=SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, words in zip(processes, said, strict=True):
        assert process.returncode in statuses, words
    return said


def metrics(folder, key="loss"):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def train(size, recipe, folder, *overrides):
    """The losses and the gradient norms of a run on this many ranks."""
    finish(start_all(size, recipe, f"output={folder}", *overrides))
    return metrics(folder) + metrics(folder, "gradient_norm")


def tensors(path):
    import safetensors.torch

    return safetensors.torch.load_file(path)


def wait_for(condition, processes):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in processes), finish(processes, statuses=range(-64, 64))
        time.sleep(0.01)


def steps_logged(folder):
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("order", ["shuffled", "consecutive"])
def test_two_ranks_train_as_one_with_the_whole_batch(recipe, order, tmp_path):
    path = recipe(data={"order": order, "reset": 0.2}, accumulate=2)
    one, two = (train(size, path, tmp_path / str(size)) for size in (1, 2))
    assert two == pytest.approx(one, rel=1e-4)
    assert len(one) == 12 and one[0] > one[5]


def test_a_run_goes_on_with_another_number_of_ranks(recipe, tmp_path):
    path = recipe(data={"order": "consecutive"}, checkpoint_every=2)
    whole = train(1, path, tmp_path / "whole")
    folder = tmp_path / "parts"
    for size, steps in ((2, 2), (1, 4), (2, 6)):
        finish(start_all(size, path, f"output={folder}", f"steps={steps}"))
    assert metrics(folder) == pytest.approx(whole[:6], rel=1e-4)
    found, expected = (tensors(run / "checkpoint-6/trainer.safetensors") for run in (folder, tmp_path / "whole"))
    assert found.keys() == expected.keys()
    assert all(found[name].shape == expected[name].shape for name in expected)


@pytest.mark.parametrize("family", ["rwkv4", "rwkv5", "rwkv6", "rwkv7", "rrwkv", "based"])
def test_ranks_that_share_sequences_train_as_one(recipe, family, tmp_path):
    # The state's gradients count from the second step on only where a mix begins at zero, and in BASED from the first.
    model = {"family": family, "layers": 3, **({"interval": 4} if family == "rrwkv" else {})}
    path = recipe(model=model, data={"order": "consecutive"}, steps=3)
    one = train(1, path, tmp_path / "1")
    two = train(2, path, tmp_path / "2", "sequence_ranks=2")
    assert two == pytest.approx(one, rel=1e-5)


def test_four_ranks_share_batches_and_sequences(recipe, tmp_path):
    path = recipe(steps=3)
    assert train(4, path, tmp_path / "4", "sequence_ranks=2") == pytest.approx(train(1, path, tmp_path / "1"), rel=1e-5)


def test_torchrun_starts_the_ranks(recipe, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2",
         "--master-port", str(free_port()), PROGRAM, "train", recipe()],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [str(tmp_path / "output")]  # of rank 0 alone
    assert len(metrics(tmp_path / "output")) == 6


@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_rank_is_killed_the_other_says_so_and_the_checkpoint_stays(recipe, killed, tmp_path):
    path = recipe(steps=100_000, checkpoint_every=5)
    processes = start_all(2, path)
    wait_for(lambda: steps_logged(tmp_path / "output") > 6, processes)
    processes[killed].kill()
    begin = time.monotonic()
    said = finish(processes, statuses=(1, -signal.SIGKILL))[1 - killed]
    assert time.monotonic() - begin < 20
    assert said.splitlines()[-1].startswith(f"wkv: rank {killed} of 2 is gone")
    checkpoint = max((tmp_path / "output").glob("checkpoint-*[0-9]"), key=lambda p: int(p.name.split("-")[1]))
    steps = int(checkpoint.name.split("-")[1]) + 2
    finish(start_all(2, path, f"steps={steps}"))
    assert len(metrics(tmp_path / "output")) == steps


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_signal_to_one_rank_stops_all_with_a_checkpoint(recipe, stopped, tmp_path):
    processes = start_all(2, recipe(steps=100_000))
    wait_for(lambda: steps_logged(tmp_path / "output") > 2, processes)
    processes[stopped].send_signal(signal.SIGINT if stopped else signal.SIGTERM)
    finish(processes)
    steps = steps_logged(tmp_path / "output")
    assert (tmp_path / f"output/checkpoint-{steps}/trainer.safetensors").exists()


def test_the_others_say_what_stopped_a_rank(recipe, text, tmp_path):
    port, path = free_port(), recipe(data={"files": [text.name]})
    processes = [start(rank, 2, port, path, cwd=folder) for rank, folder in enumerate((text.parent, tmp_path))]
    first, second = finish(processes, statuses=(1,))
    assert second == f"wkv: data.files: cannot read {text.name}\n"
    assert first == f"wkv: rank 1 of 2 stopped: data.files: cannot read {text.name}\n"


def test_a_rank_that_does_not_come_is_named(recipe):
    process = start(0, 2, free_port(), recipe(), WKV_RENDEZVOUS_SECONDS=1)
    assert "rank 1 of 2 did not come" in finish([process], statuses=(1,))[0]


def test_a_meeting_point_where_nobody_is_is_named(recipe):
    port = free_port()
    process = start(1, 2, port, recipe(), WKV_RENDEZVOUS_SECONDS=1)
    assert f"nobody at 127.0.0.1:{port}" in finish([process], statuses=(1,))[0]


def test_ranks_with_different_recipes_are_refused(recipe):
    port = free_port()
    processes = [start(rank, 2, port, recipe(), f"optimizer.beta1=0.{9 - rank}") for rank in range(2)]
    for said in finish(processes, statuses=(1,)):
        assert "rank 1 was started with another optimizer.beta1 than rank 0" in said


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch=3"], "batch must be divisible by the 2 ranks that share it, got 3"),
        (["sequence_ranks=3", "context=18"], "sequence_ranks must divide the number of ranks, 2 (WORLD_SIZE), got 3"),
        (["model.family=transformer", "sequence_ranks=2"], "grows with every token"),
    ],
)
def test_what_ranks_can_not_divide_is_refused(recipe, overrides, message):
    for said in finish(start_all(2, recipe(), *overrides), statuses=(1,)):
        assert message in said


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": 2}, "RANK must be a whole number from 0 to 1 where WORLD_SIZE is 2, got nothing"),
        ({"WORLD_SIZE": 2, "RANK": 2}, 'RANK must be a whole number from 0 to 1 where WORLD_SIZE is 2, got "2"'),
        ({"WORLD_SIZE": 2, "RANK": 1}, "MASTER_ADDR must be the address of rank 0"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number"),
    ],
)
def test_variables_that_make_no_sense_are_refused(recipe, variables, message):
    said = finish([start(0, 1, 0, recipe(), **variables)], statuses=(1,))[0]
    assert message in said
