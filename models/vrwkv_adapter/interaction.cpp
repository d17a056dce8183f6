#include "vrwkv_adapter/interaction.h"

#include <torch/nn/modules/container/modulelist.h>

#include "layers/checkpointed.h"
#include "layers/drop_path.h"
#include "vrwkv_adapter/options.h"

namespace wkv::models {
namespace {

constexpr double kNormEps = 1e-6;  // the trunk's norms have 1e-5

std::shared_ptr<LayerNorm> norm(torch::nn::Module& owner, const char* name, int64_t width) {
  return owner.register_module(name, std::make_shared<LayerNorm>(width, kNormEps));
}

std::shared_ptr<DeformableAttention> attention(torch::nn::Module& owner, const VRWKVAdapterOptions& o, int64_t levels) {
  const DeformableAttention::Sizes sizes = {.width = o.trunk().width,
                                            .heads = o.deform_num_heads,
                                            .levels = levels,
                                            .points = o.n_points,
                                            .value_width = value_width(o)};
  return owner.register_module("attn", std::make_shared<DeformableAttention>(sizes));
}

// f(x, other), of which training with checkpointing keeps the two only.
template <typename F>
at::Tensor run(const torch::nn::Module& module, bool checkpointing, const F& f, const at::Tensor& x,
               const at::Tensor& other) {
  if (!checkpointing || !module.is_training()) return f(x, other);
  std::vector<at::Tensor> beside = module.parameters();
  beside.push_back(other);
  return checkpointed([f, other](const at::Tensor& input) { return f(input, other); }, x, beside);
}

}  // namespace

Injector::Injector(const VRWKVAdapterOptions& o)
    : query_norm(norm(*this, "query_norm", o.trunk().width)),
      feat_norm(norm(*this, "feat_norm", o.trunk().width)),
      attn(attention(*this, o, 3)),
      gamma(register_parameter("gamma", at::empty({o.trunk().width}))) {}

at::Tensor Injector::forward(const at::Tensor& x, const at::Tensor& c, const InteractionMaps& maps) const {
  return x + gamma * attn->forward(query_norm->forward(x), maps.trunk, feat_norm->forward(c), maps.adapter);
}

ConvFFN::ConvFFN(int64_t width, int64_t hidden)
    : fc1(register_module("fc1", std::make_shared<Linear>(width, hidden, /*with_bias=*/true))),
      fc2(register_module("fc2", std::make_shared<Linear>(hidden, width, /*with_bias=*/true))) {
  const auto owner = register_module("dwconv", std::make_shared<torch::nn::Module>());
  dwconv =
      owner->register_module("dwconv", std::make_shared<Convolution>(Convolution::Sizes{
                                           .in = hidden, .out = hidden, .kernel = 3, .groups = hidden, .bias = true}));
}

at::Tensor ConvFFN::forward(const at::Tensor& c, const MapSizes& maps) const {
  const at::Tensor hidden = fc1->forward(c);
  std::vector<at::Tensor> convolved;
  int64_t start = 0;
  for (const MapSize& size : maps) {
    const at::Tensor map = to_map(hidden.narrow(1, start, size.places()), size);
    convolved.push_back(to_tokens(dwconv->forward(map)));
    start += size.places();
  }
  return fc2->forward(at::gelu(at::cat(convolved, 1)));
}

Extractor::Extractor(const VRWKVAdapterOptions& o)
    : query_norm(norm(*this, "query_norm", o.trunk().width)),
      feat_norm(norm(*this, "feat_norm", o.trunk().width)),
      attn(attention(*this, o, 1)) {
  if (!o.with_cffn) return;
  ffn = register_module("ffn", std::make_shared<ConvFFN>(o.trunk().width, cffn_width(o)));
  ffn_norm = norm(*this, "ffn_norm", o.trunk().width);
}

at::Tensor Extractor::forward(const at::Tensor& c, const at::Tensor& x, const InteractionMaps& maps,
                              const at::Tensor& path) const {
  const at::Tensor read = c + attn->forward(query_norm->forward(c), maps.adapter, feat_norm->forward(x), maps.trunk);
  return ffn ? read + along_path(ffn->forward(ffn_norm->forward(read), maps.adapter), path) : read;
}

Interaction::Interaction(const VRWKVAdapterOptions& o, bool is_last)
    : injector(register_module("injector", std::make_shared<Injector>(o))),
      extractors{register_module("extractor", std::make_shared<Extractor>(o))},
      drop_path_rate(o.trunk().drop_path_rate),
      checkpointing(o.trunk().checkpointing) {
  if (!is_last || !o.use_extra_extractor) return;
  torch::nn::ModuleList list;
  for (int i = 0; i < 2; ++i) {
    extractors.push_back(std::make_shared<Extractor>(o));
    list->push_back(extractors.back());
  }
  register_module("extra_extractors", list);
}

void Interaction::forward(at::Tensor& x, at::Tensor& c, const InteractionMaps& maps,
                          const std::function<at::Tensor(const at::Tensor&)>& blocks) const {
  const auto inject = [injector = injector, maps](const at::Tensor& x_, const at::Tensor& c_) {
    return injector->forward(x_, c_, maps);
  };
  x = blocks(run(*injector, checkpointing, inject, x, c));
  for (const auto& extractor : extractors) {
    const at::Tensor path = draw_path(c, drop_path_rate, is_training());
    const auto extract = [extractor, maps, path](const at::Tensor& c_, const at::Tensor& x_) {
      return extractor->forward(c_, x_, maps, path);
    };
    c = run(*extractor, checkpointing, extract, c, x);
  }
}

}  // namespace wkv::models
