// What training on images shares, whatever is made of them: which samples a batch has, and how they are counted.
#pragma once
#include <string>
#include <vector>

#include "train/image_data.h"
#include "train/task.h"

namespace wkv::zoo {

class WKV_API ImageTask : public Task {
 public:
  const char* unit() const override { return "images"; }
  int64_t units_per_batch() const override { return config_.batch; }
  double epochs(int64_t batches) const override { return plan_.epochs(batches); }
  std::string describe(double loss) const override;

 protected:
  // Of so many images.
  ImageTask(int64_t images, const TrainConfig& config, const Rank& rank)
      : config_(config), rank_(rank), plan_(images, config) {}

  int64_t rows() const { return rank_.rows(config_.batch); }
  // This rank's of a batch.
  std::vector<SamplePlan::Sample> samples(int64_t batch) {
    return plan_.rows(batch, rank_.first_row(config_.batch), rows());
  }

  const TrainConfig config_;
  const Rank rank_;

 private:
  SamplePlan plan_;
};

}  // namespace wkv::zoo
