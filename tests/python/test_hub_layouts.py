"""Folders of other packages: what they wrote is loaded, and what we write they load, name by name; each test of a
package skips without it.

pip install flash-linear-attention transformers einops
"""
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import safetensors.torch
import torch
from test_cli import PROGRAM

import wkv

DATA = Path(__file__).parents[1] / "data"
FOLDERS = ["hub_layouts/rwkv6_fla", "hub_layouts/rwkv7_fla", "rwkv4/hf_l3c64"]

pytestmark = pytest.mark.filterwarnings("ignore")  # flash-linear-attention warns of the missing GPU and of RWKV itself


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_gives_the_logits_of_its_package(name):
    expected = safetensors.torch.load_file(DATA / name / "expected.safetensors")
    logits, _ = wkv.load(DATA / name)(expected["in.tokens"])
    torch.testing.assert_close(logits, expected["out.logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_older_versions_with_a_bin_file_is_the_same_model(name, tmp_path):
    shutil.copy(DATA / name / "config.json", tmp_path)
    torch.save(safetensors.torch.load_file(DATA / name / "model.safetensors"), tmp_path / "pytorch_model.bin")
    tokens = torch.arange(9)[None]
    assert torch.equal(wkv.load(tmp_path)(tokens)[0], wkv.load(DATA / name)(tokens)[0])


def published(fixture, path):
    """A fixture's weights as a checkpoint under the published names."""
    tensors = safetensors.torch.load_file(DATA / f"{fixture}.safetensors")
    weights = {name[2:]: x for name, x in tensors.items() if name.startswith("w.") and "time_state" not in name}
    safetensors.torch.save_file(weights, path)
    return path


def converted(source, output, *options):
    subprocess.run([PROGRAM, "convert", source, output, "--to", "hf", *options], check=True, timeout=300)
    return output


def in_package(folder, auto_class):
    """The folder as its package's model, every name and shape of it matched."""
    model, found = auto_class.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not any(found.values()), found
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize(
    "family, fixture, config",
    [
        ("rwkv6", "rwkv6/state-tuning", {}),
        ("rwkv6", "rwkv6/state-tuning", {"ln_x_eps": 1e-5}),
        ("rwkv7", "rwkv7/tiny", {"ln_x_eps": 16e-5}),
    ],
)
def test_flash_linear_attention_loads_what_we_write(family, fixture, config, tmp_path):
    pytest.importorskip("fla", reason="needs flash-linear-attention", exc_type=ImportError)
    import fla.models  # noqa: F401 (tells transformers of its models)
    import transformers

    source = published(fixture, tmp_path / "published.safetensors")
    folder = converted(source, tmp_path / "hub", "--config", json.dumps(config))
    tokens = torch.arange(24)[None]
    expected, _ = wkv.load(source, config=config)(tokens)
    wkv.compat.enable("fla")
    try:
        logits = in_package(folder, transformers.AutoModelForCausalLM)(tokens).logits
    finally:
        wkv.compat.disable("fla")
    torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(wkv.load(folder)(tokens)[0], expected, rtol=0, atol=0)


@torch.no_grad()
def test_transformers_loads_the_rwkv4_that_we_write(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers", exc_type=ImportError)
    source = published("rwkv4/datt96", tmp_path / "published.safetensors")
    folder = converted(source, tmp_path / "hub")
    tokens = torch.arange(24)[None]
    # Its states are as wide as the model, which the attention of this one is not.
    logits = in_package(folder, transformers.AutoModelForCausalLM)(tokens, use_cache=False).logits
    torch.testing.assert_close(logits, wkv.load(source)(tokens)[0], rtol=0, atol=1e-5)
