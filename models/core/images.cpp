#include "core/images.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "wkv/error.h"

namespace wkv::models {

void check_images(const at::Tensor& images) {
  if (!images.defined() || images.dim() != 4 || images.size(1) != 3 || images.size(2) == 0 || images.size(3) == 0) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("images: expected [B, 3, H, W] with H and W above 0, got {}",
                            images.defined() ? fmt::format("[{}]", fmt::join(images.sizes(), ", ")) : "none"));
  }
  if (!images.is_floating_point()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("images: expected a floating-point dtype, got {}", c10::toString(images.scalar_type())));
  }
}

}  // namespace wkv::models
