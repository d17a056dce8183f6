// The contrastive loss as Python sees it: torch.ops.wkv._contrastive_loss, differentiable, behind wkv.contrastive_loss.
#include <torch/library.h>

#include "wkv/error.h"
#include "wkv/models/contrastive_loss.h"

namespace wkv::python {
namespace {

// group: empty for one process.
at::Tensor contrastive_loss(const at::Tensor& image_features, const at::Tensor& text_features,
                            const at::Tensor& logit_scale, const std::string& group, int64_t rank, int64_t size) {
  try {
    if (group.empty()) return models::contrastive_loss(image_features, text_features, logit_scale);
    return models::contrastive_loss(image_features, text_features, logit_scale,
                                    models::ProcessGroup{group, rank, size});
  } catch (const Error& error) {  // of these errors, all are about values
    C10_THROW_ERROR(ValueError, error.what());
  }
}

TORCH_LIBRARY_FRAGMENT(wkv, m) {
  m.def(
      "_contrastive_loss(Tensor image_features, Tensor text_features, Tensor logit_scale, str group, int rank, int "
      "size) -> Tensor",
      contrastive_loss);
}

}  // namespace
}  // namespace wkv::python
