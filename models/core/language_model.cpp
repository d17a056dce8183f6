// What all language models share: a call's checks, its layout, forward from its two halves, and the loss with
// upstream's logit penalty.
#include "wkv/models/language_model.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/sequence_layout.h"
#include "core/sequences.h"
#include "core/tokens.h"
#include "wkv/error.h"
#include "wkv/models/memory.h"

namespace wkv::models {
namespace {

// The entry of a state that grows with every token; null: there is none.
const State::Entry* growing_entry(const State& state) {
  const auto found = std::ranges::find_if(state.entries, [](const auto& entry) { return State::grows(entry.name); });
  return found == state.entries.end() ? nullptr : &*found;
}

void check_device(const std::string& model, const State& state, const at::Tensor& tokens) {
  for (const auto& [name, tensor] : state.entries) {
    if (tensor.device() != tokens.device()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the state's entry {} is on {}, and the tokens are on {}", model, name,
                              tensor.device().str(), tokens.device().str()));
    }
  }
}

}  // namespace

Output LanguageModel::forward(const at::Tensor& tokens, const State& state, const SequenceLayout& layout) {
  if (tokens.defined() && tokens.is_cpu()) {
    std::vector<int64_t> sizes = tokens.sizes().vec();
    sizes.push_back(vocab_size());
    require_memory(family() + ": the logits", sizes, at::kFloat,
                   "read the prompt in blocks, or ask for the logits of fewer positions");
  }
  auto [values, next] = hidden(tokens, state, layout);
  return {logits(values), std::move(next)};
}

std::pair<at::Tensor, State> LanguageModel::hidden(const at::Tensor& tokens, const State& state,
                                                   const SequenceLayout& layout) {
  check_tokens(family(), tokens, vocab_size());
  check_layout(family(), tokens, layout);
  if (layout.cu_seqlens.defined()) {
    const at::Tensor bounds = layout.cu_seqlens.to(at::kCPU, at::kLong).contiguous();
    return hidden_of(tokens, state, Sequences::packed(bounds, tokens.device()));
  }
  if (layout.attention_mask.defined()) {
    const PackedRows packed = pack_rows(tokens, layout.attention_mask);
    auto [values, next] = hidden_of(packed.pick(tokens), state, Sequences::packed(packed.cu_seqlens, tokens.device()));
    return {packed.spread(values), std::move(next)};
  }
  return hidden_of(tokens, state, Sequences::rows(tokens.size(0)));
}

std::pair<at::Tensor, State> LanguageModel::hidden_of(const at::Tensor& tokens, const State& state,
                                                      const Sequences& sequences) {
  State next = state.empty() ? initial_state(sequences.count) : state;
  if (!state.empty()) check_state(state, sequences.count);
  check_device(family(), next, tokens);
  if (tokens.size(1) == 1 && !sequences.cu_seqlens && !at::GradMode::is_enabled() && !growing_entry(next)) {
    // A step in place, on a copy of what was given.
    for (State::Entry& entry : next.entries) {
      if (!state.empty()) entry.tensor = entry.tensor.clone();
    }
    at::Tensor values = run(tokens, next, Sequences::in_slots(at::arange(tokens.size(0), tokens.options())));
    return {std::move(values), std::move(next)};
  }
  at::Tensor values = run(tokens, next, sequences);
  return {std::move(values), std::move(next)};
}

std::pair<at::Tensor, State> LanguageModel::read(const at::Tensor& tokens, const State& state,
                                                 const at::Tensor& attention_mask, int64_t block) {
  check_tokens(family(), tokens, vocab_size());
  check_layout(family(), tokens, {.attention_mask = attention_mask});
  if (block < 1) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: block must be at least 1, got {}", family(), block));
  }
  State next = state;
  at::Tensor last;
  for (int64_t begin = 0; begin == 0 || begin < tokens.size(1); begin += block) {
    const at::Tensor piece = tokens.slice(1, begin, begin + block);
    at::Tensor mask, values;
    if (attention_mask.defined()) mask = attention_mask.slice(1, begin, begin + block);
    std::tie(values, next) = hidden(piece, next, {.attention_mask = mask});
    if (!last.defined()) last = at::zeros({values.size(0), values.size(2)}, values.options());
    last = last_values(values, mask, last);
  }
  return {last, std::move(next)};
}

at::Tensor LanguageModel::decode(const at::Tensor& tokens, State& pool, const at::Tensor& slots) {
  const at::NoGradGuard no_grad;
  if (!tokens.defined() || tokens.dim() != 1) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: decode takes tokens int64 [B]", family()));
  }
  check_tokens(family(), tokens.unsqueeze(1), vocab_size());
  check_state(pool, pool.batch());
  check_device(family(), pool, tokens);
  if (const State::Entry* growing = growing_entry(pool)) {
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: its state grows with every token ({}): it can't lie in a pool", family(), growing->name));
  }
  check_slots(family(), slots, tokens.size(0), pool.batch());
  return run(tokens.unsqueeze(1), pool, Sequences::in_slots(slots.to(tokens.device()))).squeeze(1);
}

State LanguageModel::initial_state(int64_t batch) const {
  State state;
  const auto all = parameters();
  const at::Device device = all.empty() ? at::Device(at::kCPU) : all.front().device();
  for (const StateEntry& entry : state_entries()) {
    std::vector<int64_t> sizes = {batch};
    sizes.insert(sizes.end(), entry.shape.begin(), entry.shape.end());
    state.entries.push_back({entry.name, entry.learned.defined()
                                             ? entry.learned.to(entry.dtype).expand(sizes).clone()
                                             : at::full(sizes, entry.start, at::device(device).dtype(entry.dtype))});
  }
  return state;
}

void LanguageModel::check_state(const State& state, int64_t rows) const {
  const std::vector<StateEntry> expected = state_entries();
  if (state.entries.size() != expected.size()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: the state must have {} entries, got {}: is it another model's?", family(),
                            expected.size(), state.entries.size()));
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& [name, tensor] = state.entries[i];
    std::vector<int64_t> sizes = {rows};
    sizes.insert(sizes.end(), expected[i].shape.begin(), expected[i].shape.end());
    // How much of a past there is, the state knows best; the entries of one kind agree, as they grew together.
    if (State::grows(name) && tensor.dim() == static_cast<int64_t>(sizes.size())) sizes[1] = tensor.size(1);
    if (name != expected[i].name || tensor.sizes() != sizes ||
        tensor.is_floating_point() != at::isFloatingType(expected[i].dtype)) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the state's entry {} must be {} [{}] of {}, got {} [{}] of {}", family(), i,
                              expected[i].name, fmt::join(sizes, ", "), c10::toString(expected[i].dtype), name,
                              fmt::join(tensor.sizes().vec(), ", "), c10::toString(tensor.scalar_type())));
    }
  }
}

at::Tensor LanguageModel::loss(const at::Tensor& tokens, const at::Tensor& targets, std::optional<double> logit_penalty,
                               const SequenceLayout& layout) {
  return loss_and_state(tokens, targets, {}, logit_penalty, layout).first;
}

std::pair<at::Tensor, State> LanguageModel::loss_and_state(const at::Tensor& tokens, const at::Tensor& targets,
                                                           const State& state, std::optional<double> logit_penalty,
                                                           const SequenceLayout& layout) {
  if (at::GradMode::is_enabled() && quantized()) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: is quantised, for inference only: load it in fp32 or bf16 to train it", family()));
  }
  check_tokens(family(), tokens, vocab_size());
  if (!targets.defined() || targets.sizes() != tokens.sizes() || targets.scalar_type() != at::kLong) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: targets must be int64 [{}], as the tokens are", family(),
                                                         fmt::join(tokens.sizes().vec(), ", ")));
  }
  if (layout.attention_mask.defined()) {
    check_layout(family(), tokens, layout);
    const PackedRows packed = pack_rows(tokens, layout.attention_mask);
    return loss_and_state(packed.pick(tokens), packed.pick(targets), state, logit_penalty,
                          {.cu_seqlens = packed.cu_seqlens});
  }
  auto [logits, next] = forward(tokens, state, layout);
  const at::Tensor z = logits.flatten(0, 1);  // [B*T, V]
  const at::Tensor loss = at::cross_entropy_loss(z, targets.flatten());
  const double factor = logit_penalty.value_or(recipe_logit_penalty());
  if (factor == 0 || z.size(0) == 0) return {loss, std::move(next)};
  // d/dz of factor/2 * max(z)^2 / (B*T) is the penalty; subtracting its own value leaves the loss as it was.
  const at::Tensor largest = std::get<0>(z.max(/*dim=*/1));
  const at::Tensor penalty = largest.square().sum() * (0.5 * factor / static_cast<double>(z.size(0)));
  return {loss + (penalty - penalty.detach()), std::move(next)};
}

}  // namespace wkv::models
