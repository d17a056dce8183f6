#include "train/caption_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "train/random_bits.h"
#include "vision/annotations.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// Keys of the recipe and what they say.
struct Source {
  std::string captions_key, captions, images_key, images;
};

CaptionedFiles read_captioned_files(const Source& source, const std::vector<double>& weights,
                                    const std::string& pipeline) {
  std::vector<std::string> paths;
  std::vector<std::vector<std::string>> captions;
  try {
    for (auto& image : read_captions(source.captions, source.images)) {
      const size_t count = image.captions.size();
      if (!weights.empty() && count > weights.size())
        throw Error(ErrorCode::invalid_argument, fmt::format("{} has {} captions, data.caption_weights {} numbers",
                                                             image.path, count, weights.size()));
      if (!weights.empty() && std::accumulate(weights.begin(), weights.begin() + count, 0.0) == 0)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("{}: by data.caption_weights none of its captions is drawn", image.path));
      paths.push_back(std::move(image.path));
      captions.push_back(std::move(image.captions));
    }
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}: {}", source.captions_key, error.what()));
  }
  return {ImageFiles(std::move(paths), pipeline, source.images_key), std::move(captions)};
}

}  // namespace

CaptionedFiles read_training_captions(const TrainConfig::Data& data, const std::string& pipeline) {
  return read_captioned_files({"data.captions", data.captions, "data.images", data.images}, data.caption_weights,
                              pipeline);
}

CaptionedFiles read_held_out_captions(const TrainConfig::Data& data, const std::string& pipeline) {
  const bool own_folder = !data.held_out_images.empty();
  return read_captioned_files(
      {"data.held_out_captions", data.held_out_captions, own_folder ? "data.held_out_images" : "data.images",
       own_folder ? data.held_out_images : data.images},
      {}, pipeline);
}

size_t draw_caption(size_t captions, const std::vector<double>& weights, uint64_t bits) {
  const double drawn = uniform(bits);
  if (weights.empty()) return static_cast<size_t>(drawn * static_cast<double>(captions));
  double rest = drawn * std::accumulate(weights.begin(), weights.begin() + captions, 0.0);
  size_t last = 0;  // with a weight, for what rounding leaves
  for (size_t i = 0; i < captions; ++i) {
    if (weights[i] == 0) continue;
    if (rest < weights[i]) return i;
    rest -= weights[i];
    last = i;
  }
  return last;
}

}  // namespace wkv::zoo
