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

struct Score {
  double nats = 0;     // of the whole text
  int64_t tokens = 0;  // of the text; what comes before it is not among them
  double seconds = 0;
};

// The text as one document: the first token is predicted after the end-of-text token, as upstream scores (after a
// newline, for a tokenizer that has none).
WKV_API Score score(models::LanguageModel& model, const Tokenizer& tokenizer, std::string_view text);

}  // namespace wkv::zoo
