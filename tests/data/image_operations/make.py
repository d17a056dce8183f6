"""Makes image_operations.safetensors beside it: what Pillow's operations make of a small image. Needs pillow and safetensors."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps, __version__
from safetensors.numpy import save_file

HEIGHT, WIDTH = 17, 22
FILL = (124, 116, 104)


def small_image():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(1).integers(0, 60, (HEIGHT, WIDTH, 3))
    planes = np.stack([30 + 7 * x, 200 - 9 * y, 40 + 5 * np.abs(x - y)], -1) + noise
    return Image.fromarray(np.clip(planes, 20, 240).astype(np.uint8), "RGB")


def affine(image, *coefficients):
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC, fillcolor=FILL)


def solarize_add(image, addition):
    return image.point([min(255, byte + addition) if byte < 128 else byte for byte in range(256)] * 3)


image = small_image()
angle = math.radians(27)
c, s = math.cos(angle), math.sin(angle)
x, y = WIDTH / 2, HEIGHT / 2
made = {
    "image": image,
    "auto_contrast": ImageOps.autocontrast(image),
    "equalize": ImageOps.equalize(image),
    "invert": ImageOps.invert(image),
    "posterize_1": ImageOps.posterize(image, 1),
    "posterize_3": ImageOps.posterize(image, 3),
    "solarize": ImageOps.solarize(image, 100),
    "solarize_add": solarize_add(image, 99),
    "colour_more": ImageEnhance.Color(image).enhance(1.81),
    "colour_less": ImageEnhance.Color(image).enhance(0.19),
    "contrast_more": ImageEnhance.Contrast(image).enhance(1.81),
    "contrast_less": ImageEnhance.Contrast(image).enhance(0.19),
    "brightness_more": ImageEnhance.Brightness(image).enhance(1.81),
    "brightness_less": ImageEnhance.Brightness(image).enhance(0.19),
    "sharpness_more": ImageEnhance.Sharpness(image).enhance(1.81),
    "sharpness_less": ImageEnhance.Sharpness(image).enhance(0.19),
    "shear": affine(image, 1, 0.27, 0, 0, 1, 0),
    "shift": affine(image, 1, 0, -0.405 * WIDTH, 0, 1, 0),
    "rotation": affine(image, c, -s, x - c * x + s * y, s, c, y - s * x - c * y),
}
tensors = {name: np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)) for name, image in made.items()}
save_file(tensors, Path(__file__).with_name("image_operations.safetensors"), {"made by": f"Pillow {__version__}"})
