#include "train/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>

#include <algorithm>
#include <numbers>

namespace wkv::zoo {
namespace {

constexpr int64_t kLeadTokens = 8192;          // of the training text, read to fill the state
constexpr int64_t kChunkTokens = 4096;         // read at once
constexpr int64_t kLogits = int64_t{1} << 24;  // held at once

}  // namespace

double held_out_bits_per_byte(models::LanguageModel& model, const TextData& data) {
  const at::NoGradGuard no_grad;
  const int64_t lead = std::min(kLeadTokens, data.train.numel());
  const auto tokens =
      at::cat({data.train.slice(0, -lead), data.held_out}).to(at::kLong).unsqueeze(0);  // [1, lead + held out]
  models::State state;
  if (lead > 1) state = model.hidden(tokens.slice(1, 0, lead - 1)).second;

  const int64_t chunk = std::clamp<int64_t>(kLogits / model.vocab_size(), 1, kChunkTokens);
  double nats = 0.0;
  for (int64_t begin = lead - 1; begin < tokens.size(1) - 1; begin += chunk) {
    const int64_t end = std::min(begin + chunk, tokens.size(1) - 1);
    auto [hidden, next] = model.hidden(tokens.slice(1, begin, end), state);
    state = std::move(next);
    const auto logits = model.logits(hidden).squeeze(0).to(at::kDouble);
    nats +=
        at::cross_entropy_loss(logits, tokens[0].slice(0, begin + 1, end + 1), {}, at::Reduction::Sum).item<double>();
  }
  return nats / std::numbers::ln2 / static_cast<double>(data.held_out_bytes);
}

}  // namespace wkv::zoo
