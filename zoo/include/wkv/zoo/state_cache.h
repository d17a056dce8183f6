// Contexts after texts that were read, for the next text that begins alike.
#pragma once
#include <cstdint>
#include <list>
#include <span>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/generate.h"

namespace wkv {

// Keeps the contexts used last, up to a number of bytes. Of one model, and for one thread.
class WKV_API StateCache {
 public:
  // A context that would save reading fewer tokens than this isn't kept.
  static constexpr int64_t kWorthKeeping = 32;

  explicit StateCache(int64_t capacity_bytes) : capacity_(capacity_bytes) {}

  struct Found {
    int64_t length = 0;  // tokens that the context has read; 0: nothing is known
    Context context = {};
  };
  // The context after the longest kept text that these tokens begin with.
  Found find(std::span<const int64_t> tokens);
  // How many tokens at the beginning of these are the beginning of some kept text too.
  int64_t shared(std::span<const int64_t> tokens) const;
  // Keeps a copy of the context after these tokens.
  void put(std::span<const int64_t> tokens, const Context& context);

  int64_t bytes() const { return bytes_; }
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

 private:
  struct Entry {
    std::vector<int64_t> tokens;
    Context context;
    int64_t bytes = 0;
  };
  std::list<Entry>::iterator longest_prefix(std::span<const int64_t> tokens);

  int64_t capacity_;
  int64_t bytes_ = 0;
  std::list<Entry> entries_;  // used last: at the front
};

}  // namespace wkv
