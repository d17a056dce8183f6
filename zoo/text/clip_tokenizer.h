// The tokenizer of CLIP and RWKV-CLIP: a text is cleaned and lower-cased, split into words, and their bytes are merged;
// a word's last token is another one than the same bytes elsewhere. Ill-formed UTF-8 becomes U+FFFD first.
#pragma once
#include "text/bpe_encoding.h"
#include "text/bpe_vocabulary.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

class WKV_API ClipTokenizer final : public Tokenizer {
 public:
  // vocabulary: of parse_clip_vocabulary.
  explicit ClipTokenizer(BpeVocabulary vocabulary);

  std::string name() const override { return "clip"; }
  std::vector<int64_t> encode(std::string_view text) const override;
  // The cleaned text, with a space behind each word; the tokens of start and end give their names.
  std::string decode(const std::vector<int64_t>& tokens) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::optional<int64_t> end_of_text() const override { return vocab_size() - 1; }
  std::vector<int64_t> encode_row(std::string_view text, int64_t context_length) const override;

 private:
  int64_t start_of_text() const { return vocab_size() - 2; }

  std::vector<std::string> tokens_;  // the bytes of each id
  BpeMerges merges_;
};

}  // namespace wkv::zoo
