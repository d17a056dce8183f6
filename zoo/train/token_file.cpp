#include "train/token_file.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <span>
#include <string>

#include "io/mapped_file.h"
#include "io/printable.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

at::ScalarType token_dtype(int64_t vocab) {
  if (vocab <= 1 << 8) return at::kByte;
  return vocab <= 1 << 16 ? at::kUInt16 : at::kInt;
}

std::filesystem::path raw_path(std::filesystem::path path) { return path += ".tokens"; }

int64_t number_of(const std::map<std::string, std::string>& metadata, const std::string& key) {
  const auto item = metadata.find(key);
  int64_t number = -1;
  if (item == metadata.end()) return number;
  const char* last = item->second.data() + item->second.size();
  const auto [end, error] = std::from_chars(item->second.data(), last, number);
  return error == std::errc{} && end == last ? number : -1;
}

bool are_document_ends(const at::Tensor& ends, int64_t tokens) {
  if (ends.dim() != 1 || ends.scalar_type() != at::kLong || ends.numel() == 0) return false;
  const std::span values(ends.const_data_ptr<int64_t>(), static_cast<size_t>(ends.numel()));
  return values.front() >= 0 && values.back() == tokens && std::ranges::is_sorted(values);
}

}  // namespace

TokenFileWriter::TokenFileWriter(const std::filesystem::path& path, std::shared_ptr<const Tokenizer> tokenizer)
    : path_(path),
      tokenizer_(std::move(tokenizer)),
      dtype_(token_dtype(tokenizer_->vocab_size())),
      raw_(raw_path(path)) {}

void TokenFileWriter::write(const std::vector<int64_t>& tokens) {
  const at::Tensor narrow = at::tensor(tokens, at::kLong).to(dtype_);
  raw_.write(narrow.const_data_ptr(), narrow.nbytes());
  tokens_ += narrow.numel();
}

void TokenFileWriter::append(std::string_view text) {
  write(tokenizer_->encode(text));
  bytes_ += static_cast<int64_t>(text.size());
}

void TokenFileWriter::end_document() {
  if (const auto end = tokenizer_->end_of_text()) write({*end});
  ends_.push_back(tokens_);
}

void TokenFileWriter::commit() {
  if (bytes_ == 0)
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: there is no text to write to it", path_.string()));
  const auto raw = MappedFile::open(raw_.path());
  const auto tokens = at::from_blob(raw->bytes().data(), {tokens_}, at::TensorOptions().dtype(dtype_));
  write_safetensors(path_, {{"tokens", tokens}, {"ends", at::tensor(ends_, at::kLong)}},
                    {{"tokenizer", tokenizer_->name()},
                     {"vocab", fmt::format("{}", tokenizer_->vocab_size())},
                     {"bytes", fmt::format("{}", bytes_)}});
}

TokenFile read_token_file(const std::filesystem::path& path, const Tokenizer& tokenizer) {
  const auto source = open_tensors(path);
  const auto refuse = [&](ErrorCode code, const std::string& why) {
    throw Error(code, fmt::format("{}: {}", path.string(), why));
  };
  const auto *tokens = source.find("tokens"), *ends = source.find("ends");
  const auto made_by = source.metadata.find("tokenizer");
  if (tokens == nullptr || ends == nullptr || made_by == source.metadata.end())
    refuse(ErrorCode::missing_tensor, "is no tokenised text: make one with `wkv tokenize`");
  const int64_t vocab = number_of(source.metadata, "vocab");
  if (made_by->second != tokenizer.name() || vocab != tokenizer.vocab_size())
    refuse(ErrorCode::invalid_argument,
           fmt::format("its tokens are those of {} ({} of them), got the tokenizer {} ({})", printable(made_by->second),
                       vocab, tokenizer.name(), tokenizer.vocab_size()));
  TokenFile file{.tokens = as_tensor(*tokens), .ends = as_tensor(*ends), .bytes = number_of(source.metadata, "bytes")};
  if (file.tokens.dim() != 1 || file.tokens.scalar_type() != token_dtype(vocab) || file.tokens.numel() == 0)
    refuse(ErrorCode::corrupt_file, fmt::format("tokens must be {} [N], not empty", c10::toString(token_dtype(vocab))));
  if (!are_document_ends(file.ends, file.tokens.numel()) || file.bytes < 1)
    refuse(ErrorCode::corrupt_file, "ends must be int64 [D] up to the number of tokens, and bytes at least 1");
  with_tokens(file.tokens, [&](auto span) {
    const auto [low, high] = std::ranges::minmax_element(span);
    if (static_cast<int64_t>(*low) < 0 || static_cast<int64_t>(*high) >= vocab)
      refuse(ErrorCode::corrupt_file,
             fmt::format("has the token {}, which is not in 0..{}",
                         static_cast<int64_t>(*low) < 0 ? static_cast<int64_t>(*low) : static_cast<int64_t>(*high),
                         vocab - 1));
  });
  return file;
}

}  // namespace wkv::zoo
