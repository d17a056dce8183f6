#include "wkv/zoo/score.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>

#include "text/model_fit.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kPiece = 4096;               // tokens read at once
constexpr int64_t kLogits = int64_t{1} << 24;  // held at once

}  // namespace

double negative_log_likelihood(models::LanguageModel& model, const at::Tensor& tokens, models::State state) {
  const at::NoGradGuard no_grad;
  const int64_t last = tokens.numel() - 1, piece = std::clamp<int64_t>(kLogits / model.vocab_size(), 1, kPiece);
  double nats = 0;
  for (int64_t begin = 0; begin < last; begin += piece) {
    const int64_t end = std::min(begin + piece, last);
    auto [hidden, next] = model.hidden(tokens.slice(0, begin, end).unsqueeze(0), state);
    state = std::move(next);
    const at::Tensor logits = model.logits(hidden).squeeze(0).to(at::kDouble);
    nats += at::cross_entropy_loss(logits, tokens.slice(0, begin + 1, end + 1), {}, at::Reduction::Sum).item<double>();
  }
  return nats;
}

double windowed_negative_log_likelihood(models::LanguageModel& model, const at::Tensor& tokens, int64_t first,
                                        int64_t context) {
  const at::NoGradGuard no_grad;
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

Score score(models::LanguageModel& model, const Tokenizer& tokenizer, std::string_view text, int64_t context) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<int64_t> tokens = opening_tokens(tokenizer);
  const auto before = static_cast<int64_t>(tokens.size());
  const std::vector<int64_t> encoded = tokenizer.encode(text);
  tokens.insert(tokens.end(), encoded.begin(), encoded.end());
  require_fit(tokenizer, tokens, model.vocab_size(), "text");
  Score result{.tokens = static_cast<int64_t>(tokens.size()) - before};
  const at::Tensor all = at::tensor(tokens, at::kLong);
  result.nats =
      context ? windowed_negative_log_likelihood(model, all, before, context) : negative_log_likelihood(model, all);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace wkv::zoo
