#include "text/world_tokenizer.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

std::vector<int64_t> WorldTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> result;
  result.reserve(text.size() / 4);
  while (!text.empty()) {
    const auto [length, index] = trie_.longest_prefix(text);
    result.push_back(index + 1);
    text.remove_prefix(length);
  }
  return result;
}

std::string WorldTokenizer::decode(const std::vector<int64_t>& tokens) const {
  std::string bytes;
  for (const int64_t token : tokens) {
    if (token < 0 || token >= vocab_size()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("world tokenizer: token {} is not in 0..{}", token, vocab_size() - 1));
    }
    if (token != 0) bytes += tokens_[static_cast<std::size_t>(token) - 1];
  }
  return bytes;
}

}  // namespace wkv::zoo
