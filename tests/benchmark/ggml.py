"""ggml's ops wkv6 and wkv7, those inside of llama.cpp, called directly through the libraries of llama-cpp-python."""

import ctypes
import importlib.util
from ctypes import POINTER, c_bool, c_float, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path

import torch

GGML_TYPE_F32 = 0


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


def available() -> bool:
    return importlib.util.find_spec("llama_cpp") is not None


def open_ggml():
    """libggml-base and libggml-cpu of the package, with the types of the functions used here."""
    folder = Path(importlib.util.find_spec("llama_cpp").origin).parent / "lib"
    base, cpu = (ctypes.CDLL(str(min(folder.glob(f"{stem}*.so*"))), mode=ctypes.RTLD_GLOBAL) for stem in ("libggml-base", "libggml-cpu"))
    signatures = {
        "ggml_init": [InitParams],
        "ggml_free": [c_void_p],
        "ggml_new_tensor_2d": [c_void_p, c_int, c_int64, c_int64],
        "ggml_new_tensor_3d": [c_void_p, c_int, c_int64, c_int64, c_int64],
        "ggml_get_data": [c_void_p],
        "ggml_rwkv_wkv6": [c_void_p] * 7,
        "ggml_rwkv_wkv7": [c_void_p] * 8,
        "ggml_new_graph": [c_void_p],
        "ggml_build_forward_expand": [c_void_p, c_void_p],
    }
    for name, types in signatures.items():
        getattr(base, name).argtypes, getattr(base, name).restype = types, c_void_p
    cpu.ggml_graph_compute_with_ctx.argtypes = [c_void_p, c_void_p, c_int]
    cpu.ggml_cpu_init()
    return base, cpu


class GgmlOp:
    """A graph of one op on float32 tensors [B,T,H,N]; the arguments are those of libwkv's op, no state: zeros."""

    def __init__(self, name, *inputs, state=None, threads=1):
        self.base, self.cpu = open_ggml()
        self.threads, self.shape = threads, inputs[0].shape
        room = 2 * sum(x.nbytes for x in inputs) + (256 << 20)
        self.context = self.base.ggml_init(InitParams(room, None, False))
        B, _, H, N = self.shape
        # wkv6 keeps [key, value] states, wkv7 [value, key] ones.
        self.turned = name == "wkv6"
        state = torch.zeros(B, H, N, N) if state is None else state.mT if self.turned else state
        state = self.put(state.reshape(B, -1))
        decay = lambda w: torch.exp(-torch.exp(w))  # noqa: E731
        if name == "wkv6":
            r, k, v, w, u = inputs
            tensors = [self.put(x) for x in (k, v, r, u, decay(w))]
            self.out = self.base.ggml_rwkv_wkv6(self.context, *tensors, state)
        else:
            r, w, k, v, a, b = inputs
            tensors = [self.put(x) for x in (r, decay(w), k, v, a, b)]
            self.out = self.base.ggml_rwkv_wkv7(self.context, *tensors, state)
        self.graph = self.base.ggml_new_graph(self.context)
        self.base.ggml_build_forward_expand(self.graph, self.out)

    def put(self, x):
        x = x.reshape(-1, *x.shape[2:]) if x.dim() == 4 else x
        create = self.base.ggml_new_tensor_3d if x.dim() == 3 else self.base.ggml_new_tensor_2d
        tensor = create(self.context, GGML_TYPE_F32, *reversed(x.shape))
        ctypes.memmove(self.base.ggml_get_data(tensor), x.contiguous().data_ptr(), x.nbytes)
        return tensor

    def __call__(self):
        self.cpu.ggml_graph_compute_with_ctx(self.context, self.graph, self.threads)

    def results(self):
        """y and the state after."""
        self()
        B, _, H, N = self.shape
        sizes = [self.shape.numel(), B * H * N * N]
        data = ctypes.cast(self.base.ggml_get_data(self.out), POINTER(c_float * sum(sizes)))
        y, state = torch.frombuffer(data.contents, dtype=torch.float32).clone().split(sizes)
        state = state.view(B, H, N, N)
        return y.view(self.shape), state.mT if self.turned else state

    def __del__(self):
        self.base.ggml_free(self.context)
