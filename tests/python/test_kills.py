"""kill -9 at random moments, while files are written: what is there afterwards is whole, and the next run goes on."""
import json
import random
import shutil
import signal
import subprocess
import time

import pytest
import torch
from test_convert import PROGRAM, assert_same, rwkv4_tensors, tensors_of


@pytest.fixture
def kills(request):
    return 100 if request.config.getoption("--full") else 8


@pytest.fixture
def moments():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


def kill_at_some_moment(arguments, has_begun, length, moments):
    """Mostly while it writes, which is when has_begun() says so; else anywhere in the length of the run."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if moments.random() < 0.7:
        while process.poll() is None and not has_begun():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.3 * length))
    else:
        time.sleep(moments.uniform(0, 1.2 * length))
    process.kill()
    assert process.wait() in (0, -signal.SIGKILL)


def seconds_of(arguments):
    begin = time.monotonic()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


@pytest.mark.parametrize("output", ["out.pth", "out.safetensors", "out"])
def test_a_killed_conversion_leaves_the_whole_result_or_what_was_there(output, tmp_path, kills, moments):
    torch.save(rwkv4_tensors(layers=8, width=256), tmp_path / "in.pth")
    folder, target = tmp_path / "folder", tmp_path / "folder" / output
    arguments = [PROGRAM, "convert", tmp_path / "in.pth", target, *(["--to", "hf"] if target.suffix == "" else [])]
    folder.mkdir()
    length = seconds_of(arguments)
    expected, old = tensors_of(target), {"old": torch.zeros(1)}

    def reset():
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        if target.suffix == ".pth":
            torch.save(old, target)

    unfinished = finished = 0
    reset()
    for _ in range(kills):
        kill_at_some_moment(arguments, lambda: any(folder.glob("*.tmp")), length, moments)
        left = len(list(folder.glob("*.tmp")))
        assert left <= 1  # the one before went when this one began
        unfinished += left
        if target.exists() and (found := tensors_of(target)).keys() != old.keys():
            assert_same(found, expected)
            finished += 1
            reset()
    print(f"{kills} kills: {unfinished} left a part of the result, {finished} the whole")
    reset()
    subprocess.run(arguments, check=True)
    assert_same(tensors_of(target), expected)
    assert list(folder.iterdir()) == [target]


def curve_of(run):
    """metrics.jsonl but for the times."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "tokens_per_second")} for line in lines]


def test_a_killed_training_goes_on_to_the_same_model_on_the_same_curve(tmp_path, kills, moments):
    text = tmp_path / "text"
    text.write_bytes(b"the quick brown fox jumps over the lazy dog. " * 200)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({"output": str(tmp_path / "whole"), "steps": 30, "batch": 2, "context": 32, "checkpoint_every": 1,
                                  "log_every": 1, "evaluate_every": 10,
                                  "model": {"layers": 1, "width": 32, "head_size": 16}, "data": {"files": [str(text)]}}))
    length = seconds_of([PROGRAM, "train", recipe])
    expected, curve = (tmp_path / "whole/model.safetensors").read_bytes(), curve_of(tmp_path / "whole")
    parts = tmp_path / "parts"
    arguments = [PROGRAM, "train", recipe, f"output={parts}"]
    finished = 0
    for _ in range(kills):
        kill_at_some_moment(arguments, lambda: any(parts.glob("*.incomplete")), length, moments)
        if (parts / "model.safetensors").exists():
            assert (parts / "model.safetensors").read_bytes() == expected
            finished += 1
            shutil.rmtree(parts)
    print(f"{kills} kills: {finished} runs were finished by then")
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert (parts / "model.safetensors").read_bytes() == expected
    assert curve_of(parts) == curve
    assert len(list(parts.glob("checkpoint-*"))) == 1
