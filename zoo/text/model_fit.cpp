#include "text/model_fit.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

std::vector<int64_t> opening_tokens(const Tokenizer& tokenizer) {
  return tokenizer.end_of_text() ? std::vector<int64_t>{*tokenizer.end_of_text()} : tokenizer.encode("\n");
}

void require_fit(const Tokenizer& tokenizer, const std::vector<int64_t>& tokens, int64_t model_vocab,
                 std::string_view what) {
  for (const int64_t token : tokens) {
    if (token < 0 || token >= model_vocab) {
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("the tokenizer {} does not fit the model: the {} has token {}, the model's vocabulary ends at {}",
                      tokenizer.name(), what, token, model_vocab - 1));
    }
  }
}

}  // namespace wkv::zoo
