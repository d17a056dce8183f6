// The tokenizers of GPT-2 and of GPT-NeoX 20B: byte-level BPE. Added tokens are cut out of the text, it is normalised
// where the vocabulary says so, split into words, and their bytes are merged. Ill-formed UTF-8 becomes U+FFFD first.
#pragma once
#include "text/bpe_encoding.h"
#include "text/bpe_vocabulary.h"
#include "text/byte_trie.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

class WKV_API BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeVocabulary vocabulary);

  std::string name() const override { return nfc_ ? "gpt-neox-20b" : "gpt2"; }
  std::vector<int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<int64_t>& tokens) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::optional<int64_t> end_of_text() const override { return end_of_text_; }

 private:
  // Those of one stage: before or after the normalisation.
  struct AddedTokens {
    AddedTokens(const std::vector<AddedToken>& added, bool normalized);
    // Appends the ids of those in the text, leftmost and longest first, and calls `piece` for what lies between them.
    template <typename piece_t>
    void cut_out(std::string_view text, BpeEncoding& encoding, const piece_t& piece) const;

    std::vector<int64_t> ids;
    ByteTrie texts;
  };

  std::vector<std::string> tokens_;  // the bytes of each id
  bool nfc_;
  BpeMerges merges_;
  AddedTokens raw_, normalized_;
  std::optional<int64_t> end_of_text_;
};

}  // namespace wkv::zoo
