// RWKV-7: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv7.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "layers/checkpointed_block.h"
#include "layers/initial_values.h"
#include "layers/parameter_groups.h"
#include "layers/precision.h"
#include "rwkv7/blocks.h"
#include "rwkv7/fused.h"
#include "rwkv7/options.h"

namespace wkv::models {

struct RWKV7Impl::Parts {
  std::shared_ptr<Embedding> emb;
  std::vector<std::shared_ptr<RWKV7Block>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> head;

  // A block's entries in a State.
  static constexpr size_t kEntries = 3;
};

RWKV7Impl::RWKV7Impl(RWKV7Options options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>()) {
  parts_->emb = register_module("emb", std::make_shared<Embedding>(options_.vocab, options_.width));
  torch::nn::ModuleList blocks;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    parts_->blocks.push_back(std::make_shared<RWKV7Block>(options_, layer));
    blocks->push_back(parts_->blocks.back());
  }
  register_module("blocks", blocks);
  parts_->ln_out = register_module("ln_out", std::make_shared<LayerNorm>(options_.width));
  parts_->head = register_module("head", std::make_shared<Linear>(options_.width, options_.vocab, options_.head_bias));
  if (!initialise) return;

  torch::nn::init::uniform_(parts_->emb->weight, -1e-4, 1e-4);
  for (const auto& block : parts_->blocks) block->initialise();
  set_identity(*parts_->ln_out);
  const double ratio = static_cast<double>(options_.vocab) / static_cast<double>(options_.width);
  torch::nn::init::orthogonal_(parts_->head->weight, 0.5 * std::sqrt(std::max(ratio, 1.0)));
  if (options_.head_bias) torch::nn::init::zeros_(parts_->head->bias);
}

RWKV7Impl::~RWKV7Impl() = default;

std::string RWKV7Impl::config_json() const { return to_config_json(options_); }

std::vector<LanguageModel::StateEntry> RWKV7Impl::state_entries() const {
  const at::ScalarType dtype = parts_->emb->weight.scalar_type();
  const int64_t heads = options_.width / options_.head_size, size = options_.head_size;
  std::vector<StateEntry> entries;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    entries.push_back({fmt::format("att_x{}", layer), {options_.width}, dtype});
    entries.push_back({fmt::format("wkv{}", layer),
                       {heads, size, size},
                       at_least_float(dtype),
                       /*start=*/0,
                       parts_->blocks[static_cast<size_t>(layer)]->att->time_state});
    entries.push_back({fmt::format("ffn_x{}", layer), {options_.width}, dtype});
  }
  return entries;
}

at::Tensor RWKV7Impl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  at::Tensor x = parts_->emb->forward(tokens);
  if (options_.input_norm) x = parts_->blocks.front()->ln0->forward(x);
  std::optional<at::Tensor> fused;
  if (sequences.slots) {
    fused = decode_blocks(parts_->blocks, x, state, *sequences.slots);
  } else if (!sequences.cu_seqlens) {
    fused = read_blocks(parts_->blocks, x, state);
  }
  if (fused) return parts_->ln_out->forward(*fused);

  at::Tensor first_value = x;  // until block 0 makes it
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer) {
    const auto forward = [block = parts_->blocks[layer], sequences](const at::Tensor& in, State::Entry* values) {
      return block->forward(in, values, values[Parts::kEntries].tensor, sequences);
    };
    const auto entries = std::span(&state.entries[layer * Parts::kEntries], Parts::kEntries);
    std::vector<State::Entry> values(entries.begin(), entries.end());
    values.push_back({"first_value", first_value});
    x = run_block(gradient_checkpointing(), *parts_->blocks[layer], x, values, forward);
    first_value = values.back().tensor;
    std::copy_n(values.begin(), Parts::kEntries, entries.begin());
  }
  return parts_->ln_out->forward(x);
}

at::Tensor RWKV7Impl::logits(const at::Tensor& hidden) {
  const at::Tensor logits = parts_->head->forward(hidden);
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

std::vector<ParameterGroup> RWKV7Impl::parameter_groups() const { return recipe_groups(*this, {{"att.w0", 2.0}}); }

}  // namespace wkv::models
