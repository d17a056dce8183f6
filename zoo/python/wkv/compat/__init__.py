"""Other libraries' calls on wkv's operators, so that code written for them runs as it is.

training      the calls of the published training code: RUN_CUDA_RWKV4, ..., RUN_CUDA_RWKV7g
fla           flash-linear-attention's functions of RWKV
transformers  the function that transformers' RWKV-4 computes with
enable        flash-linear-attention's and transformers' own models, unchanged, on wkv's operators
gated_delta_rule, kda, gla    the delta rule's family, with flash-linear-attention's arguments

Nothing here imports those packages before enable() names them.
"""
from wkv.compat import fla, training, transformers
from wkv.compat.delta_rule import gated_delta_rule, gla, kda
from wkv.compat.hooks import disable, enable

__all__ = ["disable", "enable", "fla", "gated_delta_rule", "gla", "kda", "training", "transformers"]
