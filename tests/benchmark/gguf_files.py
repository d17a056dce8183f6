"""RWKV-7 checkpoints as GGUF files for llama.cpp: written with the package gguf, quantised by llama.cpp itself."""

import re
from pathlib import Path

import torch

CONTEXT = 1 << 20  # RWKV has no limit; the format wants one

FULL_NAMES = {
    "emb.weight": "token_embd.weight",
    "blocks.0.ln0": "token_embd_norm",
    "ln_out": "output_norm",
    "head.weight": "output.weight",
}
BLOCK_NAMES = {
    "ln1": "attn_norm",
    "ln2": "attn_norm_2",
    "att.ln_x": "time_mix_ln",
    "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key",
    "att.value": "time_mix_value",
    "att.output": "time_mix_output",
    "ffn.x_k": "channel_mix_lerp_k",
    "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}


def gguf_name(name):
    for ours, theirs in FULL_NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    _, layer, rest = name.split(".", 2)
    suffix = re.search(r"\.(weight|bias)$", rest)
    stem = rest[: suffix.start()] if suffix else rest
    theirs = BLOCK_NAMES.get(stem) or "time_mix_" + stem.removeprefix("att.")
    return f"blk.{layer}.{theirs}.{suffix[1] if suffix else 'weight'}"


def gguf_tensors(tensors):
    """(name, tensor) as llama.cpp wants them: the mixes of a layer in one tensor, low-rank matrices transposed, vectors flat,
    and in block 0 something for the value residual that it doesn't have."""
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    for layer in range(layers):
        block = f"blocks.{layer}.att."
        mixes = torch.stack([tensors[f"{block}x_{part}"].reshape(1, 1, -1) for part in "rwkvag"])
        yield f"blk.{layer}.time_mix_lerp_fused.weight", mixes
    tensors = dict(tensors)
    for part in "012":
        tensors.setdefault(f"blocks.0.att.v{part}", tensors[f"blocks.0.att.a{part}"])
    for name, tensor in tensors.items():
        if re.search(r"\.att\.x_.$", name):
            continue
        if re.search(r"\.att\.[wavg][12]$", name):
            tensor = tensor.T.contiguous()
        elif tensor.dim() > 2 or name.endswith("att.r_k"):
            tensor = tensor.flatten()
        yield gguf_name(name), tensor


def write_gguf(checkpoint: Path, path: Path, dtype: str):
    """dtype: of the matrices, "f32" or "bf16"; all else is f32."""
    import gguf

    tensors = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    first, vocab, width = "blocks.0.att.", *tensors["emb.weight"].shape
    writer = gguf.GGUFWriter(path, "rwkv7")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")))
    writer.add_feed_forward_length(tensors["blocks.0.ffn.key.weight"].shape[0])
    writer.add_head_count(0)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(tensors[f"{first}r_k"].shape[1])
    writer.add_decay_lora_rank(tensors[f"{first}w1"].shape[1])
    writer.add_iclr_lora_rank(tensors[f"{first}a1"].shape[1])
    writer.add_value_residual_mix_lora_rank(tensors["blocks.1.att.v1"].shape[1])
    writer.add_gate_lora_rank(tensors[f"{first}g1"].shape[1])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if dtype == "f32" else gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([f"token {i}" for i in range(vocab)])
    writer.add_token_types([gguf.TokenType.NORMAL] * vocab)
    for name, tensor in gguf_tensors(tensors):
        values = tensor.float().numpy()
        if tensor.dim() == 2 and dtype == "bf16":
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source: Path, path: Path, kind: str):
    """kind: "q8_0" or "q4_0". llama.cpp leaves the low-rank matrices in the type of the source."""
    import llama_cpp

    silence = llama_cpp.llama_log_callback(lambda *_: None)  # it tells of each tensor
    llama_cpp.llama_log_set(silence, None)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = {"q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    if llama_cpp.llama_model_quantize(bytes(source), bytes(path), parameters) != 0:
        raise RuntimeError(f"llama.cpp can't quantise {source} to {kind}")


def gguf_file(checkpoint: Path, kind: str) -> Path:
    """The checkpoint in that format, beside it; made where it is not there yet."""
    path = checkpoint.with_suffix(f".{kind}.gguf")
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        if kind in ("f32", "bf16"):
            write_gguf(checkpoint, unfinished, kind)
        else:
            quantise(gguf_file(checkpoint, "bf16"), unfinished, kind)
        unfinished.rename(path)
    return path
