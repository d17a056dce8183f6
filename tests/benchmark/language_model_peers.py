"""Other programs that run RWKV on a CPU, as benchmark workers that speak `wkv bench --worker`'s protocol.

language_model_peers.py ENGINE CHECKPOINT --threads N      ENGINE: rwkv:fp32, llama.cpp:q8_0, transformers:bf16, ...

Each engine is a class: made with (checkpoint, format, threads), which loads; begin() starts a sequence; feed(tokens) reads
more of it and returns the logits of the last token. Importing a package is not loading: it comes before the clock starts.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

FORMATS = {"rwkv": ("fp32", "bf16"), "llama.cpp": ("f32", "bf16", "q8_0", "q4_0"), "transformers": ("fp32", "bf16")}
PACKAGES = {"rwkv": ("rwkv",), "llama.cpp": ("llama-cpp-python", "gguf"), "transformers": ("transformers",)}


def installed(peer):
    """The version of the peer's package; None where one that it needs is missing."""
    try:
        return [importlib.metadata.version(package) for package in PACKAGES[peer]][0]
    except importlib.metadata.PackageNotFoundError:
        return None


def is_version_7(checkpoint):
    import torch

    return "blocks.0.att.r_k" in torch.load(checkpoint, mmap=True, weights_only=True)


class RwkvPackage:
    def __init__(self, checkpoint, format, threads):
        self.model = self.RWKV(str(checkpoint.with_suffix("")), f"cpu {format}")
        self.vocab = (self.model.w if hasattr(self.model, "w") else self.model.z)["emb.weight"].shape[0]

    @classmethod
    def prepare(cls, checkpoint, threads):
        if is_version_7(checkpoint):
            os.environ["RWKV_V7_ON"] = "1"
        import torch
        from rwkv.model import RWKV

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        cls.RWKV = RWKV

    def begin(self):
        self.state = None

    def feed(self, tokens):
        logits, self.state = self.model.forward(tokens, self.state)
        return logits.float().flatten()


class Transformers:
    """RWKV-4 as transformers has it, with the published names translated to its own."""

    NAMES = {"blocks.0.ln0.": "blocks.0.pre_ln.", "emb.": "embeddings.", ".att.": ".attention.", ".ffn.": ".feed_forward."}
    PARTS = {"k": "key", "v": "value", "r": "receptance"}

    def __init__(self, checkpoint, format, threads):
        torch = self.torch
        tensors = torch.load(checkpoint, mmap=True, weights_only=True)
        self.vocab, width = tensors["emb.weight"].shape
        config = self.transformers.RwkvConfig(
            vocab_size=self.vocab,
            hidden_size=width,
            attention_hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")),
            rescale_every=0,
        )
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[format]
        self.model = self.transformers.RwkvForCausalLM(config).to(dtype).eval()
        self.model.load_state_dict({self.own_name(name): tensor for name, tensor in tensors.items()})

    @classmethod
    def prepare(cls, checkpoint, threads):
        import torch
        import transformers

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        cls.torch, cls.transformers = torch, transformers

    def own_name(self, name):
        if name.startswith("head."):
            return name
        for theirs, own in self.NAMES.items():
            name = name.replace(theirs, own)
        stem, _, part = name.rpartition("time_mix_")
        return "rwkv." + (f"{stem}time_mix_{self.PARTS[part]}" if stem else name)

    def begin(self):
        self.state = None

    def feed(self, tokens):
        out = self.model(self.torch.tensor([tokens]), state=self.state, use_cache=True)
        self.state = out.state
        return out.logits[0, -1].float()


class LlamaCpp:
    BATCH = 512  # tokens in one call

    def __init__(self, checkpoint, format, threads):
        api = self.api
        model_options = api.llama_model_default_params()
        # The layouts that it repacks quantised weights into end with an illegal instruction on some processors with AMX.
        model_options.use_extra_bufts = not format.startswith("q")
        self.model = api.llama_model_load_from_file(bytes(self.file), model_options)
        options = api.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = self.BATCH
        options.n_threads = options.n_threads_batch = threads
        options.no_perf = True
        self.context = api.llama_init_from_model(self.model, options)
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.batch = api.llama_batch_init(self.BATCH, 0, 1)
        self.begin()

    @classmethod
    def prepare(cls, checkpoint, threads):
        import llama_cpp

        cls.api, cls.file = llama_cpp, checkpoint
        cls.silence = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(cls.silence, None)
        llama_cpp.llama_backend_init()

    def begin(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        self.position = 0

    def feed(self, tokens):
        for first in range(0, len(tokens), self.BATCH):
            part = tokens[first : first + self.BATCH]
            self.batch.n_tokens = len(part)
            for i, token in enumerate(part):
                self.batch.token[i], self.batch.pos[i] = token, self.position + i
                self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
                self.batch.logits[i] = first + i + 1 == len(tokens)
            if self.api.llama_decode(self.context, self.batch) != 0:
                raise RuntimeError("llama_decode failed")
            self.position += len(part)
        return self.api.llama_get_logits_ith(self.context, len(part) - 1)[: self.vocab]


ENGINES = {"rwkv": RwkvPackage, "llama.cpp": LlamaCpp, "transformers": Transformers}


def memory():
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {"peak_mb": int(lines["VmHWM"].split()[0]) / 1024, "cur_mb": int(lines["VmRSS"].split()[0]) / 1024}


def answer(engine, command, count):
    tokens = [i * 7919 % engine.vocab for i in range(count)]
    engine.begin()
    if command == "logits":
        logits = [float(x) for x in engine.feed(tokens)]
        return {"v": logits[:16], "argmax": max(range(len(logits)), key=logits.__getitem__)}
    if command == "decode":
        engine.feed(tokens[:2])
    pieces = [[token] for token in tokens] if command == "decode" else [tokens]
    cpu, wall = time.process_time(), time.perf_counter()
    for piece in pieces:
        engine.feed(piece)
    return {"s": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def serve(engine, send):
    for line in sys.stdin:
        words = line.split()
        try:
            if words == ["quit"]:
                return
            if words == ["rss"]:
                send(memory())
            elif len(words) == 2 and words[0] in ("decode", "prefill", "logits"):
                send(answer(engine, words[0], int(words[1])))
            else:
                send({"error": f"no such command: {line.strip()}"})
        except (RuntimeError, ValueError) as error:
            send({"error": str(error)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    peer, format = options.engine.split(":")

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def send(message):
        print(json.dumps(message), file=out, flush=True)

    ENGINES[peer].prepare(options.checkpoint, options.threads)
    start_mb, start = memory()["cur_mb"], time.perf_counter()
    engine = ENGINES[peer](options.checkpoint, format, options.threads)
    send({"ready": 1, "load_s": time.perf_counter() - start, "name": options.engine, "start_mb": start_mb})
    serve(engine, send)


if __name__ == "__main__":
    main()
