// The tokenizer of RWKV's World models: at each position the longest token of the vocabulary that fits. Any bytes can
// be encoded.
#pragma once
#include <cstdint>

#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

class WKV_API WorldTokenizer final : public Tokenizer {
 public:
  // tokens[i] has id i + 1; every single byte is among them.
  explicit WorldTokenizer(std::vector<std::string> tokens);

  std::string name() const override { return "world"; }
  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<int64_t>& tokens) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()) + 1; }
  std::optional<int64_t> end_of_text() const override { return 0; }

 private:
  // A trie in level order, so that a node's children lie side by side, sorted by byte.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint16_t children = 0;
    std::uint8_t byte = 0;
    std::int32_t token = -1;  // the id of the token that ends here
  };
  const Node* child(const Node& node, std::uint8_t byte) const;

  std::vector<std::string> tokens_;
  std::vector<Node> nodes_;  // nodes_[0] is the root, nodes_[1 + b] the byte b
};

}  // namespace wkv::zoo
