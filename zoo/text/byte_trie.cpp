#include "text/byte_trie.h"

#include <algorithm>
#include <numeric>

namespace wkv::zoo {

ByteTrie::ByteTrie(const std::vector<std::string>& strings) {
  // Indices of strings, sorted: the strings below a node are a range of it.
  std::vector<std::int32_t> order(strings.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return strings[a] < strings[b]; });

  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, order.size(), 0}};  // of the node of the same index
  nodes_.emplace_back();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    auto [begin, end, depth] = ranges[i];
    if (begin < end && strings[order[begin]].size() == depth) nodes_[i].index = order[begin++];
    nodes_[i].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = strings[order[begin]][depth];
      std::size_t next = begin;
      while (next < end && strings[order[next]][depth] == byte) ++next;
      if (i == 0) beginning_[static_cast<std::uint8_t>(byte)] = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({.byte = static_cast<std::uint8_t>(byte)});
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[i].children;
      begin = next;
    }
  }
}

const ByteTrie::Node* ByteTrie::child(const Node& node, std::uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.children;
  const Node* found = std::lower_bound(begin, end, byte, [](const Node& n, std::uint8_t b) { return n.byte < b; });
  return found != end && found->byte == byte ? found : nullptr;
}

ByteTrie::Match ByteTrie::longest_prefix(std::string_view text) const {
  Match match;
  if (text.empty() || beginning_[static_cast<std::uint8_t>(text[0])] == 0) return match;
  const Node* node = &nodes_[beginning_[static_cast<std::uint8_t>(text[0])]];
  for (std::size_t length = 1;; ++length) {
    if (node->index >= 0) match = {length, node->index};
    if (length == text.size()) return match;
    node = child(*node, static_cast<std::uint8_t>(text[length]));
    if (node == nullptr) return match;
  }
}

}  // namespace wkv::zoo
