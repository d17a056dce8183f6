// The loss that brings an image's features and its text's together: arXiv 2103.00020, figure 3.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "wkv/export.h"

namespace wkv::models {

// Processes of torch.distributed that share a batch: the name under which the group is registered there
// (ProcessGroup.group_name), and which of its processes this one is.
struct ProcessGroup {
  std::string name;
  int64_t rank = 0, size = 1;
};

// The mean, over B pairs and both directions, of the cross entropy with which an image finds its text among all texts,
// and a text its image, by cosine times logit_scale: 0-d, fp32, or fp64 for fp64 features.
// image_features, text_features: [B, C], row i of both a pair; they need not be normalised. logit_scale: one value, the
// exponential of the learned parameter.
// With a group, whose processes all call this with the same B, it is over the pairs of all of them: each process gets
// its own pairs' share. The mean of the shares is the loss of one process that has all pairs, and so are the gradients,
// averaged over the processes as data parallelism does it. Throws wkv::Error for features of other shapes.
WKV_API at::Tensor contrastive_loss(const at::Tensor& image_features, const at::Tensor& text_features,
                                    const at::Tensor& logit_scale,
                                    const std::optional<ProcessGroup>& group = std::nullopt);

}  // namespace wkv::models
