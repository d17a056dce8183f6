// Tokenised text in a .safetensors file, which training maps instead of tokenising each time: the tensors `tokens` [N]
// (uint8, uint16 or int32, as the vocabulary needs) and `ends` int64 [D], how many tokens there are up to the end of
// each document; in the metadata `tokenizer`, `vocab` and `bytes`, those of the text.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "io/atomic_file.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {

// Makes one, in the memory of its pieces. Without commit() nothing stays. Throws wkv::Error.
class TokenFileWriter {
 public:
  WKV_API TokenFileWriter(const std::filesystem::path& path, std::shared_ptr<const Tokenizer> tokenizer);

  // The next piece of a document, tokenised by itself.
  WKV_API void append(std::string_view text);
  // Appends the tokenizer's token for the end of a document, where it has one.
  WKV_API void end_document();
  WKV_API void commit();  // once, at the end; refuses an empty set

  int64_t tokens() const { return tokens_; }
  int64_t bytes() const { return bytes_; }
  int64_t documents() const { return static_cast<int64_t>(ends_.size()); }

 private:
  void write(const std::vector<int64_t>& tokens);

  std::filesystem::path path_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  at::ScalarType dtype_;
  AtomicFile raw_;  // the tokens alone, until their number is known
  std::vector<int64_t> ends_;
  int64_t tokens_ = 0, bytes_ = 0;
};

struct TokenFile {
  at::Tensor tokens, ends;  // as above, of the mapped file
  int64_t bytes = 0;
};

// Throws wkv::Error for a file that is none, that another tokenizer made, or that has tokens beyond its vocabulary.
WKV_API TokenFile read_token_file(const std::filesystem::path& path, const Tokenizer& tokenizer);

// Calls f with the tokens as a span of their own type.
template <typename F>
auto with_tokens(const at::Tensor& tokens, F&& f) {
  const auto size = static_cast<size_t>(tokens.numel());
  const void* data = tokens.const_data_ptr();
  switch (tokens.scalar_type()) {
    case at::kByte:
      return f(std::span(static_cast<const uint8_t*>(data), size));
    case at::kUInt16:
      return f(std::span(static_cast<const uint16_t*>(data), size));
    default:
      return f(std::span(static_cast<const int32_t*>(data), size));
  }
}

}  // namespace wkv::zoo
