// RWKV-4: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv4.h"

#include <fmt/format.h>
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

#include "rwkv4/blocks.h"
#include "rwkv4/fused.h"
#include "rwkv4/options.h"
#include "rwkv4/past_attention.h"

namespace wkv::models {

struct RWKV4Impl::Parts {
  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<RWKV4Block>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> head;
  std::shared_ptr<Linear> head_q, head_k;  // see RWKV4Options::head_qk
};

RWKV4Impl::RWKV4Impl(RWKV4Options options, bool initialise)
    : options_(complete(options)), parts_(std::make_shared<Parts>()) {
  parts_->emb = register_module("emb", std::make_shared<Embedding>(options_.vocab, options_.width));
  torch::nn::ModuleList blocks;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    parts_->blocks.push_back(std::make_shared<RWKV4Block>(options_, layer, std::vector<int64_t>{1, 1, options_.width}));
    blocks->push_back(parts_->blocks.back());
  }
  register_module("blocks", blocks);
  parts_->ln_out = register_module("ln_out", std::make_shared<LayerNorm>(options_.width));
  parts_->head = register_module("head", std::make_shared<Linear>(options_.width, options_.vocab));
  if (options_.head_qk > 0) {
    parts_->head_q = register_module("head_q", std::make_shared<Linear>(options_.width, options_.head_qk));
    parts_->head_k = register_module("head_k", std::make_shared<Linear>(options_.width, options_.head_qk));
    register_buffer("copy_mask", causal_mask(options_.context));
  }
  if (!initialise) return;

  torch::nn::init::uniform_(parts_->emb->weight, -options_.embedding_range, options_.embedding_range);
  for (int64_t layer = 0; layer < options_.layers; ++layer)
    parts_->blocks[static_cast<size_t>(layer)]->initialise(depth(layer, options_.layers));
  set_identity(*parts_->ln_out);
  const double ratio = static_cast<double>(options_.vocab) / static_cast<double>(options_.width);
  torch::nn::init::orthogonal_(parts_->head->weight, 0.5 * std::sqrt(std::max(ratio, 1.0)));
  if (parts_->head_q) {
    torch::nn::init::zeros_(parts_->head_q->weight);
    torch::nn::init::orthogonal_(parts_->head_k->weight, 0.1);
  }
}

RWKV4Impl::~RWKV4Impl() = default;

std::string RWKV4Impl::config_json() const { return to_config_json(options_); }

std::vector<LanguageModel::StateEntry> RWKV4Impl::state_entries() const {
  const at::Tensor& weight = parts_->emb->weight;
  const at::ScalarType dtype = weight.scalar_type(), wide = dtype == at::kDouble ? dtype : at::kFloat;
  const int64_t width = options_.width, attention_width = options_.attention_width;
  const at::Tensor empty_wkv = empty_wkv4_state(attention_width, weight.options().dtype(wide));
  std::vector<StateEntry> entries;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    if (parts_->blocks[static_cast<size_t>(layer)]->ffn_pre) {
      entries.push_back({fmt::format("ffn_pre_x{}", layer), {width}, dtype});
    } else {
      entries.push_back({fmt::format("att_x{}", layer), {width}, dtype});
      entries.push_back(
          {.name = fmt::format("wkv{}", layer), .shape = {3, attention_width}, .dtype = wide, .learned = empty_wkv});
    }
    entries.push_back({fmt::format("ffn_x{}", layer), {width}, dtype});
    if (parts_->blocks[static_cast<size_t>(layer)]->tiny_ln) {
      entries.push_back({"past_tiny_k", {0, options_.tiny_att_dim}, dtype});
      entries.push_back({"past_tiny_v", {0, width}, dtype});
    }
  }
  if (parts_->head_q) {
    entries.push_back({"past_head_k", {0, options_.head_qk}, dtype});
    entries.push_back({"past_tokens", {0}, at::kLong});
  }
  return entries;
}

at::Tensor RWKV4Impl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  const at::Tensor embedding = parts_->emb->forward(tokens);
  at::Tensor x = parts_->blocks.front()->ln0->forward(embedding);
  if (sequences.slots && !parts_->head_q) {
    if (const auto fused = decode_blocks(parts_->blocks, x, state, *sequences.slots)) {
      return parts_->ln_out->forward(*fused);
    }
  }
  State::Entry* entry = state.entries.data();
  x = run_blocks(parts_->blocks, gradient_checkpointing(), x, embedding, entry, sequences);
  x = parts_->ln_out->forward(x);
  if (!parts_->head_q) return x;

  at::Tensor &past_k = (entry++)->tensor, &past_tokens = (entry++)->tensor;
  const at::Tensor q = parts_->head_q->forward(x) / static_cast<double>(options_.head_qk);
  const auto by_token = [&](const at::Tensor& scores, const at::Tensor& ids) {
    const at::Tensor none = at::zeros({scores.size(0), scores.size(1), options_.vocab}, scores.options());
    return none.scatter_add(2, ids.unsqueeze(1).expand(scores.sizes()), scores);
  };
  return at::cat({x, attend_past(q, parts_->head_k->forward(x), tokens, past_k, past_tokens, sequences, by_token)}, -1);
}

at::Tensor RWKV4Impl::logits(const at::Tensor& hidden) {
  const auto wide = [](const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); };
  const int64_t width = options_.width;
  const at::Tensor logits = wide(parts_->head->forward(hidden.slice(-1, 0, width)));
  return parts_->head_q ? logits + wide(hidden.slice(-1, width)) : logits;
}

std::vector<ParameterGroup> RWKV4Impl::parameter_groups() const { return rwkv4_parameter_groups(*this); }

}  // namespace wkv::models
