// A set of strings that finds the longest one at the beginning of a text.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

class WKV_API ByteTrie {
 public:
  // strings: distinct, none empty.
  explicit ByteTrie(const std::vector<std::string>& strings);

  struct Match {
    std::size_t length = 0;  // 0: the text begins with none of them
    std::int32_t index = -1;
  };
  Match longest_prefix(std::string_view text) const;

 private:
  // In level order, so that a node's children lie side by side, sorted by byte.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint16_t children = 0;
    std::uint8_t byte = 0;
    std::int32_t index = -1;  // of the string that ends here
  };
  const Node* child(const Node& node, std::uint8_t byte) const;

  std::vector<Node> nodes_;                     // nodes_[0] is the root
  std::array<std::uint32_t, 256> beginning_{};  // the root's child of each byte; 0: none
};

}  // namespace wkv::zoo
