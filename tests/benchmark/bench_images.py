"""From files to RWKV-CLIP's input (clip224): 1920 x 1080 JPEGs through wkv, and through Pillow with NumPy.

python tests/benchmark/bench_images.py [--images 32] [--rounds 7] [--threads 1 2]
"""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "zoo/python"))

import benchlib
import wkv.vision

SIZE = 224
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def write_images(folder, count):
    """Clouds of colour under some noise: files of about 0.5 MB."""
    random = np.random.default_rng(0)
    paths = []
    for i in range(count):
        clouds = Image.fromarray(random.integers(0, 256, (68, 120, 3), dtype=np.uint8)).resize((1920, 1080))
        pixels = np.asarray(clouds).astype(int) + random.integers(-12, 13, (1080, 1920, 3))
        paths.append(folder / f"{i}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


def pillow(path):
    image = Image.open(path).convert("RGB")
    width, height = (SIZE * side // min(image.size) for side in image.size)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    image = image.resize((width, height), Image.BICUBIC).crop((left, top, left + SIZE, top + SIZE))
    values = (np.asarray(image, dtype=np.float32) / 255 - MEAN) / DEVIATION
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder), arguments.images)
        apart = (wkv.preprocess(paths[0], "clip224") - pillow(paths[0])).abs().max().item()
        print(f"largest difference: {apart:.1e}")
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            with ThreadPoolExecutor(threads) as pool:
                cases = {
                    "wkv": lambda: wkv.vision.preprocess_files(paths, "clip224"),
                    "Pillow": lambda pool=pool: list(pool.map(pillow, paths)),
                }
                results = benchlib.measure(cases, arguments.rounds, threads, warmup=1)
            benchlib.report(f"{len(paths)} images, {threads} thread(s)", results, "wkv")


if __name__ == "__main__":
    main()
