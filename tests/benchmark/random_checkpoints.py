"""Checkpoints with random values under the published names: speed and memory don't depend on what the values are, only on
their sizes (in a channel mix half of the squared ReLUs are zero).

Scales are chosen so that activations stay of ordinary size through all layers.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Shape:
    version: int
    layers: int
    width: int
    vocab: int


SHAPES = {
    "rwkv7-0.1B": Shape(7, 12, 768, 65536),
    "rwkv7-0.4B": Shape(7, 24, 1024, 65536),
    "rwkv4-0.1B": Shape(4, 12, 768, 50277),
    "rwkv7-1.5B": Shape(7, 24, 2048, 65536),
}
HEAD_SIZE = 64
# Of RWKV-7's low-rank projections, by width.
SMALL_RANKS = {"w": 64, "a": 64, "v": 32, "g": 128}
RANKS = {768: SMALL_RANKS, 1024: SMALL_RANKS, 2048: {"w": 96, "a": 96, "v": 64, "g": 256}}
BASED_1B = {
    "n_embd": 1792, "n_layer": 36, "n_head": 16, "n_inner": 3584, "vocab_size": 50264, "layer_norm_epsilon": 1e-5,
    "rms_norm": True, "activation_function": "swiglu", "tie_word_embeddings": True, "max_position_embeddings": 0,
    "alt_mixer_layers": [1, 6, 11, 16, 21, 27, 33], "alt_mixer_2_layers": [2, 7, 12, 17, 22, 28, 34],
    "mixer": {
        "_target_": "based.models.mixers.convolution.BaseConv", "use_bias": True, "expand_proj": 4, "kernel_sizes": 3,
    },
    "alt_mixer": {
        "_target_": "based.models.mixers.linear_attention.LinearAttention", "feature_dim": 16, "num_heads": 16,
        "feature_map": {"_target_": "based.models.mixers.linear_attention.TaylorExp", "input_dim": 16},
    },
    "alt_mixer_2": {
        "_target_": "based.models.mixers.slide_attention.SlidingAttention", "window_size": 256, "num_heads": 16,
        "causal": True,
    },
}


class RandomTensors:
    """A state dict that is filled by kind of tensor; a GPU draws the values of large ones sooner."""

    def __init__(self, width, device="cpu"):
        self.tensors, self.width = {}, width
        self.generator = torch.Generator(device).manual_seed(0)

    def normal(self, name, *shape, std, mean=0.0):
        values = torch.randn(*shape, generator=self.generator, device=self.generator.device)
        self.tensors[name] = (values * std + mean).bfloat16().cpu()

    def uniform(self, name, *shape, low=0.0, high=1.0):
        values = torch.rand(*shape, generator=self.generator, device=self.generator.device)
        self.tensors[name] = (values * (high - low) + low).bfloat16().cpu()

    def matrix(self, name, rows, columns, gain):
        self.normal(name, rows, columns, std=gain / math.sqrt(columns))

    def norm(self, name):
        self.normal(f"{name}.weight", self.width, std=0.1, mean=1)
        self.normal(f"{name}.bias", self.width, std=0.05)


def time_mix_4(t, name, width):
    t.uniform(f"{name}.time_decay", width, low=-5, high=1)
    t.uniform(f"{name}.time_first", width, low=-1, high=1)
    for part in "kvr":
        t.uniform(f"{name}.time_mix_{part}", 1, 1, width)


def channel_mix_4(t, name, width):
    for part in "kr":
        t.uniform(f"{name}.time_mix_{part}", 1, 1, width)
    t.matrix(f"{name}.receptance.weight", width, width, gain=0.7)


def time_mix_7(t, name, width, first):
    for part in "rwkvag":
        t.uniform(f"{name}.x_{part}", 1, 1, width)
    t.uniform(f"{name}.w0", 1, 1, width, low=-6, high=0)
    for part in "a" if first else "av":
        t.normal(f"{name}.{part}0", 1, 1, width, std=0.5)
    for part, rank in RANKS[width].items():
        if part == "v" and first:
            continue
        t.normal(f"{name}.{part}1", width, rank, std=(0.1 if part == "w" else 0.5) / math.sqrt(width))
        t.normal(f"{name}.{part}2", rank, width, std=0.1)
    t.normal(f"{name}.k_k", 1, 1, width, std=0.05, mean=0.85)
    t.normal(f"{name}.k_a", 1, 1, width, std=0.05, mean=1)
    t.normal(f"{name}.r_k", width // HEAD_SIZE, HEAD_SIZE, std=0.1)
    t.norm(f"{name}.ln_x")


def random_tensors(shape: Shape, device="cpu"):
    t, width = RandomTensors(shape.width, device), shape.width
    t.normal("emb.weight", shape.vocab, width, std=0.3)
    for layer in range(shape.layers):
        block = f"blocks.{layer}"
        for norm in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            t.norm(f"{block}.{norm}")
        for part in ("receptance", "key", "value", "output"):
            t.matrix(f"{block}.att.{part}.weight", width, width, gain=0.6)
        if shape.version == 7:
            time_mix_7(t, f"{block}.att", width, first=layer == 0)
            t.uniform(f"{block}.ffn.x_k", 1, 1, width)
        else:
            time_mix_4(t, f"{block}.att", width)
            channel_mix_4(t, f"{block}.ffn", width)
        t.matrix(f"{block}.ffn.key.weight", 4 * width, width, gain=0.7)
        t.matrix(f"{block}.ffn.value.weight", width, 4 * width, gain=0.5)
    t.norm("ln_out")
    t.matrix("head.weight", shape.vocab, width, gain=1.0)
    return t.tensors


def based_tensors(config: dict, device="cpu"):
    width, inner = config["n_embd"], config["n_inner"]
    features = config["alt_mixer"]["num_heads"] * config["alt_mixer"]["feature_dim"]
    t = RandomTensors(width, device)
    t.normal("transformer.embeddings.word_embeddings.weight", config["vocab_size"], width, std=0.3)
    for layer in range(config["n_layer"]):
        block = f"transformer.layers.{layer}"
        mixer = f"{block}.mixer"
        if layer in config["alt_mixer_2_layers"]:
            t.matrix(f"{mixer}.Wqkv.weight", 3 * width, width, gain=0.6)
            t.matrix(f"{mixer}.out_proj.weight", width, width, gain=0.6)
        elif layer in config["alt_mixer_layers"]:
            for part, rows in (("proj_q", features), ("proj_k", features), ("proj_v", width), ("out_proj", width)):
                t.matrix(f"{mixer}.{part}.weight", rows, width, gain=0.6)
        else:
            t.matrix(f"{mixer}.in_proj.weight", 4 * width, width, gain=0.6)
            t.normal(f"{mixer}.in_proj.bias", 4 * width, std=0.1)
            t.normal(f"{mixer}.conv.conv.weight", 2 * width, 1, 3, std=0.3)
            t.matrix(f"{mixer}.out_proj.weight", width, 2 * width, gain=0.6)
            t.normal(f"{mixer}.out_proj.bias", width, std=0.1)
        t.matrix(f"{block}.mlp.fc1.weight", 2 * inner, width, gain=0.7)
        t.matrix(f"{block}.mlp.fc2.weight", width, inner, gain=0.7)
        for norm in ("norm1", "norm2"):
            t.normal(f"{block}.{norm}.weight", width, std=0.1, mean=1)
    t.normal("transformer.ln_f.weight", width, std=0.1, mean=1)
    t.tensors["lm_head.weight"] = t.tensors["transformer.embeddings.word_embeddings.weight"]
    return t.tensors


def vrwkv_tiny_tensors():
    """The classifier VRWKV-T for images of 224 pixels."""
    width, layers, patch, side, classes = 192, 12, 16, 14, 1000
    t = RandomTensors(width)
    t.normal("backbone.patch_embed.projection.weight", width, 3, patch, patch, std=1 / math.sqrt(3 * patch * patch))
    t.normal("backbone.patch_embed.projection.bias", width, std=0.1)
    t.normal("backbone.pos_embed", 1, side * side, width, std=0.02)
    for layer in range(layers):
        block = f"backbone.layers.{layer}"
        for norm in ("ln0", "ln1", "ln2") if layer == 0 else ("ln1", "ln2"):
            t.norm(f"{block}.{norm}")
        t.uniform(f"{block}.att.spatial_decay", width, low=-5, high=3)
        t.uniform(f"{block}.att.spatial_first", width, low=-2, high=0)
        for mix in ("att.spatial_mix_k", "att.spatial_mix_v", "att.spatial_mix_r", "ffn.spatial_mix_k", "ffn.spatial_mix_r"):
            t.uniform(f"{block}.{mix}", 1, 1, width)
        for part in ("receptance", "key", "value", "output"):
            t.matrix(f"{block}.att.{part}.weight", width, width, gain=0.6)
        t.matrix(f"{block}.ffn.key.weight", 4 * width, width, gain=0.7)
        t.matrix(f"{block}.ffn.value.weight", width, 4 * width, gain=0.5)
        t.matrix(f"{block}.ffn.receptance.weight", width, width, gain=0.7)
    t.norm("backbone.ln1")
    t.matrix("head.fc.weight", classes, width, gain=1.0)
    t.normal("head.fc.bias", classes, std=0.1)
    return t.tensors


def tensors_of(name: str, device):
    if name == "vrwkv-t":
        return vrwkv_tiny_tensors()
    return based_tensors(BASED_1B, device) if name == "based-1b" else random_tensors(SHAPES[name], device)


def random_checkpoint(name: str, folder: Path, device="cpu") -> Path:
    """The file of that shape in the folder, made where it is not there yet."""
    path = folder / f"{name}.pth"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        torch.save(tensors_of(name, device), unfinished)
        unfinished.rename(path)
    return path


def weights_read_for_a_token(path: Path) -> int:
    """All matrices once; of the embedding only a row."""
    tensors = torch.load(path, mmap=True, weights_only=True)
    return sum(t.numel() for name, t in tensors.items() if t.dim() == 2 and name != "emb.weight")
