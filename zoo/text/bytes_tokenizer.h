// The tokenizer that needs no file: a token is a byte.
#pragma once
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

class BytesTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<int64_t>& tokens) const override;
  int64_t vocab_size() const override { return 256; }
  std::optional<int64_t> end_of_text() const override { return std::nullopt; }
  std::vector<int64_t> encode_row(std::string_view text, int64_t context_length) const override;
};

}  // namespace wkv::zoo
