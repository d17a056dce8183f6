// BASED: embedding, layers, tied head; state in and out; initial values and parameter groups of the published recipe.
#include "wkv/models/based.h"

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <cmath>
#include <span>

#include "based/blocks.h"
#include "layers/checkpointed_block.h"

namespace wkv::models {

struct BasedImpl::Parts {
  std::shared_ptr<Embedding> embedding;  // its weight [V, C] is also the head's
  std::vector<std::shared_ptr<BasedLayer>> layers;
  std::shared_ptr<RmsNorm> norm;
};

BasedImpl::BasedImpl(BasedOptions options, bool initialise)
    : options_(complete(std::move(options))), parts_(std::make_shared<Parts>()) {
  const auto transformer = register_module("transformer", std::make_shared<torch::nn::Module>());
  const auto embeddings = transformer->register_module("embeddings", std::make_shared<torch::nn::Module>());
  parts_->embedding = embeddings->register_module("word_embeddings",
                                                  std::make_shared<Embedding>(padded_vocab(options_), options_.width));
  torch::nn::ModuleList layers;
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    parts_->layers.push_back(std::make_shared<BasedLayer>(options_, layer));
    layers->push_back(parts_->layers.back());
  }
  transformer->register_module("layers", layers);
  parts_->norm = transformer->register_module("ln_f", std::make_shared<RmsNorm>(options_.width, options_.norm_eps));
  if (!initialise) return;

  const at::NoGradGuard no_grad;
  const double into_residual = 0.02 / std::sqrt(2 * static_cast<double>(options_.layers));
  const double convolution = 1 / std::sqrt(static_cast<double>(options_.conv_kernel));
  for (auto& parameter : named_parameters()) {
    const std::string& name = parameter.key();
    if (name.ends_with("conv.weight")) {
      torch::nn::init::uniform_(parameter.value(), -convolution, convolution);
    } else if (name.ends_with(".bias")) {
      torch::nn::init::zeros_(parameter.value());
    } else if (parameter.value().dim() == 1) {
      torch::nn::init::ones_(parameter.value());
    } else {
      const bool last_of_branch = name.ends_with("out_proj.weight") || name.ends_with("fc2.weight");
      torch::nn::init::normal_(parameter.value(), 0, last_of_branch ? into_residual : 0.02);
    }
  }
}

BasedImpl::~BasedImpl() = default;

std::string BasedImpl::config_json() const { return to_config_json(options_); }

int64_t BasedImpl::vocab_size() const { return padded_vocab(options_); }

std::vector<LanguageModel::StateEntry> BasedImpl::state_entries() const {
  const at::ScalarType dtype = parts_->embedding->weight.scalar_type(),
                       wide = dtype == at::kDouble ? dtype : at::kFloat;
  const int64_t d = options_.feature_size, features = 1 + d + d * (d + 1) / 2;
  std::vector<StateEntry> entries = {{"position", {}, at::kLong}};
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    const auto add = [&](const char* name, std::vector<int64_t> shape, at::ScalarType type) {
      entries.push_back({fmt::format("{}{}", name, layer), std::move(shape), type});
    };
    switch (mixing_of_layer(options_, layer)) {
      case BasedMixing::convolution:
        add("conv", {options_.conv_width, options_.conv_kernel}, wide);
        break;
      case BasedMixing::linear_attention:
        add("kv", {options_.linear_heads, features, options_.width / options_.linear_heads}, wide);
        add("k", {options_.linear_heads, features}, wide);
        break;
      case BasedMixing::sliding_attention:
        for (const char* name : {"window_k", "window_v"})
          add(name, {window_rows(options_), options_.heads, options_.width / options_.heads}, dtype);
        break;
    }
  }
  return entries;
}

at::Tensor BasedImpl::run(const at::Tensor& tokens, State& state, const Sequences& sequences) {
  State::Entry* entries = state.entries.data();
  const at::Tensor before = sequences.read(entries->tensor);
  const TokenPositions positions(tokens, before, sequences);
  sequences.write(entries->tensor, positions.after);
  ++entries;

  at::Tensor x = parts_->embedding->forward(tokens);
  const BasedCall call{.sequences = sequences,
                       .rotation = {positions.of_tokens, options_.width / options_.heads, options_.rotary_base, x},
                       .past_length = before.clamp(0, window_rows(options_))};
  if (x.scalar_type() != at::kDouble) x = x.to(at::kFloat);  // the residual stream of a half-precision model
  for (int64_t layer = 0; layer < options_.layers; ++layer) {
    const auto& block = parts_->layers[static_cast<size_t>(layer)];
    const auto forward = [block, call](const at::Tensor& in, State::Entry* own) {
      return block->forward(in, own, call);
    };
    const size_t count = mixing_of_layer(options_, layer) == BasedMixing::convolution ? 1 : 2;
    x = run_block(gradient_checkpointing(), *block, x, std::span(entries, count), forward);
    entries += count;
  }
  return parts_->norm->forward(x);
}

at::Tensor BasedImpl::logits(const at::Tensor& hidden) {
  const at::Tensor logits = models::linear(hidden, parts_->embedding->weight);
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

// Upstream decays the weights of norms and convolutions too.
std::vector<ParameterGroup> BasedImpl::parameter_groups() const {
  ParameterGroup plain, decayed{.names = {}, .weight_decay = true};
  for (const auto& parameter : named_parameters()) {
    const std::string& name = parameter.key();
    const bool is_plain = name.ends_with(".bias") || name.ends_with("word_embeddings.weight");
    (is_plain ? plain : decayed).names.push_back(name);
  }
  return {plain, decayed};
}

}  // namespace wkv::models
