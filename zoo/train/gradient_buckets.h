// Gradients summed over ranks while the backward pass still computes others.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "train/process_group.h"

namespace wkv::zoo {

// Which tensors, by index, travel together: from the last to the first, as the backward pass reaches them, a bucket
// ending with the tensor that brings it to `bucket_bytes` and where the dtype changes.
WKV_API std::vector<std::vector<size_t>> plan_buckets(const std::vector<at::Tensor>& tensors, int64_t bucket_bytes);

class WKV_API GradientBuckets {
 public:
  // The parameters, in the order in which the model uses them; on every rank the same. The group outlives this.
  GradientBuckets(const std::vector<at::Tensor>& parameters, ProcessGroup& group, int64_t bucket_bytes = 4 << 20);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // The next backward pass completes the gradients: each bucket leaves when its last one is there.
  void expect();
  // Waits for all. Each gradient is then the sum over the ranks, and undefined where no rank has one.
  void finish();

 private:
  struct Bucket {
    std::vector<at::Tensor> parameters, sums;  // the sums' elements lie in `flat`
    at::Tensor flat;                           // the sums, then for each parameter how many ranks have a gradient
    size_t missing = 0;                        // gradients that have not come
    std::optional<ProcessGroup::Pending> pending;
  };
  struct Place {
    size_t bucket, slot;
  };
  class Hook;

  void collect(const Place& place);
  void start_next();

  ProcessGroup& group_;
  std::vector<Bucket> buckets_;
  size_t started_ = 0;  // buckets, in order: every rank reduces them in the same one
  bool expecting_ = false;
};

}  // namespace wkv::zoo
