// What a configuration says beside the shapes: the eps of the norms, and state tuning.
#include "mapping/rwkv_config.h"

#include <fmt/format.h>

#include <cmath>

#include "wkv/error.h"

namespace wkv::zoo {

double ln_x_eps(Config& config, double otherwise) {
  const double divisor = config.number("head_size_divisor", 0);
  if (divisor == 0) return config.number("ln_x_eps", otherwise);
  const double implied = 1e-5 * divisor * divisor, eps = config.number("ln_x_eps", implied);
  if (std::abs(eps - implied) > 1e-6 * implied) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("configuration: ln_x_eps is {}, but head_size_divisor {} makes it {}", eps, divisor, implied));
  }
  return eps;
}

void require_ln_eps(Config& config, const std::string& key) {
  if (const double eps = config.number(key, 1e-5); eps != 1e-5)
    throw Error(ErrorCode::unsupported_format, fmt::format("configuration: {} must be 1e-05, got {}", key, eps));
}

bool has_time_state(const Checkpoint& file, Config& config, int64_t layers) {
  const bool asked = config.says("train_type", "states");
  if (file.has("blocks.0.att.time_state")) return true;
  for (int64_t layer = 0; asked && layer < layers; ++layer)
    config.add_parameter(fmt::format("blocks.{}.att.time_state", layer));
  return asked;
}

}  // namespace wkv::zoo
