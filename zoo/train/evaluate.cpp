#include "train/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <algorithm>
#include <numbers>

#include "wkv/zoo/score.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kLeadTokens = 8192;  // of the training text, read to fill the state

bool grows(const models::LanguageModel& model) {
  const models::State state = model.initial_state(1);
  return std::ranges::any_of(state.entries, [](const auto& entry) { return models::State::grows(entry.name); });
}

// -sum log p(tokens[i]) over i >= first, each given what its window has ahead of it: at least half of `context` tokens,
// where there are so many.
double windowed_nats(models::LanguageModel& model, const at::Tensor& tokens, int64_t first, int64_t context) {
  const int64_t counted = std::max<int64_t>(context / 2, 1), count = tokens.numel();
  double nats = 0;
  for (int64_t begin = first; begin < count; begin += counted) {
    const int64_t end = std::min(begin + counted, count), start = std::max<int64_t>(end - 1 - context, 0);
    const at::Tensor hidden = model.hidden(tokens.slice(0, start, end - 1).unsqueeze(0)).first;
    const at::Tensor logits = model.logits(hidden.slice(1, begin - 1 - start)).squeeze(0).to(at::kDouble);
    nats += at::cross_entropy_loss(logits, tokens.slice(0, begin, end), {}, at::Reduction::Sum).item<double>();
  }
  return nats;
}

}  // namespace

double held_out_bits_per_byte(models::LanguageModel& model, const TextData& data, int64_t context) {
  const at::NoGradGuard no_grad;
  const int64_t lead = std::min(kLeadTokens, data.train.numel());
  const auto tokens = at::cat({data.train.slice(0, -lead).to(at::kLong), data.held_out.to(at::kLong)});
  const auto bits_per_byte = [&](double nats) {
    return nats / std::numbers::ln2 / static_cast<double>(data.held_out_bytes);
  };
  if (grows(model)) return bits_per_byte(windowed_nats(model, tokens, std::max<int64_t>(lead, 1), context));
  models::State state;
  if (lead > 1) state = model.hidden(tokens.slice(0, 0, lead - 1).unsqueeze(0)).second;
  return bits_per_byte(negative_log_likelihood(model, tokens.slice(0, lead - 1), state));
}

}  // namespace wkv::zoo
