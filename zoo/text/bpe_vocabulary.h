// What a byte-level BPE tokenizer is made of, and the checks between a stranger's file and it.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wkv/export.h"

namespace wkv::zoo {

constexpr std::string_view kEndOfText = "<|endoftext|>";

// A token that is cut out of the text before words are looked for.
struct AddedToken {
  std::string text;
  int64_t id;
  bool normalized;  // cut out after the text's normalisation, not before
};

// As a file tells it, in the characters of the byte alphabet; nothing is checked.
struct BpeFile {
  std::vector<std::pair<std::string, int64_t>> tokens;
  std::vector<std::string> merges;  // "left right", those that go first first
  std::vector<AddedToken> added;    // may be among the tokens as well
  bool nfc = false;                 // texts are normalised
};

struct BpeMerge {
  std::int32_t left, right, result;  // ids
};

struct BpeVocabulary {
  std::vector<std::string> tokens;             // the bytes of each id
  std::array<std::int32_t, 256> single_bytes;  // their ids; -1 for bytes that well-formed UTF-8 doesn't have
  std::int32_t word_end = 0;  // what a word's last byte adds to its id: in CLIP's vocabulary it is another token
  std::vector<BpeMerge> merges;
  std::vector<AddedToken> added;
  bool nfc = false;
};

// Throws wkv::Error, beginning with `source`, where an id or a token comes twice, ids have gaps, a token is not of the
// byte alphabet, a merge's parts or result are no tokens, or a byte that texts have is none.
WKV_API BpeVocabulary check_bpe_file(const BpeFile& file, const std::string& source);

}  // namespace wkv::zoo
