// What RandAugment does to an image, on bytes, as Pillow does it, bit for bit.
#pragma once
#include <array>
#include <cstdint>

#include "image/resize.h"
#include "wkv/export.h"

namespace wkv::zoo {

// Of each plane: its range stretched to 0..255; its histogram made even; all bytes turned around.
WKV_API void auto_contrast(Planes& planes);
WKV_API void equalize(Planes& planes);
WKV_API void invert(Planes& planes);

WKV_API void posterize(Planes& planes, int64_t bits);         // keeps so many of the highest bits
WKV_API void solarize(Planes& planes, double threshold);      // inverts the bytes from there on
WKV_API void solarize_add(Planes& planes, int64_t addition);  // to the bytes below 128

// image * factor + other * (1 - factor), where the other image is grey, the mean grey, black, or smoothed.
WKV_API void adjust_colour(Planes& planes, double factor);
WKV_API void adjust_contrast(Planes& planes, double factor);
WKV_API void adjust_brightness(Planes& planes, double factor);
WKV_API void adjust_sharpness(Planes& planes, double factor);

using Colour = std::array<uint8_t, 3>;  // red first

// What is at (x, y), in pixels from the upper left corner, comes from (a x + b y + c, d x + e y + f), by the cubic
// filter; `fill` comes from outside.
using AffineMap = std::array<double, 6>;  // a ... f
WKV_API Planes transform(const Planes& planes, const AffineMap& map, const Colour& fill);
WKV_API AffineMap rotation(double degrees, int64_t height, int64_t width);  // around the centre

}  // namespace wkv::zoo
