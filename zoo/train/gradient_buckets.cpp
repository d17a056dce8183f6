#include "train/gradient_buckets.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>

namespace wkv::zoo {

std::vector<std::vector<size_t>> plan_buckets(const std::vector<at::Tensor>& tensors, int64_t bucket_bytes) {
  std::vector<std::vector<size_t>> plan;
  int64_t bytes = bucket_bytes;
  for (size_t i = tensors.size(); i-- > 0;) {
    if (bytes >= bucket_bytes || tensors[i].scalar_type() != tensors[i + 1].scalar_type()) {
      plan.emplace_back();
      bytes = 0;
    }
    plan.back().push_back(i);
    bytes += static_cast<int64_t>(tensors[i].nbytes());
  }
  return plan;
}

class GradientBuckets::Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(GradientBuckets& buckets, Place place) : buckets_(buckets), place_(place) {}
  void operator()(const at::Tensor&) override { buckets_.collect(place_); }

 private:
  GradientBuckets& buckets_;
  Place place_;
};

GradientBuckets::GradientBuckets(const std::vector<at::Tensor>& parameters, ProcessGroup& group, int64_t bucket_bytes)
    : group_(group) {
  for (const auto& members : plan_buckets(parameters, bucket_bytes)) {
    Bucket& bucket = buckets_.emplace_back();
    int64_t elements = 0;
    for (const size_t i : members) elements += parameters[i].numel();
    bucket.flat = at::zeros({elements + static_cast<int64_t>(members.size())}, parameters[members.front()].options());
    int64_t offset = 0;
    for (const size_t i : members) {
      const at::Tensor& parameter = parameters[i];
      bucket.parameters.push_back(parameter);
      bucket.sums.push_back(bucket.flat.narrow(0, offset, parameter.numel()).view(parameter.sizes()));
      offset += parameter.numel();
      torch::autograd::impl::set_post_acc_grad_hooks(
          parameter, std::make_unique<Hook>(*this, Place{buckets_.size() - 1, bucket.parameters.size() - 1}));
    }
  }
}

GradientBuckets::~GradientBuckets() {
  for (const Bucket& bucket : buckets_)
    for (const at::Tensor& parameter : bucket.parameters)
      torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
}

void GradientBuckets::expect() {
  for (Bucket& bucket : buckets_) {
    bucket.flat.zero_();
    bucket.missing = bucket.parameters.size();
  }
  started_ = 0;
  expecting_ = true;
}

void GradientBuckets::collect(const Place& place) {
  if (!expecting_) return;
  const at::NoGradGuard no_grad;
  Bucket& bucket = buckets_[place.bucket];
  const at::Tensor &parameter = bucket.parameters[place.slot], &sum = bucket.sums[place.slot];
  sum.copy_(parameter.grad());
  parameter.mutable_grad() = sum;
  const auto flags = static_cast<int64_t>(bucket.parameters.size());
  bucket.flat.narrow(0, bucket.flat.numel() - flags + static_cast<int64_t>(place.slot), 1).fill_(1);
  --bucket.missing;
  while (started_ < buckets_.size() && buckets_[started_].missing == 0) start_next();
}

void GradientBuckets::start_next() {
  Bucket& bucket = buckets_[started_++];
  bucket.pending = group_.all_reduce(bucket.flat);
}

void GradientBuckets::finish() {
  const at::NoGradGuard no_grad;
  // What an earlier batch of the step left and the last one's backward pass didn't reach.
  for (size_t i = started_; i < buckets_.size(); ++i)
    for (size_t slot = 0; slot < buckets_[i].parameters.size(); ++slot) {
      const at::Tensor& grad = buckets_[i].parameters[slot].grad();
      if (grad.defined() && !grad.is_same(buckets_[i].sums[slot])) collect({i, slot});
    }
  expecting_ = false;
  while (started_ < buckets_.size()) start_next();
  for (Bucket& bucket : buckets_) {
    bucket.pending->wait();
    bucket.pending.reset();
    int64_t flag = bucket.flat.numel() - static_cast<int64_t>(bucket.parameters.size());
    for (size_t slot = 0; slot < bucket.parameters.size(); ++slot, ++flag) {
      at::Tensor& grad = bucket.parameters[slot].mutable_grad();
      if (bucket.flat.select(0, flag).item<double>() > 0)
        grad = bucket.sums[slot];
      else
        grad.reset();
    }
  }
}

}  // namespace wkv::zoo
