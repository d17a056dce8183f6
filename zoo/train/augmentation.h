// What is drawn at random for an image that is trained on: a pure function of the recipe and of the bits given.
#pragma once
#include <cstdint>
#include <optional>

#include "image/pipeline.h"
#include "image/resize.h"
#include "image/rgb_image.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// A part of an image.
struct Box {
  Interval rows, columns;
};

// torchvision's RandomResizedCrop: the area and the logarithm of the aspect are uniform, and where ten draws don't fit
// the image, it is the largest part in its centre whose aspect is in the range.
WKV_API Box draw_crop(const TrainConfig::Augment& augment, uint64_t bits, int64_t height, int64_t width);
WKV_API bool draw_flip(const TrainConfig::Augment& augment, uint64_t bits);

// Random erasing (arXiv 1708.04896): a box of 2 % to a third of the image, with an aspect between 0.3 and 1 / 0.3.
WKV_API std::optional<Box> draw_erasure(const TrainConfig::Augment& augment, uint64_t bits, int64_t height,
                                        int64_t width);

// How an image and its partner become one.
struct Mixing {
  double share = 1.0;  // of the image in pixels and label; the rest is the partner's
  bool cut = false;    // the partner fills a box; else pixels are averaged
  Box box{};           // of an image of height x width
};
// Of a size that crops don't change. Without mixup and cutmix: the image alone.
WKV_API Mixing draw_mixing(const TrainConfig::Augment& augment, uint64_t bits, int64_t height, int64_t width);

RgbImage cut_out(const RgbImage& image, const Box& box);
// Normal noise of the pipeline's mean and deviation.
WKV_API void fill_with_noise(Planes& planes, const Box& box, const Pipeline& pipeline, uint64_t bits);
void flip_horizontally(Planes& planes);

}  // namespace wkv::zoo
