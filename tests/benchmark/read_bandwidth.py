"""How fast this machine reads memory, right now: the limit of everything that reads each weight once."""

import ctypes
import mmap
import os
import subprocess
import tempfile
import time
from pathlib import Path

BYTES = 512 << 20  # far more than any cache


class ReadBandwidth:
    """Sums a large block of memory with `threads` threads, each of which walks eight places at once."""

    def __init__(self, threads):
        self.threads = threads
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "read_bandwidth.so"
            source = Path(__file__).with_suffix(".c")
            flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
            subprocess.run([os.environ.get("CC", "cc"), *flags, source, "-o", library], check=True)
            self.read = ctypes.CDLL(str(library)).read_memory
        self.memory = mmap.mmap(-1, BYTES)
        self.memory.madvise(mmap.MADV_HUGEPAGE)
        self.memory.write(bytes(BYTES))
        self.block = ctypes.c_char.from_buffer(self.memory)

    def gigabytes_per_second(self):
        start = time.perf_counter()
        self.read(ctypes.byref(self.block), ctypes.c_size_t(BYTES), ctypes.c_int(self.threads))
        return BYTES / (time.perf_counter() - start) / 1e9
