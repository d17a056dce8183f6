// RWKV-7: embedding, blocks, head; state in and out.
#include "wkv/models/rwkv7.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/init.h>

#include <cmath>

#include "rwkv7/blocks.h"
#include "rwkv7/options.h"
#include "wkv/error.h"

namespace wkv::models {

struct RWKV7Impl::Parts {
  std::shared_ptr<Linear> emb;  // only its weight [V, C] is used: rows are looked up
  std::vector<std::shared_ptr<RWKV7Block>> blocks;
  std::shared_ptr<LayerNorm> ln_out;
  std::shared_ptr<Linear> head;

  // A block's entries in a State.
  static constexpr size_t kEntries = 3;
};

RWKV7Impl::RWKV7Impl(RWKV7Options options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>()) {
  parts_->emb = register_module("emb", std::make_shared<Linear>(options_.width, options_.vocab));
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
  torch::nn::init::ones_(parts_->ln_out->weight);
  torch::nn::init::zeros_(parts_->ln_out->bias);
  const double ratio = static_cast<double>(options_.vocab) / static_cast<double>(options_.width);
  torch::nn::init::orthogonal_(parts_->head->weight, 0.5 * std::sqrt(std::max(ratio, 1.0)));
  if (options_.head_bias) torch::nn::init::zeros_(parts_->head->bias);
}

RWKV7Impl::~RWKV7Impl() = default;

std::string RWKV7Impl::config_json() const { return to_config_json(options_); }

State RWKV7Impl::initial_state(int64_t batch) const {
  const auto& weight = parts_->emb->weight;
  const auto wide = weight.options().dtype(weight.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  const int64_t heads = options_.width / options_.head_size;
  const auto shift = [&] { return at::zeros({batch, options_.width}, weight.options().requires_grad(false)); };
  State state;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    state.entries.push_back({fmt::format("att_x{}", layer), shift()});
    state.entries.push_back(
        {fmt::format("wkv{}", layer),
         at::zeros({batch, heads, options_.head_size, options_.head_size}, wide.requires_grad(false))});
    state.entries.push_back({fmt::format("ffn_x{}", layer), shift()});
  }
  return state;
}

namespace {

void check_tokens(const at::Tensor& tokens, int64_t vocab) {
  if (!tokens.defined() || tokens.dim() != 2 || tokens.scalar_type() != at::kLong) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKV7: tokens must be int64 [B, T], got {}",
                            tokens.defined() ? fmt::format("{} [{}]", c10::toString(tokens.scalar_type()),
                                                           fmt::join(tokens.sizes().vec(), ", "))
                                             : "no tensor"));
  }
  if (tokens.is_cpu() && tokens.numel() > 0) {  // elsewhere the look-up itself complains, without a wait for the device
    const auto [low, high] = at::aminmax(tokens);
    if (low.item<int64_t>() < 0 || high.item<int64_t>() >= vocab) {
      throw Error(ErrorCode::invalid_argument, fmt::format("RWKV7: tokens must be in 0..{}, got {}..{}", vocab - 1,
                                                           low.item<int64_t>(), high.item<int64_t>()));
    }
  }
}

void check_state(const State& state, const State& expected) {
  if (state.entries.size() != expected.entries.size()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("RWKV7: the state must have {} entries, got {}: is it another model's?",
                            expected.entries.size(), state.entries.size()));
  }
  for (size_t i = 0; i < state.entries.size(); ++i) {
    const auto& [name, tensor] = state.entries[i];
    const auto& [wanted_name, wanted] = expected.entries[i];
    if (name != wanted_name || tensor.sizes() != wanted.sizes()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("RWKV7: the state's entry {} must be {} [{}], got {} [{}]", i, wanted_name,
                              fmt::join(wanted.sizes().vec(), ", "), name, fmt::join(tensor.sizes().vec(), ", ")));
    }
  }
}

}  // namespace

std::pair<at::Tensor, State> RWKV7Impl::hidden(const at::Tensor& tokens, const State& state) {
  check_tokens(tokens, options_.vocab);
  State next = initial_state(tokens.size(0));
  if (!state.empty()) {
    check_state(state, next);
    next = state;
  }
  at::Tensor x = at::embedding(parts_->emb->weight, tokens);
  if (options_.input_norm) x = parts_->blocks.front()->ln0->forward(x);
  at::Tensor first_value;
  for (size_t layer = 0; layer < parts_->blocks.size(); ++layer) {
    const RWKV7Block& block = *parts_->blocks[layer];
    State::Entry* entries = &next.entries[layer * Parts::kEntries];
    at::Tensor mixed = block.att->forward(block.ln1->forward(x), entries[0].tensor, entries[1].tensor, first_value);
    if (block.att_bias.defined()) mixed = mixed + block.att_bias;
    x = x + mixed;
    x = x + block.ffn->forward(block.ln2->forward(x), entries[2].tensor);
  }
  return {parts_->ln_out->forward(x), std::move(next)};
}

at::Tensor RWKV7Impl::logits(const at::Tensor& hidden) {
  const at::Tensor logits = parts_->head->forward(hidden);
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

std::vector<ParameterGroup> RWKV7Impl::parameter_groups() const {
  ParameterGroup plain, decay_base{.names = {}, .learning_rate_scale = 2.0},
      matrices{.names = {}, .weight_decay = true};
  for (const auto& parameter : named_parameters()) {
    const std::string& name = parameter.key();
    if (name.ends_with("att.w0")) {
      decay_base.names.push_back(name);
    } else if (name.ends_with(".weight") && parameter.value().dim() >= 2) {
      matrices.names.push_back(name);
    } else {
      plain.names.push_back(name);
    }
  }
  return {plain, decay_base, matrices};
}

}  // namespace wkv::models
