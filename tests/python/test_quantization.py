"""Quantised models from Python and from the command line."""
import json
import os
import subprocess
from pathlib import Path

import pytest
import safetensors.torch
import torch
import wkv

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))
TEXT = b"And God said, Let there be light: and there was light. " * 8


def run(*arguments, status=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=TEXT, capture_output=True, timeout=300)
    assert done.returncode == status, done.stderr.decode()
    return (done.stdout if status == 0 else done.stderr).decode()


def bits_per_byte(model, *options):
    return json.loads(run("score", model, "--text", "-", "--json", *options))["bits_per_byte"]


@pytest.fixture(scope="module", params=["int8", "int4"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def converted(dtype, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantized") / f"{dtype}.safetensors"
    run("convert", "embedded", path, "--dtype", dtype)
    return path


def test_load_takes_the_name(dtype):
    model = wkv.load("embedded", dtype=dtype)
    assert model.named_parameters()["head.weight"].dtype == torch.uint8
    assert model.named_parameters()["emb.weight"].dtype == torch.bfloat16


def test_a_converted_file_is_the_model_quantised_at_load(dtype, converted):
    tokens = torch.tensor([list(TEXT[:50])])
    assert torch.equal(wkv.load(converted)(tokens)[0], wkv.load("embedded", dtype=dtype)(tokens)[0])


def test_a_converted_file_is_plain_safetensors(converted):
    tensors = safetensors.torch.load_file(converted)
    assert tensors["head.weight"].dtype == torch.uint8 and tensors["emb.weight"].dtype == torch.bfloat16


def test_a_dtype_unpacks(converted):
    for dtype in (torch.float32, torch.bfloat16):
        assert wkv.load(converted, dtype=dtype).named_parameters()["head.weight"].dtype == dtype


def test_training_is_refused():
    model = wkv.load("embedded", dtype="int8")
    with pytest.raises(ValueError, match="is quantised, for inference only"):
        model.train()
    with pytest.raises(ValueError, match="is quantised, for inference only"):
        model.loss(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4, dtype=torch.long))


def test_another_name_is_refused():
    with pytest.raises(ValueError, match='int8 or int4, not to "int3"'):
        wkv.load("embedded", dtype="int3")


def test_text_is_written_in_every_dtype(dtype, converted):
    arguments = ("generate", "--prompt", "In the beginning", "--tokens", 20, "--temperature", 0, "--json")
    expected = run(*arguments[:1], "embedded", *arguments[1:], "--dtype", dtype)
    found = run(*arguments[:1], converted, *arguments[1:])
    assert json.loads(found)["text"] == json.loads(expected)["text"]


def test_scores_are_near_the_originals(dtype, converted):
    original = bits_per_byte("embedded", "--dtype", "fp32")
    assert bits_per_byte("embedded", "--dtype", dtype) == pytest.approx(original, rel=0.02 if dtype == "int8" else 0.2)
    assert bits_per_byte(converted) == bits_per_byte("embedded", "--dtype", dtype)


def test_info_shows_the_quantisation(dtype, converted):
    info, original = (json.loads(run("info", path, "--json")) for path in (converted, "embedded"))
    assert info["dtypes"].get(dtype, 0) > 0
    assert info["parameters"] == original["parameters"] and info["config"] == original["config"]


def test_one_quantisation_after_another_is_refused(dtype, converted, tmp_path):
    other = {"int8": "int4", "int4": "int8"}[dtype]
    assert f"its matrices are {dtype} already" in run("convert", converted, tmp_path / "x.safetensors", "--dtype", other, status=1)
    assert not list(tmp_path.iterdir())
