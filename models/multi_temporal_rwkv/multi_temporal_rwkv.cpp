// Multi-temporal-perspective RWKV: RWKV-4's blocks over all perspectives at once, and the mix of what they say.
#include "wkv/models/multi_temporal_rwkv.h"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "multi_temporal_rwkv/perspectives.h"
#include "rwkv4/blocks.h"
#include "rwkv4/options.h"
#include "wkv/error.h"

namespace wkv::models {
namespace {

MultiTemporalRWKVOptions complete_multi_temporal(MultiTemporalRWKVOptions options) {
  options.base = complete(options.base);
  if (options.perspectives < 1) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("MultiTemporalRWKVOptions: perspectives must be at least 1, got {}", options.perspectives));
  }
  if (options.base.tiny_att_dim > 0 || options.base.head_qk > 0) {
    throw Error(ErrorCode::invalid_argument,
                "MultiTemporalRWKVOptions: tiny attention and head_qk have no perspectives");
  }
  return options;
}

}  // namespace

struct MultiTemporalRWKVImpl::Parts {
  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<RWKV4Block>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> convert3;  // [P, C]: the perspectives' weights
  std::shared_ptr<Linear> head;
};

MultiTemporalRWKVImpl::MultiTemporalRWKVImpl(const MultiTemporalRWKVOptions& options, bool initialise)
    : options_(complete_multi_temporal(options)), parts_(std::make_shared<Parts>()) {
  const RWKV4Options& base = options_.base;
  parts_->emb = register_module("emb", std::make_shared<Embedding>(base.vocab, base.width));
  torch::nn::ModuleList blocks;
  for (int64_t layer = 0; layer < base.layers; ++layer) {
    const std::vector<int64_t> mix_shape = {options_.perspectives, 1, 1, base.width};
    parts_->blocks.push_back(std::make_shared<RWKV4Block>(base, layer, mix_shape));
    blocks->push_back(parts_->blocks.back());
  }
  register_module("blocks", blocks);
  parts_->ln_out = register_module("ln_out", std::make_shared<LayerNorm>(base.width));
  parts_->convert3 = register_module("convert3", std::make_shared<Linear>(base.width, options_.perspectives));
  parts_->head = register_module("head", std::make_shared<Linear>(base.width, base.vocab));
  if (!initialise) return;

  const auto vocab = static_cast<double>(base.vocab), width = static_cast<double>(base.width);
  torch::nn::init::orthogonal_(parts_->emb->weight, 1e-4 * std::sqrt(std::max(vocab, width)));
  for (int64_t layer = 0; layer < base.layers; ++layer)
    parts_->blocks[static_cast<size_t>(layer)]->initialise(depth(layer, base.layers));
  set_identity(*parts_->ln_out);
  torch::nn::init::orthogonal_(parts_->convert3->weight);
  torch::nn::init::orthogonal_(parts_->head->weight, 0.5 * std::sqrt(std::max(vocab / width, 1.0)));
}

MultiTemporalRWKVImpl::~MultiTemporalRWKVImpl() = default;

std::string MultiTemporalRWKVImpl::config_json() const {
  const RWKV4Options& base = options_.base;
  return nlohmann::ordered_json{{"n_layer", base.layers},
                                {"n_embd", base.width},
                                {"dim_att", base.attention_width},
                                {"dim_ffn", base.ffn_width},
                                {"vocab_size", base.vocab},
                                {"n_persp", options_.perspectives},
                                {"model_type", base.pre_ffn ? "RWKV-ffnPre" : "RWKV"}}
      .dump();
}

std::vector<LanguageModel::StateEntry> MultiTemporalRWKVImpl::state_entries() const {
  const at::Tensor& weight = parts_->emb->weight;
  const at::ScalarType dtype = weight.scalar_type(), wide = dtype == at::kDouble ? dtype : at::kFloat;
  const int64_t count = options_.perspectives, width = options_.base.width,
                attention_width = options_.base.attention_width;
  const at::Tensor empty_wkv =
      empty_wkv4_state(attention_width, weight.options().dtype(wide)).expand({count, 3, attention_width});
  std::vector<StateEntry> entries;
  for (int64_t layer = 0; layer < options_.base.layers; ++layer) {
    if (parts_->blocks[static_cast<size_t>(layer)]->ffn_pre) {
      entries.push_back({fmt::format("ffn_pre_x{}", layer), {count, width}, dtype});
    } else {
      entries.push_back({fmt::format("att_x{}", layer), {count, width}, dtype});
      entries.push_back({.name = fmt::format("wkv{}", layer),
                         .shape = {count, 3, attention_width},
                         .dtype = wide,
                         .learned = empty_wkv});
    }
    entries.push_back({fmt::format("ffn_x{}", layer), {count, width}, dtype});
  }
  return entries;
}

at::Tensor MultiTemporalRWKVImpl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  const Perspectives perspectives(options_.perspectives, sequences, tokens.device());
  const at::Tensor embedding = parts_->emb->forward(tokens);
  at::Tensor x = perspectives.fold(parts_->blocks.front()->ln0->forward(embedding));
  State folded = perspectives.read(state);
  State::Entry* entry = folded.entries.data();
  x = run_blocks(parts_->blocks, gradient_checkpointing(), x, embedding, entry, perspectives.folded());
  perspectives.write(state, folded);

  const at::Tensor z = perspectives.unfold(parts_->ln_out->forward(x), tokens.size(0));  // [P, B, T, C]
  const at::Tensor weights = at::softmax(parts_->convert3->forward(z.mean(0)), -1);      // [B, T, P]
  // The head has no bias: one product of the weighed sum is the weighed sum of P products.
  return (z * weights.permute({2, 0, 1}).unsqueeze(-1)).sum(0);
}

at::Tensor MultiTemporalRWKVImpl::logits(const at::Tensor& hidden) {
  const at::Tensor logits = parts_->head->forward(hidden);
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

std::vector<ParameterGroup> MultiTemporalRWKVImpl::parameter_groups() const {
  ParameterGroup all;
  for (const auto& parameter : named_parameters()) all.names.push_back(parameter.key());
  return {all};
}

}  // namespace wkv::models
