// Where a tokenizer meets a model.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// What a text without a beginning of its own comes after: the end of another one, or a newline for a tokenizer that has
// no such token.
std::vector<int64_t> opening_tokens(const Tokenizer& tokenizer);

// Throws wkv::Error for a token that the model's vocabulary doesn't have. what: where the tokens come from, "prompt",
// for the message.
void require_fit(const Tokenizer& tokenizer, const std::vector<int64_t>& tokens, int64_t model_vocab,
                 std::string_view what);

}  // namespace wkv::zoo
