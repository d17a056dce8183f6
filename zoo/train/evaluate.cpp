#include "train/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

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

}  // namespace

double held_out_bits_per_byte(models::LanguageModel& model, const TextData& data, int64_t context) {
  const at::NoGradGuard no_grad;
  const int64_t lead = std::min(kLeadTokens, data.train.numel());
  const auto tokens = at::cat({data.train.slice(0, -lead).to(at::kLong), data.held_out.to(at::kLong)});
  const auto bits_per_byte = [&](double nats) {
    return nats / std::numbers::ln2 / static_cast<double>(data.held_out_bytes);
  };
  if (grows(model))
    return bits_per_byte(windowed_negative_log_likelihood(model, tokens, std::max<int64_t>(lead, 1), context));
  models::State state;
  if (lead > 1) state = model.hidden(tokens.slice(0, 0, lead - 1).unsqueeze(0)).second;
  return bits_per_byte(negative_log_likelihood(model, tokens.slice(0, lead - 1), state));
}

}  // namespace wkv::zoo
