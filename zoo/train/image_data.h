// Images to train on: which of them each batch reads, and how they get from files to a model's input.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "image/pipeline.h"
#include "image/rgb_image.h"
#include "wkv/zoo/train.h"

namespace wkv::zoo {

// Files, decoded when they are read, and kept so as long as they fit into 1 GiB.
class WKV_API ImageFiles {
 public:
  // Decodes every file once. key: of the recipe, for messages. Throws wkv::Error, which says how many can't be read and
  // names the first of them.
  ImageFiles(std::vector<std::string> paths, const std::string& pipeline, const std::string& key);

  int64_t size() const { return static_cast<int64_t>(paths_.size()); }
  int64_t side() const { return pipeline_.crop; }
  const std::vector<std::string>& paths() const { return paths_; }

  // fp32 [n, 3, side, side] of these files, as the pipeline has them.
  at::Tensor read(const std::vector<int64_t>& files) const { return read(files, nullptr, {}); }
  // The same, augmented: each by its bits.
  at::Tensor read(const std::vector<int64_t>& files, const TrainConfig::Augment& augment,
                  const std::vector<uint64_t>& bits) const {
    return read(files, &augment, bits);
  }

 private:
  at::Tensor read(const std::vector<int64_t>& files, const TrainConfig::Augment* augment,
                  const std::vector<uint64_t>& bits) const;

  std::vector<std::string> paths_;
  Pipeline pipeline_;
  std::vector<std::unique_ptr<RgbImage>> kept_;  // null: did not fit
};

// The samples of every batch of a run, a pure function of the seed and the batch's number. Each epoch has all images in
// an order of its own, but for those at its end that fill no batch.
class WKV_API SamplePlan {
 public:
  // Throws wkv::Error where there are fewer images than a batch.
  SamplePlan(int64_t images, const TrainConfig& config);

  struct Sample {
    int64_t image;
    uint64_t bits;  // of this use of the image alone
  };
  // Rows [first, first + count) of a batch.
  std::vector<Sample> rows(int64_t batch, int64_t first, int64_t count);
  double epochs(int64_t batches) const;  // that so many batches make

 private:
  uint64_t seed_;
  int64_t batch_, batches_per_epoch_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;
};

}  // namespace wkv::zoo
