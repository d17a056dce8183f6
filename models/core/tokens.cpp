#include "core/tokens.h"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "wkv/error.h"

namespace wkv::models {

void check_tokens(const std::string& model, const at::Tensor& tokens, int64_t vocab) {
  if (!tokens.defined() || tokens.dim() != 2 || tokens.scalar_type() != at::kLong) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: tokens must be int64 [B, T], got {}", model,
                            tokens.defined() ? fmt::format("{} [{}]", c10::toString(tokens.scalar_type()),
                                                           fmt::join(tokens.sizes().vec(), ", "))
                                             : "no tensor"));
  }
  if (tokens.is_cpu() && tokens.numel() > 0) {  // elsewhere the look-up itself complains, without a wait for the device
    const auto [low, high] = at::aminmax(tokens);
    if (low.item<int64_t>() < 0 || high.item<int64_t>() >= vocab) {
      throw Error(ErrorCode::invalid_argument, fmt::format("{}: tokens must be in 0..{}, got {}..{}", model, vocab - 1,
                                                           low.item<int64_t>(), high.item<int64_t>()));
    }
  }
}

}  // namespace wkv::models
