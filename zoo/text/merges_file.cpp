#include "text/merges_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/json_events.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

std::vector<std::string> merge_lines(const NamedFile& file) {
  if (!is_valid_utf8(file.content)) throw Error(ErrorCode::corrupt_file, fmt::format("{}: not UTF-8", file.name));
  std::vector<std::string> merges;
  std::string_view rest = file.content;
  for (bool first = true; !rest.empty(); first = false) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!(first && line.starts_with("#version"))) merges.emplace_back(line);
  }
  return merges;
}

std::vector<std::pair<std::string, int64_t>> vocabulary_ids(const NamedFile& file) {
  std::vector<std::pair<std::string, int64_t>> tokens;
  walk_json(file.content, file.name, 2, [&](JsonPath at, const JsonEvent& event) {
    if (at.empty() && (event.kind == JsonEvent::Kind::begin_object || event.kind == JsonEvent::Kind::end)) return;
    if (at.size() != 1 || event.kind != JsonEvent::Kind::integer) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: must be an object of ids by token", file.name));
    }
    tokens.emplace_back(at[0], event.integer);
  });
  return tokens;
}

}  // namespace

BpeVocabulary parse_merges_file(const NamedFile& merges, const NamedFile& vocabulary) {
  BpeFile file{.tokens = vocabulary_ids(vocabulary), .merges = merge_lines(merges), .added = {}};
  for (const auto& [token, id] : file.tokens) {
    if (token == kEndOfText) file.added.push_back({token, id, false});
  }
  return check_bpe_file(file, fmt::format("{} with {}", merges.name, vocabulary.name));
}

}  // namespace wkv::zoo
