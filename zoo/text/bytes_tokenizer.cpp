#include "text/bytes_tokenizer.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

std::vector<int64_t> BytesTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> tokens(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) tokens[i] = static_cast<unsigned char>(text[i]);
  return tokens;
}

std::string BytesTokenizer::decode(const std::vector<int64_t>& tokens) const {
  std::string bytes;
  bytes.reserve(tokens.size());
  for (const int64_t token : tokens) {
    if (token < 0 || token > 255) {
      throw Error(ErrorCode::invalid_argument, fmt::format("bytes tokenizer: token {} is not in 0..255", token));
    }
    bytes += static_cast<char>(token);
  }
  return bytes;
}

std::vector<int64_t> BytesTokenizer::encode_row(std::string_view text, int64_t context_length) const {
  constexpr int64_t kLongest = 1 << 20;
  if (context_length < 1 || context_length > kLongest) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("bytes tokenizer: context_length must be in 1..{}, got {}", kLongest, context_length));
  }
  std::vector<int64_t> row = encode(text.substr(0, static_cast<std::size_t>(context_length)));
  row.resize(static_cast<std::size_t>(context_length));
  return row;
}

}  // namespace wkv::zoo
