"""Golden models that see: a checkpoint with its inputs, the published outputs and a loss with its gradients."""
import json
from dataclasses import dataclass
from typing import Callable

import safetensors.torch
import torch
import wkv
from conftest import golden
from torch.nn.functional import cross_entropy


class VisionFixture:
    """f["out.logits"], its weights as a checkpoint, its configuration."""

    def __init__(self, case, folder):
        self.case = case
        self.tensors = safetensors.torch.load_file(golden(f"{case.file}.safetensors"))
        self.config = json.loads(golden(f"{case.file}.json").read_text())["config"]
        self.weights = self.part("w.")
        self.path = folder / f"{case.family}.safetensors"
        safetensors.torch.save_file(self.weights, self.path)

    def __getitem__(self, name):
        return self.tensors[name]

    def part(self, prefix):
        return {name.removeprefix(prefix): x for name, x in self.tensors.items() if name.startswith(prefix)}

    def load(self, **options):
        return wkv.load(self.path, config=self.config, family=self.case.family, **options)

    def outputs(self, model, dtype=torch.float32):
        return self.case.outputs(model, self, dtype)

    def expected(self):
        return [self[name] for name in self.case.expected]

    def loss(self, outputs):
        return self.case.loss(outputs, self)


@dataclass
class Case:
    family: str
    file: str
    expected: list[str]  # what the outputs are called in the file
    outputs: Callable  # (model, fixture, dtype) -> list of tensors
    loss: Callable  # (outputs, fixture) -> the loss whose gradients the file has


def logits(model, f, dtype):
    return [model(f["in.x"].to(dtype))]


def class_token_maps(model, f, dtype):
    return [x for pair in model.features(f["in.x"].to(dtype)) for x in pair]


def maps(model, f, dtype):
    return model.features(f["in.x"].to(dtype))


def towers(model, f, dtype):
    return list(model(f["in.image"].to(dtype), f["in.text"]))


def weighted_sum(names):
    return lambda outputs, f: sum((x * f[name]).sum() for x, name in zip(outputs, names))


def contrastive(outputs, f):
    return wkv.contrastive_loss(*outputs)


def classification(outputs, f):
    return cross_entropy(outputs[0], f["in.labels"])


PAIRS = [f"{i}.{part}" for i in range(2) for part in ("patch", "cls")]
SCALES = range(1, 5)
ADAPTER = ([f"out.f{i}" for i in SCALES], maps, weighted_sum([f"in.g{i}" for i in SCALES]))

CASES = {
    "vrwkv": Case("vrwkv", "vrwkv/tiny_prenorm_32x32", ["out.logits"], logits, classification),
    "vrwkv6": Case("vrwkv6", "vrwkv6/tiny_prenorm_hd16_32x32", ["out.logits"], logits, classification),
    "vrwkv6 with class token": Case(
        "vrwkv6",
        "vrwkv6/cls_token_backbone_hd16",
        [f"out.{pair}" for pair in PAIRS],
        class_token_maps,
        weighted_sum([f"in.g{pair}" for pair in PAIRS]),
    ),
    "detection adapter": Case("vrwkv_adapter", "vrwkv_adapter/det_64x96", *ADAPTER),
    "segmentation adapter": Case("vrwkv_adapter", "vrwkv_adapter/seg_96x64", *ADAPTER),
    "clip": Case(
        "rwkv_clip",
        "rwkv_clip/tiny_cls",
        ["out.image_features", "out.text_features", "out.logit_scale"],
        towers,
        contrastive,
    ),
}


def relative_error(actual, expected):
    return ((actual.double() - expected.double()).abs().max() / expected.double().abs().max().clamp(min=1e-30)).item()
