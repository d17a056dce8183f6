"""Writes the small checkpoints beside it: the same random tensors in every container that torch.save has had, and in
safetensors as the reference package writes it. Run it with any torch >= 2.10; the files need no remaking otherwise."""

import argparse
import collections
import pathlib

import torch
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parent
generator = torch.Generator().manual_seed(7)


def random(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=generator).to(dtype)


base = random(4, 6)
tensors = {
    "emb.weight": base,
    "emb.transposed": base.t(),  # a view of the same storage
    "emb.rows": base[1:3],  # and another, with an offset
    "head.weight": random(3, 5, dtype=torch.bfloat16),
    "half": random(7, dtype=torch.float16),
    "double": random(2, 2, dtype=torch.float64),
    "counts": torch.tensor([[1, -2], [3, 4]]),
    "int32": torch.tensor([-5, 6], dtype=torch.int32),
    "int16": torch.tensor([-7], dtype=torch.int16),
    "int8": torch.tensor([-8, 9, 10], dtype=torch.int8),
    "bytes": torch.tensor([0, 255], dtype=torch.uint8),
    "mask": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
}
ordered = collections.OrderedDict(tensors)
ordered["scalar"] = torch.nn.Parameter(tensors["scalar"])
ordered._metadata = {"": {"version": 1}}

save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, folder / "tensors.safetensors")
torch.save(tensors, folder / "dict.pth")
torch.save(ordered, folder / "ordered.pth")
torch.save(ordered, folder / "protocol5.pth", pickle_protocol=5)
torch.save(ordered, folder / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(ordered, folder / "legacy-protocol4.pth", _use_new_zipfile_serialization=False, pickle_protocol=4)

module = torch.nn.Linear(2, 2)
optimizer = torch.optim.AdamW(module.parameters())
module(torch.ones(1, 2)).sum().backward()
optimizer.step()
training = {"args": argparse.Namespace(lr=1e-3, name="run"), "optimizer": optimizer.state_dict(), "step": 3, "loss": [1.5, 0.5]}
torch.save(training | {"state_dict": ordered}, folder / "state_dict.pth")
torch.save({"checkpoint": 1, "model": {"module": ordered}} | training, folder / "nested.pth")

torch.serialization.set_crc32_options(False)
torch.save(ordered, folder / "without-checksums.pth")
torch.serialization.set_crc32_options(True)

# Files that are refused.
torch.save(module, folder / "refused-module.pth")
torch.save([base], folder / "refused-list.pth")
torch.save({"a": torch.zeros(2, dtype=torch.uint16)}, folder / "refused-uint16.pth")
torch.save({"a": torch.zeros(2, dtype=torch.complex64)}, folder / "refused-complex.pth")
torch.save({"a": torch.eye(2).to_sparse()}, folder / "refused-sparse.pth")
torch.save({"a": torch.zeros(1).expand(5)}, folder / "refused-expanded.pth")
torch.jit.save(torch.jit.script(torch.nn.Identity()), folder / "refused-torchscript.pt")
