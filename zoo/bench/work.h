// The pieces of work that a benchmark times, the same for every engine: which tokens, what state, which logits.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "wkv/export.h"
#include "wkv/models/language_model.h"

namespace wkv::zoo {

struct WorkTime {
  double seconds = 0, cpu_seconds = 0;  // of the clock on the wall, and of all threads of the process together
};

// `count` tokens that are spread over the vocabulary: i * 7919 % vocab.
WKV_API at::Tensor bench_tokens(int64_t count, int64_t vocab);

// Decodes `tokens` tokens for each of `batch` sequences that have begun, with the logits of every one. A single
// sequence goes the way of generate(), more of them lie in a pool. Throws wkv::Error for several sequences of a model
// whose state grows, and for states that the machine's memory can't hold.
WKV_API WorkTime time_decode(models::LanguageModel& model, int64_t tokens, int64_t batch = 1);
// Reads `batch` prompts of `tokens` tokens from the empty state, with the logits of the last token of each.
WKV_API WorkTime time_prompt(models::LanguageModel& model, int64_t tokens, int64_t batch = 1);
// The logits [V] after the first `tokens` tokens.
WKV_API at::Tensor bench_logits(models::LanguageModel& model, int64_t tokens);

}  // namespace wkv::zoo
