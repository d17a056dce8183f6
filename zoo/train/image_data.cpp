#include "train/image_data.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>

#include "core/parallel.h"
#include "image/preprocess.h"
#include "train/augmentation.h"
#include "train/rand_augment.h"
#include "train/random_bits.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kKeptBytes = int64_t{1} << 30;

[[noreturn]] void refuse_broken(const std::string& key, const std::vector<std::string>& errors, size_t files) {
  constexpr size_t kMostShown = 5;
  std::vector<std::string> shown;
  size_t broken = 0;
  for (const auto& error : errors) {
    if (error.empty()) continue;
    if (++broken <= kMostShown) shown.push_back(error);
  }
  throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} of {} images can't be read: {}{}", key, broken, files,
                                                   fmt::join(shown, "; "), broken > kMostShown ? "; ..." : ""));
}

Colour mean_colour(const Pipeline& pipeline) {
  Colour colour{};
  for (size_t c = 0; c < 3; ++c) colour[c] = static_cast<uint8_t>(std::lround(pipeline.mean[c]));
  return colour;
}

Planes augmented(const RgbImage& image, const Pipeline& pipeline, const TrainConfig::Augment& augment, uint64_t bits) {
  const auto crop = [&] {
    if (augment.crop_area.empty()) return resize_and_crop(image, pipeline);
    const RgbImage part = cut_out(image, draw_crop(augment, bits, image.height, image.width));
    const Interval all{0, pipeline.crop};
    return resize_part(part, pipeline.crop, pipeline.crop, all, all);
  };
  Planes planes = crop();
  if (draw_flip(augment, bits)) flip_horizontally(planes);
  if (augment.rand_augment > 0) rand_augment(planes, augment.rand_augment, mean_colour(pipeline), bits);
  if (const auto box = draw_erasure(augment, bits, planes.height, planes.width))
    fill_with_noise(planes, *box, pipeline, bits);
  return planes;
}

}  // namespace

ImageFiles::ImageFiles(std::vector<std::string> paths, const std::string& pipeline, const std::string& key)
    : paths_(std::move(paths)), pipeline_(parse_pipeline(pipeline)), kept_(paths_.size()) {
  std::vector<std::string> errors(paths_.size());
  std::atomic<int64_t> kept_bytes = 0;
  for_each_in_parallel(paths_.size(), [&](size_t i) {
    try {
      auto image = std::make_unique<RgbImage>(read_image(paths_[i], pipeline_.rules));
      const int64_t bytes = 3 * image->height * image->width;
      if (kept_bytes.fetch_add(bytes) + bytes <= kKeptBytes) kept_[i] = std::move(image);
    } catch (const Error& error) {
      errors[i] = error.what();
    }
  });
  if (std::ranges::any_of(errors, [](const auto& error) { return !error.empty(); }))
    refuse_broken(key, errors, paths_.size());
}

at::Tensor ImageFiles::read(const std::vector<int64_t>& files, const TrainConfig::Augment* augment,
                            const std::vector<uint64_t>& bits) const {
  at::Tensor images = at::empty({static_cast<int64_t>(files.size()), 3, side(), side()}, at::kFloat);
  auto* to = images.mutable_data_ptr<float>();
  for_each_in_parallel(files.size(), [&](size_t i) {
    const auto file = static_cast<size_t>(files[i]);
    std::optional<RgbImage> decoded;
    if (!kept_[file]) decoded = read_image(paths_[file], pipeline_.rules);
    const RgbImage& image = decoded ? *decoded : *kept_[file];
    normalise(augment ? augmented(image, pipeline_, *augment, bits[i]) : resize_and_crop(image, pipeline_), pipeline_,
              to + static_cast<int64_t>(i) * 3 * side() * side());
  });
  return images;
}

SamplePlan::SamplePlan(int64_t images, const TrainConfig& config)
    : seed_(config.seed), batch_(config.batch), batches_per_epoch_(images / config.batch) {
  if (batches_per_epoch_ == 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("batch must be at most {}, the number of images in data.images, got {}", images, batch_));
  order_.resize(static_cast<size_t>(images));
}

std::vector<SamplePlan::Sample> SamplePlan::rows(int64_t batch, int64_t first, int64_t count) {
  if (const int64_t epoch = batch / batches_per_epoch_; epoch != epoch_) {
    epoch_ = epoch;
    std::mt19937_64 generator(random_bits(seed_, static_cast<uint64_t>(epoch)));
    std::iota(order_.begin(), order_.end(), int64_t{0});
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[generator() % i]);
  }
  std::vector<Sample> samples;
  for (int64_t row = first; row < first + count; ++row) {
    const auto place = static_cast<size_t>(batch % batches_per_epoch_ * batch_ + row);
    samples.push_back({order_[place], random_bits(~seed_, static_cast<uint64_t>(batch * batch_ + row))});
  }
  return samples;
}

double SamplePlan::epochs(int64_t batches) const {
  return static_cast<double>(batches) / static_cast<double>(batches_per_epoch_);
}

}  // namespace wkv::zoo
