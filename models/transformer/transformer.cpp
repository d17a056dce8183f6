// The Transformer: embedding, layers, head; state in and out.
#include "wkv/models/transformer.h"

#include <fmt/format.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "layers/checkpointed_block.h"
#include "layers/parameter_groups.h"
#include "layers/precision.h"
#include "transformer/blocks.h"
#include "transformer/options.h"
#include "wkv/error.h"

namespace wkv::models {

struct TransformerImpl::Parts {
  std::shared_ptr<Embedding> embed_tokens;
  std::vector<std::shared_ptr<TransformerLayer>> layers;
  std::shared_ptr<RmsNorm> norm;
  std::shared_ptr<Linear> lm_head;
};

TransformerImpl::TransformerImpl(TransformerOptions options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>()) {
  const auto model = register_module("model", std::make_shared<torch::nn::Module>());
  parts_->embed_tokens =
      model->register_module("embed_tokens", std::make_shared<Embedding>(options_.vocab, options_.width));
  torch::nn::ModuleList layers;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    parts_->layers.push_back(std::make_shared<TransformerLayer>(options_));
    layers->push_back(parts_->layers.back());
  }
  model->register_module("layers", layers);
  parts_->norm = model->register_module("norm", std::make_shared<RmsNorm>(options_.width, options_.norm_eps));
  parts_->lm_head = register_module("lm_head", std::make_shared<Linear>(options_.width, options_.vocab));
  if (!initialise) return;

  const at::NoGradGuard no_grad;
  const double into_residual = 0.02 / std::sqrt(2 * static_cast<double>(options_.layers));
  for (auto& parameter : named_parameters()) {
    if (parameter.value().dim() == 1) {
      torch::nn::init::ones_(parameter.value());
    } else {
      const bool ends_branch =
          parameter.key().ends_with("o_proj.weight") || parameter.key().ends_with("down_proj.weight");
      torch::nn::init::normal_(parameter.value(), 0, ends_branch ? into_residual : 0.02);
    }
  }
}

TransformerImpl::~TransformerImpl() = default;

std::string TransformerImpl::config_json() const { return to_config_json(options_); }

std::vector<LanguageModel::StateEntry> TransformerImpl::state_entries() const {
  const at::ScalarType dtype = parts_->embed_tokens->weight.scalar_type();
  std::vector<StateEntry> entries = {{"position", {}, at::kLong}};
  for (int64_t layer = 0; layer < options_.layers; ++layer)
    for (const char* name : {"past_k", "past_v"})
      entries.push_back(
          {fmt::format("{}{}", name, layer), {0, options_.width / options_.head_size, options_.head_size}, dtype});
  return entries;
}

namespace {

// Rows of every layer's past; throws wkv::Error where a state, which may come from a file, contradicts itself.
int64_t past_rows(const State& state) {
  const int64_t rows = state.entries[1].tensor.size(1);
  for (const auto& [name, tensor] : state.entries) {
    if (!State::grows(name) || tensor.size(1) == rows) continue;
    throw Error(ErrorCode::invalid_argument, fmt::format("transformer: the state's {} has {} tokens, and its {} has {}",
                                                         state.entries[1].name, rows, name, tensor.size(1)));
  }
  return rows;
}

std::vector<int64_t> past_lengths(const at::Tensor& positions, int64_t rows) {
  const at::Tensor values = positions.to(at::kCPU, at::kLong).contiguous();
  const auto* first = values.const_data_ptr<int64_t>();
  std::vector<int64_t> lengths(first, first + values.numel());
  for (const int64_t length : lengths) {
    if (length >= 0 && length <= rows) continue;
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("transformer: the state's position must be in 0..{}, the tokens it keeps, got {}", rows, length));
  }
  return lengths;
}

}  // namespace

at::Tensor TransformerImpl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  at::Tensor& position = state.entries.front().tensor;
  const int64_t past = past_rows(state);
  const at::Tensor before = position;
  const TokenPositions positions(tokens, before, sequences);
  position = positions.after;

  at::Tensor x = at_least_float(parts_->embed_tokens->forward(tokens));  // a half-precision model's residual stream too
  AttentionCall call{.sequences = sequences,
                     .rotation = {positions.of_tokens, options_.head_size, options_.rotary_base, x},
                     .lengths = past_lengths(before, past),
                     .real = {}};
  if (!sequences.cu_seqlens && std::ranges::any_of(call.lengths, [&](int64_t length) { return length < past; }))
    call.real = at::arange(past + tokens.size(1), before.options()) >= (past - before).unsqueeze(1);
  State::Entry* entries = state.entries.data() + 1;
  for (const auto& layer : parts_->layers) {
    const auto forward = [layer, call](const at::Tensor& in, State::Entry* own) {
      return layer->forward(in, own, call);
    };
    x = run_block(gradient_checkpointing(), *layer, x, std::span(entries, 2), forward);
    entries += 2;
  }
  return parts_->norm->forward(x);
}

at::Tensor TransformerImpl::logits(const at::Tensor& hidden) {
  return at_least_float(parts_->lm_head->forward(hidden));
}

std::vector<ParameterGroup> TransformerImpl::parameter_groups() const { return recipe_groups(*this, {}); }

}  // namespace wkv::models
