#include "text/tokenizer_json.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "io/json_events.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::size_t kMaxMerges = 1 << 17, kMaxAddedTokens = 1 << 12;
constexpr std::size_t kMaxTokenizerNesting = 16;
constexpr std::string_view kAbsent = "absent", kObject = "an object";

// What a part of the pipeline may be; an object is named by its type.
struct PipelinePart {
  std::string_view path;
  std::vector<std::string_view> allowed;
};

const std::vector<PipelinePart>& pipeline() {
  static const std::vector<PipelinePart> parts = {
      {"truncation", {"null", kAbsent}},
      {"padding", {"null", kAbsent}},
      {"normalizer", {"NFC", "null", kAbsent}},
      {"pre_tokenizer", {"ByteLevel"}},
      {"pre_tokenizer.add_prefix_space", {"false"}},
      {"pre_tokenizer.use_regex", {"true", kAbsent}},
      {"post_processor", {"ByteLevel", "null", kAbsent}},
      {"decoder", {"ByteLevel"}},
      {"model", {"BPE", kObject}},  // older files don't name its type
      {"model.dropout", {"null", kAbsent}},
      {"model.unk_token", {"null", kAbsent}},
      {"model.continuing_subword_prefix", {"null", "\"\"", kAbsent}},
      {"model.end_of_word_suffix", {"null", "\"\"", kAbsent}},
      {"model.byte_fallback", {"false", kAbsent}},
      {"model.ignore_merges", {"false", kAbsent}},
  };
  return parts;
}

std::string name_of_value(const JsonEvent& event) {
  using Kind = JsonEvent::Kind;
  switch (event.kind) {
    case Kind::begin_object:
      return std::string(kObject);
    case Kind::begin_array:
      return "a list";
    case Kind::text:
      return event.text.empty() ? "\"\"" : printable(event.text);
    case Kind::integer:
      return std::to_string(event.integer);
    case Kind::boolean:
      return event.integer != 0 ? "true" : "false";
    case Kind::null:
      return "null";
    default:
      return "a number";
  }
}

class TokenizerJson {
  using Kind = JsonEvent::Kind;

 public:
  explicit TokenizerJson(const std::string& source)
      : source_(source), parts_(pipeline().size(), std::string(kAbsent)) {}

  void operator()(JsonPath at, const JsonEvent& event) {
    if (event.kind == Kind::end) return;
    if (at.empty()) return expect(event.kind == Kind::begin_object, "the file", kObject);
    if (at[0] == "added_tokens") return added_token_event(at.subspan(1), event);
    if (at[0] == "model" && at.size() > 1 && at[1] == "vocab") return vocab_event(at.subspan(2), event);
    if (at[0] == "model" && at.size() > 1 && at[1] == "merges") return merge_event(at.subspan(2), event);
    if (at.size() == 1) part_event(at[0], event);
    if (at.size() == 2) part_event(at[1] == "type" ? at[0] : at[0] + "." + at[1], event);
  }

  BpeFile file() {
    for (std::size_t i = 0; i < parts_.size(); ++i) require_part(i);
    for (std::size_t i = 0; i < added_.size(); ++i) file_.added.push_back(checked(added_[i], i));
    return std::move(file_);
  }

 private:
  struct AddedTokenFields {
    std::optional<std::string> content;
    std::optional<int64_t> id;
    std::optional<bool> normalized, single_word, lstrip, rstrip;
  };

  void expect(bool is_so, std::string_view what, std::string_view expected) const {
    if (is_so) return;
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} must be {}", source_, printable(what), expected));
  }

  void require_room(std::size_t entries, std::size_t most, std::string_view list) const {
    if (entries == most) expect(false, list, fmt::format("a list of at most {} entries", most));
  }

  void part_event(std::string_view path, const JsonEvent& event) {
    const auto part = std::ranges::find(pipeline(), path, &PipelinePart::path);
    if (part == pipeline().end()) return;
    const auto i = static_cast<std::size_t>(part - pipeline().begin());
    parts_[i] = name_of_value(event);
    if (path == "normalizer") file_.nfc = parts_[i] == "NFC";
    if (event.kind != Kind::begin_object) require_part(i);  // an object's type is still to come
  }

  void require_part(std::size_t i) const {
    const auto& [path, allowed] = pipeline()[i];
    if (std::ranges::find(allowed, parts_[i]) != allowed.end()) return;
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: no tokenizer of GPT-NeoX 20B or GPT-2: {} must be {}, got {}", source_, path,
                            fmt::join(allowed, " or "), parts_[i]));
  }

  void vocab_event(JsonPath at, const JsonEvent& event) {
    if (at.empty()) return expect(event.kind == Kind::begin_object, "model.vocab", kObject);
    expect(event.kind == Kind::integer, "each id of model.vocab", "an integer");
    file_.tokens.emplace_back(at[0], event.integer);
  }

  // "left right" or, in newer files, ["left", "right"].
  void merge_event(JsonPath at, const JsonEvent& event) {
    if (at.empty()) return expect(event.kind == Kind::begin_array, "model.merges", "a list");
    std::vector<std::string>& merges = file_.merges;
    if (at.size() == 1) {
      require_room(merges.size(), kMaxMerges, "model.merges");
      merges.emplace_back(event.text);
      if (event.kind == Kind::begin_array) return;
    } else {
      merges.back() += (merges.back().empty() ? "" : " ") + std::string(event.text);
    }
    expect(event.kind == Kind::text, "each entry of model.merges", "a text or a list of two");
  }

  void added_token_event(JsonPath at, const JsonEvent& event) {
    if (at.empty()) return expect(event.kind == Kind::begin_array, "added_tokens", "a list");
    if (at.size() == 1) {
      expect(event.kind == Kind::begin_object, "each entry of added_tokens", kObject);
      require_room(added_.size(), kMaxAddedTokens, "added_tokens");
      added_.emplace_back();
      return;
    }
    AddedTokenFields& token = added_.back();
    const std::string& field = at[1];
    if (field == "content") {
      expect(event.kind == Kind::text, "the content of an added token", "a text");
      token.content = event.text;
    } else if (field == "id") {
      expect(event.kind == Kind::integer, "the id of an added token", "an integer");
      token.id = event.integer;
    }
    for (const auto& [name, flag] : {std::pair("normalized", &token.normalized),
                                     {"single_word", &token.single_word},
                                     {"lstrip", &token.lstrip},
                                     {"rstrip", &token.rstrip}}) {
      if (field != name) continue;
      expect(event.kind == Kind::boolean, fmt::format("{} of an added token", name), "true or false");
      *flag = event.integer != 0;
    }
  }

  AddedToken checked(const AddedTokenFields& token, std::size_t index) const {
    const std::string what = fmt::format("added token {}", index);
    expect(token.content && token.id && token.normalized, what, "an object with content, id and normalized");
    if (token.single_word.value_or(false) || token.lstrip.value_or(false) || token.rstrip.value_or(false)) {
      throw Error(
          ErrorCode::unsupported_format,
          fmt::format("{}: {} has single_word, lstrip or rstrip, which this version does not have", source_, what));
    }
    return {*token.content, *token.id, *token.normalized};
  }

  const std::string& source_;
  std::vector<std::string> parts_;  // of the pipeline, in its order
  std::vector<AddedTokenFields> added_;
  BpeFile file_;
};

}  // namespace

BpeVocabulary parse_tokenizer_json(std::string_view file, const std::string& source) {
  TokenizerJson json(source);
  walk_json(file, source, kMaxTokenizerNesting, std::ref(json));
  return check_bpe_file(json.file(), source);
}

}  // namespace wkv::zoo
