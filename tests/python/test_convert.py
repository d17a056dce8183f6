"""`wkv convert` as a user runs it: what other programs read, how much memory it takes, and what a full disk or a folder
without permission leaves behind."""
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import ROOT, golden

PROGRAM = Path(os.environ.get("WKV_PROGRAM", ROOT / "build/bin/wkv"))


def convert(*arguments, status=0, **options):
    done = subprocess.run([PROGRAM, "convert", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True, timeout=300, **options)
    assert done.returncode == status, done.stderr
    return done.stderr


def tensors_of(path):
    """Of a file of either container, or of a folder."""
    if path.is_dir():
        return {name: tensor for file in sorted(path.glob("*.safetensors")) for name, tensor in tensors_of(file).items()}
    return torch.load(path, weights_only=True) if path.suffix == ".pth" else safetensors.torch.load_file(path)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert torch.equal(found[name].contiguous().flatten().view(torch.uint8), tensor.contiguous().flatten().view(torch.uint8)), name


def rwkv4_tensors(layers, width, vocab=64, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    tensors = {}

    def add(name, *shape):
        tensors[name] = torch.randn(*shape, generator=generator).to(dtype)

    add("emb.weight", vocab, width)
    for layer in range(layers):
        block = f"blocks.{layer}"
        for norm in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            add(f"{block}.{norm}.weight", width), add(f"{block}.{norm}.bias", width)
        for name in ("decay", "first"):
            add(f"{block}.att.time_{name}", width)
        for name in ("att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"):
            add(f"{block}.{name}", 1, 1, width)
        for name in ("att.key", "att.value", "att.receptance", "att.output", "ffn.receptance"):
            add(f"{block}.{name}.weight", width, width)
        add(f"{block}.ffn.key.weight", 4 * width, width), add(f"{block}.ffn.value.weight", width, 4 * width)
    add("ln_out.weight", width), add("ln_out.bias", width), add("head.weight", vocab, width)
    return tensors


@pytest.fixture(scope="module")
def tensors():
    weights = safetensors.torch.load_file(golden("rwkv7/tiny.safetensors"))
    weights = {name[2:]: tensor for name, tensor in weights.items() if name.startswith("w.")}
    return {name: tensor.bfloat16() if tensor.dim() == 2 else tensor for name, tensor in weights.items()}


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_torch_save_comes_back_as_torch_reads_it(tensors, tmp_path, legacy):
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    convert(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert_same(tensors_of(tmp_path / "b.safetensors"), tensors)
    convert(tmp_path / "b.safetensors", tmp_path / "c.pth", "--to", "upstream")
    assert_same(tensors_of(tmp_path / "c.pth"), tensors)
    assert_same(torch.load(tmp_path / "c.pth", weights_only=True, mmap=True), tensors)
    with zipfile.ZipFile(tmp_path / "c.pth") as archive:
        assert archive.testzip() is None


def test_a_folder_of_the_hub_has_shards_of_the_size_asked_for(tmp_path):
    tensors = rwkv4_tensors(layers=2, width=64)
    torch.save(tensors, tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "hub", "--to", "hf", "--shard-size", "100kB", "--dtype", "bf16")
    index = json.loads((tmp_path / "hub/model.safetensors.index.json").read_text())
    files = sorted(path.name for path in (tmp_path / "hub").glob("*.safetensors"))
    assert len(files) > 2 and set(files) == set(index["weight_map"].values())
    assert index["metadata"]["total_size"] == sum(2 * tensor.numel() for tensor in tensors.values())
    for file in files:
        part = tensors_of(tmp_path / "hub" / file)
        assert sum(2 * tensor.numel() for tensor in part.values()) <= 100_000
        assert all(index["weight_map"][name] == file for name in part)
    assert json.loads((tmp_path / "hub/config.json").read_text())["torch_dtype"] == "bfloat16"
    convert(tmp_path / "hub", tmp_path / "b.pth")
    assert_same(tensors_of(tmp_path / "b.pth"), {name: tensor.bfloat16() for name, tensor in tensors.items()})


def test_a_value_that_the_dtype_has_not_is_a_warning(tensors, tmp_path):
    torch.save(tensors | {"ln_out.bias": tensors["ln_out.bias"] + 1e5}, tmp_path / "a.pth")
    message = convert(tmp_path / "a.pth", tmp_path / "b.pth", "--dtype", "fp16")
    assert "warning" in message and "ln_out.bias" in message and len(message.splitlines()) == 1
    assert tensors_of(tmp_path / "b.pth")["ln_out.bias"].isinf().all()


# --- memory ---

# Run by a small Python, because a process begins with the peak of the one that it was forked from.
MEASURE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"""


def peak_memory(*arguments):
    command = [sys.executable, "-S", "-c", MEASURE, PROGRAM, "convert", *map(str, arguments)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}).stdout)


@pytest.mark.parametrize("source", ["a.pth", "a.safetensors"])
def test_memory_is_that_of_the_largest_tensors(tmp_path, source):
    tensors = rwkv4_tensors(layers=12, width=512, dtype=torch.float32)
    torch.save(tensors, tmp_path / "a.pth")
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    size = (tmp_path / source).stat().st_size
    torch.save(rwkv4_tensors(layers=1, width=64), tmp_path / "small.pth")
    alone = peak_memory(tmp_path / "small.pth", tmp_path / "small.safetensors")
    for output in (["b.safetensors"], ["b.pth"], ["c.safetensors", "--dtype", "bf16"], ["d", "--to", "hf"],
                   ["e.safetensors", "--dtype", "int8"]):
        taken = peak_memory(tmp_path / source, tmp_path / output[0], *output[1:]) - alone
        assert taken < size / 3, f"{output}: {taken / 1e6:.0f} MB for a file of {size / 1e6:.0f} MB"


# --- full disks, folders without permission ---

@pytest.fixture
def source(tmp_path):
    torch.save(rwkv4_tensors(layers=4, width=128), tmp_path / "in.pth")
    return tmp_path / "in.pth"


@pytest.mark.parametrize("output", [["out.pth"], ["out.safetensors"], ["out", "--to", "hf"]])
def test_a_full_disk_leaves_nothing(output, source):
    folder = source.parent / "folder"
    folder.mkdir()

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    message = convert(source, folder / output[0], *output[1:], status=1, preexec_fn=limit)
    assert "free some space" in message and len(message.splitlines()) == 1
    assert not any(folder.iterdir())


@pytest.mark.parametrize("output", [["out.pth"], ["out.safetensors"], ["out", "--to", "hf"]])
def test_a_file_system_that_runs_full_leaves_nothing(output, source):
    folder = source.parent / "folder"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("a file system may not be mounted here")
    try:
        message = convert(source, folder / output[0], *output[1:], status=1)
        assert "No space left on device" in message and len(message.splitlines()) == 1
        assert not any(folder.iterdir())
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("output", [["out.pth"], ["out.safetensors"], ["out", "--to", "hf"]])
def test_a_folder_without_permission_is_an_error(output, source):
    with tempfile.TemporaryDirectory() as open_folder:  # pytest's own are closed to other users
        folder = Path(open_folder) / "folder"
        folder.mkdir()
        shutil.copy(source, open_folder)
        os.chmod(open_folder, 0o755), os.chmod(folder, 0o555)
        user = {"user": 65534} if os.geteuid() == 0 else {}  # root may write everywhere
        message = convert(Path(open_folder) / "in.pth", folder / output[0], *output[1:], status=1, **user)
        assert "Permission denied" in message and len(message.splitlines()) == 1
        assert not any(folder.iterdir())


def test_a_missing_folder_and_a_full_one_are_errors(source):
    folder = source.parent
    assert "No such file" in convert(source, folder / "missing/out.pth", status=1)
    assert "No such file" in convert(source, folder / "missing/out", "--to", "hf", status=1)
    assert "not empty" in convert(source, folder, "--to", "hf", status=1)
    assert list(folder.iterdir()) == [source]


def test_a_file_may_be_written_over_the_one_that_is_read(source):
    tensors = tensors_of(source)
    convert(source, source, "--dtype", "bf16")
    assert_same(tensors_of(source), {name: tensor.bfloat16() for name, tensor in tensors.items()})
    os.link(source, source.parent / "other.pth")  # the same file under two names
    convert(source, source.parent / "other.pth", "--dtype", "fp32")
    assert_same(tensors_of(source), {name: tensor.bfloat16() for name, tensor in tensors.items()})
