// The tokenizer of RWKV's World models: at each position the longest token of the vocabulary that fits. Any bytes can
// be encoded.
#pragma once
#include "text/byte_trie.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

class WKV_API WorldTokenizer final : public Tokenizer {
 public:
  // tokens[i] has id i + 1; every single byte is among them.
  explicit WorldTokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)), trie_(tokens_) {}

  std::string name() const override { return "world"; }
  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<int64_t>& tokens) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()) + 1; }
  std::optional<int64_t> end_of_text() const override { return 0; }

 private:
  std::vector<std::string> tokens_;
  ByteTrie trie_;
};

}  // namespace wkv::zoo
