#include "text/clip_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "io/printable.h"
#include "text/byte_alphabet.h"
#include "text/code_points.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::size_t kClipMerges = 48894;

class ClipVocabularyParser {
 public:
  explicit ClipVocabularyParser(const std::string& source) : source_(source) {
    add_bytes("");
    vocabulary_.word_end = static_cast<std::int32_t>(vocabulary_.tokens.size());
    add_bytes(kClipWordEnd);
  }

  void add_merge(std::string_view line, std::size_t number) {
    const auto reject = [&](const std::string& problem) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: line {}: {}", source_, number, problem));
    };
    const std::size_t space = std::min(line.find(' '), line.size());
    const auto left = ids_.find(std::string(line.substr(0, space)));
    const auto right = ids_.find(std::string(line.substr(std::min(space + 1, line.size()))));
    if (left == ids_.end() || right == ids_.end()) {
      reject(fmt::format("expected two tokens that are known by then and a space, not \"{}\"", printable(line)));
    }
    const auto result =
        add_token(left->first + right->first, vocabulary_.tokens[static_cast<std::size_t>(left->second)] +
                                                  vocabulary_.tokens[static_cast<std::size_t>(right->second)]);
    if (!result) reject(fmt::format("the token that \"{}\" gives is known already", printable(line)));
    vocabulary_.merges.push_back({left->second, right->second, *result});
  }

  BpeVocabulary finish() {
    if (vocabulary_.merges.size() < kClipMerges) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} merges, CLIP's vocabulary is made from {}", source_,
                                                       vocabulary_.merges.size(), kClipMerges));
    }
    for (const std::string_view name : {kClipStart, kClipEnd}) vocabulary_.tokens.emplace_back(name);
    return std::move(vocabulary_);
  }

 private:
  // Each character of the byte alphabet, in the order of their codes, with this end.
  void add_bytes(std::string_view end) {
    const std::size_t all = vocabulary_.tokens.size() + 256;
    for (char32_t c = 0; vocabulary_.tokens.size() < all; ++c) {
      std::string character;
      append_code_point(character, c);
      const auto byte = bytes_of_alphabet(character);
      if (!byte) continue;
      const auto id = add_token(character + std::string(end), *byte + std::string(end));
      if (end.empty()) vocabulary_.single_bytes[static_cast<unsigned char>((*byte)[0])] = *id;
    }
  }

  // Its id; nothing where it is known.
  std::optional<std::int32_t> add_token(std::string symbols, std::string bytes) {
    const auto id = static_cast<std::int32_t>(vocabulary_.tokens.size());
    if (!ids_.emplace(std::move(symbols), id).second) return std::nullopt;
    vocabulary_.tokens.push_back(std::move(bytes));
    return id;
  }

  const std::string& source_;
  std::unordered_map<std::string, std::int32_t> ids_;  // by what the file has for them
  BpeVocabulary vocabulary_{};
};

}  // namespace

BpeVocabulary parse_clip_vocabulary(std::string_view file, const std::string& source) {
  ClipVocabularyParser parser(source);
  for (std::size_t number = 1; !file.empty() && number <= kClipMerges + 1; ++number) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    std::string_view line = file.substr(0, end);
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (number > 1) parser.add_merge(line, number);
  }
  return parser.finish();
}

}  // namespace wkv::zoo
