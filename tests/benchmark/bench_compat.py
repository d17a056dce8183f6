"""transformers' RWKV-4 of 169 million parameters on a CPU: as it is, and after wkv.compat.enable("transformers").

python tests/benchmark/bench_compat.py [--tokens 256] [--rounds 5] [--threads 2]
"""

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "zoo/python"))

import benchlib
import transformers
import wkv


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = transformers.RwkvConfig(hidden_size=768, num_hidden_layers=12, vocab_size=50277, context_length=1024)
    model = transformers.RwkvForCausalLM(config).train()
    tokens = torch.randint(config.vocab_size, (1, arguments.tokens))

    @torch.no_grad()
    def forward():
        model(tokens, use_cache=False)

    def train():
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()

    def enabled(step):
        def run():
            wkv.compat.enable("transformers")
            step()
            wkv.compat.disable("transformers")

        return run

    for step in (forward, train):
        cases = {"wkv.compat": enabled(step), "transformers": step}
        results = benchlib.measure(cases, arguments.rounds, arguments.threads, warmup=1)
        benchlib.report(f"{step.__name__}, {arguments.tokens} tokens", results, "wkv.compat")


if __name__ == "__main__":
    main()
