#include "text/world_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "wkv/error.h"

namespace wkv::zoo {

WorldTokenizer::WorldTokenizer(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {
  std::vector<std::int32_t> order(
      tokens_.size());  // indices of tokens, sorted: the tokens below a node are a range of it
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return tokens_[a] < tokens_[b]; });

  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges{{0, order.size(), 0}};  // of the node of the same index
  nodes_.emplace_back();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    auto [begin, end, depth] = ranges[i];
    if (begin < end && tokens_[order[begin]].size() == depth) nodes_[i].token = order[begin++] + 1;
    nodes_[i].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (begin < end) {
      const char byte = tokens_[order[begin]][depth];
      std::size_t next = begin;
      while (next < end && tokens_[order[next]][depth] == byte) ++next;
      nodes_.push_back({.byte = static_cast<std::uint8_t>(byte)});
      ranges.push_back({begin, next, depth + 1});
      ++nodes_[i].children;
      begin = next;
    }
  }
}

const WorldTokenizer::Node* WorldTokenizer::child(const Node& node, std::uint8_t byte) const {
  const Node* begin = nodes_.data() + node.first_child;
  const Node* end = begin + node.children;
  const Node* found = std::lower_bound(begin, end, byte, [](const Node& n, std::uint8_t b) { return n.byte < b; });
  return found != end && found->byte == byte ? found : nullptr;
}

std::vector<int64_t> WorldTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> result;
  result.reserve(text.size() / 4);
  for (std::size_t position = 0; position < text.size();) {
    const Node* longest = &nodes_[1 + static_cast<std::uint8_t>(text[position])];
    std::size_t end = ++position;
    for (const Node* node = longest; end < text.size();) {
      node = child(*node, static_cast<std::uint8_t>(text[end++]));
      if (node == nullptr) break;
      if (node->token >= 0) longest = node, position = end;
    }
    result.push_back(longest->token);
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
