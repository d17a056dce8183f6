#include "text/clip_tokenizer.h"

#include <fmt/format.h>

#include "text/clip_text.h"
#include "text/clip_vocabulary.h"
#include "text/clip_words.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {

ClipTokenizer::ClipTokenizer(BpeVocabulary vocabulary) : merges_(vocabulary) { tokens_ = std::move(vocabulary.tokens); }

std::vector<int64_t> ClipTokenizer::encode(std::string_view bytes) const {
  const std::string text = clean_clip_text(to_valid_utf8(bytes));
  BpeEncoding encoding(merges_);
  std::string_view rest = text;
  for (std::string_view word = take_clip_word(rest); !word.empty(); word = take_clip_word(rest)) {
    if (word == kClipStart) {
      encoding.append_token(start_of_text());
    } else if (word == kClipEnd) {
      encoding.append_token(*end_of_text());
    } else {
      encoding.append_word(word);
    }
  }
  return encoding.take();
}

std::vector<int64_t> ClipTokenizer::encode_row(std::string_view text, int64_t context_length) const {
  constexpr int64_t kLongest = 1 << 20;
  if (context_length < 2 || context_length > kLongest) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("clip tokenizer: context_length must be in 2..{}, got {}", kLongest, context_length));
  }
  const auto length = static_cast<std::size_t>(context_length);
  std::vector<int64_t> row = encode(text);
  row.insert(row.begin(), start_of_text());
  if (row.size() > length - 1) row.resize(length - 1);
  row.push_back(*end_of_text());
  row.resize(length);
  return row;
}

std::string ClipTokenizer::decode(const std::vector<int64_t>& tokens) const {
  std::string bytes;
  for (const int64_t token : tokens) {
    if (token < 0 || token >= vocab_size()) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("clip tokenizer: token {} is not in 0..{}", token, vocab_size() - 1));
    }
    bytes += tokens_[static_cast<std::size_t>(token)];
  }
  const std::string text = to_valid_utf8(bytes);
  std::string result;
  for (std::string_view rest = text;;) {
    const std::size_t word_end = rest.find(kClipWordEnd);
    result += rest.substr(0, word_end);
    if (word_end == std::string_view::npos) return result;
    result += ' ';
    rest.remove_prefix(word_end + kClipWordEnd.size());
  }
}

}  // namespace wkv::zoo
