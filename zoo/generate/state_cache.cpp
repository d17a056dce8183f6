#include "wkv/zoo/state_cache.h"

#include <algorithm>
#include <utility>

namespace wkv {
namespace {

int64_t common_prefix(std::span<const int64_t> a, std::span<const int64_t> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

int64_t context_bytes(const Context& context) {
  std::size_t bytes = context.hidden.nbytes();
  for (const auto& entry : context.state.entries) bytes += entry.tensor.nbytes();
  return static_cast<int64_t>(bytes);
}

}  // namespace

// The entries are few, since each holds a state: a look at all of them costs less than a token.
std::list<StateCache::Entry>::iterator StateCache::longest_prefix(std::span<const int64_t> tokens) {
  auto best = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const auto length = static_cast<int64_t>(entry->tokens.size());
    if ((best == entries_.end() || entry->tokens.size() > best->tokens.size()) &&
        common_prefix(entry->tokens, tokens) == length) {
      best = entry;
    }
  }
  return best;
}

StateCache::Found StateCache::find(std::span<const int64_t> tokens) {
  const auto best = longest_prefix(tokens);
  if (best == entries_.end()) return {};
  entries_.splice(entries_.begin(), entries_, best);
  return {static_cast<int64_t>(best->tokens.size()), best->context};
}

int64_t StateCache::shared(std::span<const int64_t> tokens) const {
  int64_t longest = 0;
  for (const Entry& entry : entries_) longest = std::max(longest, common_prefix(entry.tokens, tokens));
  return longest;
}

void StateCache::put(std::span<const int64_t> tokens, const Context& context) {
  const auto known = longest_prefix(tokens);
  const std::size_t saved = known == entries_.end() ? 0 : known->tokens.size();
  const int64_t bytes = context_bytes(context) + static_cast<int64_t>(tokens.size_bytes());
  if (static_cast<int64_t>(tokens.size() - saved) < kWorthKeeping || bytes > capacity_) return;
  // Copies, since a tensor may be a view of something larger.
  entries_.push_front({{tokens.begin(), tokens.end()}, {context.state.clone(), context.hidden.clone()}, bytes});
  bytes_ += bytes;
  for (; bytes_ > capacity_; entries_.pop_back()) bytes_ -= entries_.back().bytes;
}

}  // namespace wkv
