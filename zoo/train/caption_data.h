// Images with captions: several for an image, of which each use draws one.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "train/image_data.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

struct CaptionedFiles {
  ImageFiles images;
  std::vector<std::vector<std::string>> captions;  // of each image
};

// Both read what read_captions (vision/annotations.h) does, and throw wkv::Error, which names the recipe's key, for
// what can't be read. Of the training's images, one that has more captions than data.caption_weights has numbers, or
// only such of weight 0, is refused too.
WKV_API CaptionedFiles read_training_captions(const TrainConfig::Data& data, const std::string& pipeline);
WKV_API CaptionedFiles read_held_out_captions(const TrainConfig::Data& data, const std::string& pipeline);

// Which of so many captions: the i-th in proportion to weights[i], or, where there are none, any alike.
WKV_API size_t draw_caption(size_t captions, const std::vector<double>& weights, uint64_t bits);

}  // namespace wkv::zoo
