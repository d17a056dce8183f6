// The contrastive loss as Python sees it: torch.ops.wkv._contrastive_loss, differentiable, behind wkv.contrastive_loss.
#include <torch/library.h>

#include "python/handles.h"
#include "wkv/models/contrastive_loss.h"

namespace wkv::python {
namespace {

// group: empty for one process.
at::Tensor contrastive_loss(at::Tensor image_features, at::Tensor text_features, at::Tensor logit_scale,
                            std::string group, int64_t rank, int64_t size) {
  std::optional<models::ProcessGroup> processes;
  if (!group.empty()) processes = models::ProcessGroup{std::move(group), rank, size};
  return models::contrastive_loss(image_features, text_features, logit_scale, processes);
}

TORCH_LIBRARY_FRAGMENT(wkv, m) {
  m.def(
      "_contrastive_loss(Tensor image_features, Tensor text_features, Tensor logit_scale, str group, int rank, int "
      "size) "
      "-> Tensor",
      bound(contrastive_loss));
}

}  // namespace
}  // namespace wkv::python
