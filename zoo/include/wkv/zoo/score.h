// How well a language model predicts a text.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "wkv/export.h"
#include "wkv/models/language_model.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// -sum log p(tokens[i] | tokens[0..i-1], state) over i >= 1, in nats; tokens: int64 [n]. Read once, front to end, in
// pieces.
WKV_API double negative_log_likelihood(models::LanguageModel& model, const at::Tensor& tokens,
                                       models::State state = {});

// The same over i >= first, each token given what its window has ahead of it: at least half of `context` tokens, where
// there are so many. For a model whose state grows, which would need a time that grows with the square of the text.
// first and context are at least 1.
WKV_API double windowed_negative_log_likelihood(models::LanguageModel& model, const at::Tensor& tokens, int64_t first,
                                                int64_t context);

struct Score {
  double nats = 0;     // of the whole text
  int64_t tokens = 0;  // of the text; what comes before it is not among them
  double seconds = 0;
};

// The text as one document: the first token is predicted after the end-of-text token, as upstream scores (after a
// newline, for a tokenizer that has none). context: the size of windows, as above; 0: the text at once.
WKV_API Score score(models::LanguageModel& model, const Tokenizer& tokenizer, std::string_view text,
                    int64_t context = 0);

}  // namespace wkv::zoo
