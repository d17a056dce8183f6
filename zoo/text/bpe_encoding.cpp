#include "text/bpe_encoding.h"

#include <algorithm>
#include <functional>

namespace wkv::zoo {
namespace {

// Beyond it the words seen are forgotten: a text of ever new ones takes no more memory for them.
constexpr std::size_t kMaxSeenWords = 1 << 16;
constexpr std::size_t kNoSymbol = SIZE_MAX;

}  // namespace

BpeMerges::BpeMerges(const BpeVocabulary& vocabulary)
    : begin_(vocabulary.tokens.size() + 1),
      entries_(vocabulary.merges.size()),
      single_bytes_(vocabulary.single_bytes),
      word_end_(vocabulary.word_end) {
  for (const BpeMerge& merge : vocabulary.merges) ++begin_[static_cast<std::size_t>(merge.left) + 1];
  for (std::size_t left = 1; left < begin_.size(); ++left) begin_[left] += begin_[left - 1];
  std::vector<std::size_t> next = begin_;
  for (std::uint32_t rank = 0; const BpeMerge& merge : vocabulary.merges) {
    entries_[next[merge.left]++] = {merge.right, {rank++, merge.result}};
  }
  for (std::size_t left = 0; left + 1 < begin_.size(); ++left) {
    std::sort(entries_.begin() + static_cast<std::ptrdiff_t>(begin_[left]),
              entries_.begin() + static_cast<std::ptrdiff_t>(begin_[left + 1]),
              [](const Entry& a, const Entry& b) { return a.right < b.right; });
  }
}

BpeMerges::Merge BpeMerges::find(std::int32_t left, std::int32_t right) const {
  const Entry* begin = entries_.data() + begin_[left];
  const Entry* end = entries_.data() + begin_[left + 1];
  const Entry* found = std::lower_bound(begin, end, right, [](const Entry& e, std::int32_t r) { return e.right < r; });
  return found != end && found->right == right ? found->merge : Merge{};
}

void BpeEncoding::append_word(std::string_view word) {
  if (seen_.size() == kMaxSeenWords) seen_.clear();
  const auto [seen, is_new] = seen_.try_emplace(word, SeenWord{tokens_.size(), 0});
  if (is_new) {
    merge(word);
    seen->second.count = tokens_.size() - seen->second.begin;
    return;
  }
  const auto [begin, count] = seen->second;
  for (std::size_t i = begin; i < begin + count; ++i) tokens_.push_back(tokens_[i]);
}

// Considers the pair that begins at a symbol.
void BpeEncoding::offer(std::size_t at) {
  Symbol& symbol = symbols_[at];
  symbol.merge =
      symbol.next < symbols_.size() ? merges_.find(symbol.token, symbols_[symbol.next].token) : BpeMerges::Merge{};
  if (symbol.merge.rank == BpeMerges::kNone) return;
  queue_.push_back({symbol.merge.rank, at});
  std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
}

void BpeEncoding::merge(std::string_view word) {
  symbols_.clear();
  for (std::size_t i = 0; i < word.size(); ++i) {
    symbols_.push_back({merges_.single_byte(word[i]), i == 0 ? kNoSymbol : i - 1, i + 1, {}});
  }
  symbols_.back().token = merges_.last_byte(word.back());
  for (std::size_t i = 0; i < symbols_.size(); ++i) offer(i);
  while (!queue_.empty()) {
    const auto [rank, at] = queue_.front();
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
    queue_.pop_back();
    Symbol& left = symbols_[at];
    if (left.merge.rank != rank) continue;  // merged with another one, since
    Symbol& right = symbols_[left.next];
    left.token = left.merge.result;
    left.next = right.next;
    right.merge = {};
    if (left.next < symbols_.size()) symbols_[left.next].previous = at;
    offer(at);
    if (left.previous != kNoSymbol) offer(left.previous);
  }
  for (std::size_t i = 0; i < symbols_.size(); i = symbols_[i].next) tokens_.push_back(symbols_[i].token);
}

}  // namespace wkv::zoo
