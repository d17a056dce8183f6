// RWKV-4 to an RRWKV-style model: the mediums' parameters with their initial values, by which the model is still the
// old one.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "mapping/conversion.h"
#include "wkv/error.h"
#include "wkv/models/rrwkv.h"

namespace wkv::zoo {
namespace {

void require_at_least_one(const char* name, int64_t value) {
  if (value < 1) throw Error(ErrorCode::invalid_argument, fmt::format("{} must be at least 1, got {}", name, value));
}

models::RRWKVOptions rrwkv_options_for(const ModelTensors& model, const ConvertOptions& options) {
  require_at_least_one("interval", options.interval);
  require_at_least_one("reduction", options.reduction);
  models::RRWKVOptions o;
  o.base.layers = std::ranges::count_if(model.tensors, [](const auto& t) { return t.first.ends_with(".ln1.weight"); });
  o.base.vocab = model.tensors.at("emb.weight").size(0);
  o.base.width = model.tensors.at("emb.weight").size(1);
  o.base.ffn_width = model.tensors.at("blocks.0.ffn.key.weight").size(0);
  o.interval = options.interval;
  o.excite_width = std::max<int64_t>(o.base.width / options.reduction, 1);
  return o;
}

// The mediums' random values, the same for every conversion, and torch's generator as it was.
void initialise_the_same(models::RRWKVImpl& model) {
  constexpr uint64_t kSeed = 42;
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  const at::Tensor before = generator.get_state();
  generator.set_current_seed(kSeed);
  model.initialise_mediums();
  generator.set_state(before);
}

void add_mediums(ModelTensors& model, const ConvertOptions& options, const std::string& source) {
  models::RRWKVImpl retrospective(rrwkv_options_for(model, options), /*initialise=*/false);
  const auto parameters = retrospective.named_parameters();
  for (const auto& [name, tensor] : model.tensors) {
    const at::Tensor* plain = parameters.find(name);
    if (!plain || plain->sizes() != tensor.sizes()) {
      throw Error(ErrorCode::unsupported_format,
                  fmt::format("{}: {} is [{}], and a plain RWKV-4 has {}: only plain ones can get mediums", source,
                              name, fmt::join(tensor.sizes().vec(), ", "),
                              plain ? fmt::format("[{}]", fmt::join(plain->sizes().vec(), ", ")) : "no such tensor"));
    }
  }
  initialise_the_same(retrospective);
  for (const auto& parameter : parameters) model.tensors.emplace(parameter.key(), parameter.value().detach());
  model.metadata = retrospective.metadata();
}

}  // namespace

const Conversion to_rrwkv = {"rrwkv", "rwkv4", "rrwkv", add_mediums};

}  // namespace wkv::zoo
