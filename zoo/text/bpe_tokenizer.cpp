#include "text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <deque>

#include "text/nfc.h"
#include "text/split_words.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

std::vector<std::string> texts_of_stage(const std::vector<AddedToken>& added, bool normalized) {
  std::vector<std::string> texts;
  for (const AddedToken& token : added) {
    if (token.normalized == normalized) texts.push_back(token.text);
  }
  return texts;
}

}  // namespace

BpeTokenizer::AddedTokens::AddedTokens(const std::vector<AddedToken>& added, bool normalized)
    : texts(texts_of_stage(added, normalized)) {
  for (const AddedToken& token : added) {
    if (token.normalized == normalized) ids.push_back(token.id);
  }
}

template <typename piece_t>
void BpeTokenizer::AddedTokens::cut_out(std::string_view text, BpeEncoding& encoding, const piece_t& piece) const {
  std::size_t begin = 0, end = 0;  // of the piece under way
  while (end < text.size()) {
    const auto [length, index] = texts.longest_prefix(text.substr(end));
    if (length == 0) {
      ++end;
      continue;
    }
    if (begin < end) piece(text.substr(begin, end - begin));
    encoding.append_token(ids[static_cast<std::size_t>(index)]);
    begin = end += length;
  }
  if (begin < end) piece(text.substr(begin));
}

BpeTokenizer::BpeTokenizer(BpeVocabulary vocabulary)
    : nfc_(vocabulary.nfc), merges_(vocabulary), raw_(vocabulary.added, false), normalized_(vocabulary.added, true) {
  for (const AddedToken& added : vocabulary.added) {
    if (added.text == kEndOfText) end_of_text_ = added.id;
  }
  tokens_ = std::move(vocabulary.tokens);
}

std::vector<int64_t> BpeTokenizer::encode(std::string_view bytes) const {
  const std::string replaced = is_valid_utf8(bytes) ? "" : to_valid_utf8(bytes);
  const std::string_view text = replaced.empty() ? bytes : replaced;
  std::deque<std::string> normal_forms;  // outlive the encoding, which remembers words of them
  BpeEncoding encoding(merges_);
  const auto append_words = [&](std::string_view piece) {
    while (!piece.empty()) {
      const std::size_t length = first_word(piece);
      encoding.append_word(piece.substr(0, length));
      piece.remove_prefix(length);
    }
  };
  raw_.cut_out(text, encoding, [&](std::string_view piece) {
    if (nfc_) piece = normal_forms.emplace_back(nfc(piece));
    normalized_.cut_out(piece, encoding, append_words);
  });
  return encoding.take();
}

std::string BpeTokenizer::decode(const std::vector<int64_t>& tokens) const {
  std::string bytes;
  for (const int64_t token : tokens) {
    if (token < 0 || token >= vocab_size()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} tokenizer: token {} is not in 0..{}", name(), token, vocab_size() - 1));
    }
    if (token != end_of_text_) bytes += tokens_[static_cast<std::size_t>(token)];
  }
  return bytes;
}

}  // namespace wkv::zoo
