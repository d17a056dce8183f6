// The contrastive loss over one process or many. Processes exchange their features through PyTorch's functional
// collectives, looked up by name: a LibTorch without c10d lacks them, and still has the loss of one process.
#include "wkv/models/contrastive_loss.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include "layers/precision.h"
#include "layers/unit_length.h"
#include "wkv/error.h"

namespace wkv::models {
namespace {

template <typename... Arguments>
at::Tensor collective(const char* name, Arguments&&... arguments) {
  const auto call = [](const char* op, torch::jit::Stack stack) {
    c10::Dispatcher::singleton().findSchemaOrThrow(op, "").callBoxed(stack);
    return std::move(stack.front()).toTensor();
  };
  at::Tensor pending = call(name, {std::forward<Arguments>(arguments)...});
  return call("_c10d_functional::wait_tensor", {std::move(pending)});
}

// Rows [B, C] of every process, [size * B, C], with the gradients that all of them give to this one's.
struct GatheredRows : torch::autograd::Function<GatheredRows> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& rows, const std::string& group,
                            int64_t size) {
    context->saved_data["group"] = group;
    context->saved_data["size"] = size;
    return collective("_c10d_functional::all_gather_into_tensor", rows.contiguous(), size, group);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {collective("_c10d_functional::reduce_scatter_tensor", gradients[0].contiguous(), "sum",
                       context->saved_data["size"], context->saved_data["group"]),
            {},
            {}};
  }
};

void check_features(const at::Tensor& image, const at::Tensor& text, const at::Tensor& logit_scale) {
  const auto shape = [](const at::Tensor& x) {
    return x.defined() ? fmt::format("{} [{}]", c10::toString(x.scalar_type()), fmt::join(x.sizes(), ", ")) : "none";
  };
  if (!image.defined() || !text.defined() || image.dim() != 2 || image.sizes() != text.sizes() || image.numel() == 0 ||
      !image.is_floating_point() || !text.is_floating_point()) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("contrastive_loss: expected image and text features [B, C] of a floating-point dtype, "
                            "B and C above 0, got {} and {}",
                            shape(image), shape(text)));
  }
  if (!logit_scale.defined() || logit_scale.numel() != 1) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("contrastive_loss: expected one logit_scale, got {}", shape(logit_scale)));
  }
}

}  // namespace

at::Tensor contrastive_loss(const at::Tensor& image_features, const at::Tensor& text_features,
                            const at::Tensor& logit_scale, const std::optional<ProcessGroup>& group) {
  check_features(image_features, text_features, logit_scale);
  const at::Tensor image = unit_length(at_least_float(image_features)),
                   text = unit_length(at_least_float(text_features)), scale = logit_scale.reshape({});
  const auto pairs = [&](int64_t first) {
    return at::arange(first, first + image.size(0), image.options().dtype(at::kLong));
  };
  if (!group) {
    const at::Tensor logits = scale * at::matmul(image, text.t()), own = pairs(0);
    return (at::cross_entropy_loss(logits, own) + at::cross_entropy_loss(logits.t(), own)) / 2;
  }
  // One exchange for both.
  const auto all = GatheredRows::apply(at::cat({image, text}, 1), group->name, group->size).chunk(2, 1);
  const at::Tensor own = pairs(group->rank * image.size(0));
  const at::Tensor to_texts = at::cross_entropy_loss(scale * at::matmul(image, all[1].t()), own),
                   to_images = at::cross_entropy_loss(scale * at::matmul(text, all[0].t()), own);
  return (to_texts + to_images) / 2;
}

}  // namespace wkv::models
