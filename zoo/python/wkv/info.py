"""`python -m wkv.info`: what a report of a problem should contain."""
import platform

import torch

import wkv
from wkv._library import built_for, library_folder


def info() -> dict[str, str]:
    folder = library_folder()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "wkv": wkv.__version__,
        "PyTorch": f"{torch.__version__} (built for {built_for(folder)})",
        "Python": platform.python_version(),
        "system": platform.platform(),
        "devices": ", ".join(["cpu", *devices]),
        "instructions": torch.ops.wkv._cpu_isa(),
        "CUDA kernels": cuda_kernels(),
        "threads": str(torch.get_num_threads()),
        "libraries": str(folder),
    }


def cuda_kernels() -> str:
    """The architectures that they were built for, as nvcc names them."""
    architectures = torch.ops.wkv._cuda_architectures()
    found = f"for {architectures}" if architectures else "not built"
    return found if torch.version.cuda else f"{found}; this PyTorch has no CUDA"


if __name__ == "__main__":
    for name, value in info().items():
        print(f"{name:14}{value}")
