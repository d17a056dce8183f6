// Byte-pair encoding: of a word's neighbouring tokens the pair that comes first in the list of merges becomes one, the
// leftmost of equals, until no pair is in the list.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/bpe_vocabulary.h"
#include "wkv/export.h"

namespace wkv::zoo {

class WKV_API BpeMerges {
 public:
  explicit BpeMerges(const BpeVocabulary& vocabulary);

  struct Merge {
    std::uint32_t rank = kNone;  // the lower, the earlier
    std::int32_t result = -1;
  };
  static constexpr std::uint32_t kNone = UINT32_MAX;

  Merge find(std::int32_t left, std::int32_t right) const;
  std::int32_t single_byte(char byte) const { return single_bytes_[static_cast<unsigned char>(byte)]; }
  std::int32_t last_byte(char byte) const { return single_byte(byte) + word_end_; }

 private:
  struct Entry {
    std::int32_t right;
    Merge merge;
  };
  std::vector<std::size_t> begin_;  // entries_[begin_[left]] to entries_[begin_[left + 1]], sorted by `right`
  std::vector<Entry> entries_;
  std::array<std::int32_t, 256> single_bytes_;
  std::int32_t word_end_;
};

// The tokens of one text, word by word. A word that was seen before is not merged again.
class WKV_API BpeEncoding {
 public:
  explicit BpeEncoding(const BpeMerges& merges) : merges_(merges) {}

  // word: well-formed UTF-8, not empty; its memory must outlive this object. Takes O(n log n) for a word of n bytes.
  void append_word(std::string_view word);
  void append_token(int64_t token) { tokens_.push_back(token); }
  std::vector<int64_t> take() { return std::move(tokens_); }

 private:
  struct Symbol {
    std::int32_t token;
    std::size_t previous, next;  // the neighbours that are left
    BpeMerges::Merge merge;      // with the next one
  };
  struct Candidate {
    std::uint32_t rank;
    std::size_t at;  // the left symbol
    auto operator<=>(const Candidate&) const = default;
  };
  struct SeenWord {
    std::size_t begin, count;  // its tokens in tokens_
  };

  void merge(std::string_view word);
  void offer(std::size_t at);

  const BpeMerges& merges_;
  std::vector<int64_t> tokens_;
  std::unordered_map<std::string_view, SeenWord> seen_;
  std::vector<Symbol> symbols_;   // of the word under way
  std::vector<Candidate> queue_;  // a heap; holds pairs that are gone, too
};

}  // namespace wkv::zoo
