#include "train/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <numbers>

#include "wkv/zoo/score.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kLeadTokens = 8192;  // of the training text, read to fill the state

}  // namespace

double held_out_bits_per_byte(models::LanguageModel& model, const TextData& data) {
  const at::NoGradGuard no_grad;
  const int64_t lead = std::min(kLeadTokens, data.train.numel());
  const auto tokens = at::cat({data.train.slice(0, -lead), data.held_out}).to(at::kLong);
  models::State state;
  if (lead > 1) state = model.hidden(tokens.slice(0, 0, lead - 1).unsqueeze(0)).second;
  const double nats = negative_log_likelihood(model, tokens.slice(0, lead - 1), state);
  return nats / std::numbers::ln2 / static_cast<double>(data.held_out_bytes);
}

}  // namespace wkv::zoo
