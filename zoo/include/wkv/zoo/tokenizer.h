// Text to tokens and back.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/hub.h"

namespace wkv::zoo {

class WKV_API Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;                                  // "world", "bytes", ...
  virtual std::vector<int64_t> encode(std::string_view text) const = 0;  // any bytes; adds no special tokens
  // The bytes of these tokens; the end-of-text token has none, but for clip's. Throws wkv::Error for an id that is not
  // a token.
  virtual std::string decode(const std::vector<int64_t>& tokens) const = 0;
  virtual int64_t vocab_size() const = 0;                  // one more than the largest id
  virtual std::optional<int64_t> end_of_text() const = 0;  // the token that ends a document
  // A text as a row of so many tokens, for models that read rows of one length: CLIP's start, the text, cut where it is
  // too long, the end, zeros; of bytes the text and zeros. Throws wkv::Error for a tokenizer that knows no such rows.
  virtual std::vector<int64_t> encode_row(std::string_view text, int64_t context_length) const;
};

// By name ("bytes", "world", "gpt-neox-20b", "gpt2", "clip") or by path: a World vocabulary (rwkv_vocab_*.txt), a
// tokenizer.json with the pipeline of GPT-NeoX 20B or GPT-2, merges (*merges.txt) with their vocabulary beside them
// (*vocab.json), or the merges of CLIP (*.gz). The names are the files rwkv_vocab_v20230424.txt, 20B_tokenizer.json,
// gpt2_merges.txt or merges.txt, and bpe_simple_vocab_16e6.txt.gz in $WKV_TOKENIZERS, else in
// $XDG_DATA_HOME/wkv/tokenizers (by default ~/.local/share/wkv/tokenizers), else those of the catalogue's data card of
// that name, fetched where they are not in the cache.
// gpt-neox-20b and gpt2 take "<|endoftext|>" in a text for that token, as published, and ill-formed UTF-8 for U+FFFD;
// gpt-neox-20b normalises: decoding gives the text in NFC. clip takes "<start_of_text>" and "<end_of_text>" at the
// beginning of a word for those tokens, and cleans and lower-cases: decoding gives words with a space behind each. It
// leaves text that was decoded by a wrong encoding ("cafÃ©"), which the published one repairs.
// Throws wkv::Error, which says what was looked for and where, or what in the file is wrong.
WKV_API std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name_or_path);

// The files that load_tokenizer reads for one of the names, fetched where they are missing; none: it needs none, or it
// is no name. Throws wkv::Error as fetch does.
WKV_API std::vector<std::filesystem::path> tokenizer_files(const std::string& name, const FetchProgress& progress = {});

}  // namespace wkv::zoo
