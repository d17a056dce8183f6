// The steps of a pipeline by themselves.
#pragma once
#include <string>

#include "image/pipeline.h"
#include "image/resize.h"
#include "image/rgb_image.h"

namespace wkv::zoo {

// Throws wkv::Error, which names the file.
RgbImage read_image(const std::string& path, DecodeRules rules);

// Resized, and the centre cut out.
Planes resize_and_crop(const RgbImage& image, const Pipeline& pipeline);

// Writes (byte - mean) / deviation of each channel, in the planes' order.
void normalise(const Planes& planes, const Pipeline& pipeline, float* to);

}  // namespace wkv::zoo
