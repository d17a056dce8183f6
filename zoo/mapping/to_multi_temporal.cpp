// RWKV-4 to multi-temporal-perspective RWKV, as the published trainer begins: P copies of every token-shift mix, and
// small random weights of the perspectives. All of them agree, so the model is still the old one.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <fmt/format.h>

#include <cmath>

#include "mapping/conversion.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr uint64_t kPerspectiveSeed = 42;  // the same file from the same file

// Perspectives differ by little, which bf16 would round away.
at::Tensor at_least_fp32(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

void add_perspectives(ModelTensors& model, const ConvertOptions& options, const std::string& source) {
  const int64_t count = options.perspectives;
  if (count < 1 || count > 256) {
    throw Error(ErrorCode::invalid_argument, fmt::format("perspectives must be in 1..256, got {}", count));
  }
  if (!std::isfinite(options.mix_noise) || options.mix_noise < 0) {
    throw Error(ErrorCode::invalid_argument, fmt::format("mix_noise must be 0 or more, got {}", options.mix_noise));
  }
  at::Generator generator = at::detail::createCPUGenerator(kPerspectiveSeed);
  for (auto& [name, tensor] : model.tensors) {
    if (name.starts_with("head_q.") || name.find(".tiny_") != std::string::npos) {
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: has {}: models with tiny attention or head_qk have no perspectives", source, name));
    }
    if (name.find(".time_mix_") == std::string::npos) continue;
    const int64_t width = tensor.numel();
    tensor = at_least_fp32(tensor).reshape({1, 1, 1, width}).repeat({count, 1, 1, 1});
    if (options.mix_noise > 0) {
      const at::Tensor others = tensor.slice(0, 1);
      others.add_(at::normal(0, options.mix_noise, others.sizes(), generator).to(tensor.scalar_type()));
    }
  }
  const at::Tensor& like = model.tensors.at("blocks.0.ffn.time_mix_k");
  model.tensors["convert3.weight"] = at::normal(0, 0.01, {count, like.size(3)}, generator).to(like.scalar_type());
}

}  // namespace

const Conversion to_multi_temporal = {"multi-temporal", "rwkv4", "multi_temporal_rwkv", add_perspectives};

}  // namespace wkv::zoo
