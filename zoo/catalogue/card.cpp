#include "catalogue/card.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/json_events.h"
#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxCardDepth = 32;

constexpr std::string_view kLowerCase = "abcdefghijklmnopqrstuvwxyz", kDigits = "0123456789";

bool consists_of(std::string_view text, std::initializer_list<std::string_view> alphabets) {
  return std::ranges::all_of(text, [&](char c) {
    return std::ranges::any_of(alphabets,
                               [&](std::string_view alphabet) { return alphabet.find(c) != std::string_view::npos; });
  });
}

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

// One of the segments that a path's slashes separate; none may lead up, or vanish.
bool is_segment(std::string_view segment) {
  return !segment.empty() && segment != "." && segment != ".." && is_printable_ascii(segment) &&
         segment.find_first_of("\\:*?\"<>|") == std::string_view::npos;
}

// A relative path that stays below where it begins; segments: how many it has, 0 for any number.
bool is_path(std::string_view path, int segments = 0) {
  int count = 0;
  for (size_t begin = 0;; ++count) {
    const size_t end = path.find('/', begin);
    if (!is_segment(path.substr(begin, end - begin))) return false;
    if (end == std::string_view::npos) break;
    begin = end + 1;
  }
  return segments == 0 || count + 1 == segments;
}

bool is_alias(std::string_view text) { return is_path(text, 1); }
bool is_name(std::string_view text) { return is_alias(text) && consists_of(text, {kLowerCase, kDigits, "-._"}); }
bool is_repository(std::string_view text) { return is_path(text, 2); }
bool is_sha256(std::string_view text) { return text.size() == 64 && consists_of(text, {kDigits, "abcdef"}); }
bool is_url(std::string_view text) {
  return (text.starts_with("https://") || text.starts_with("http://")) && is_printable_ascii(text);
}
// What a terminal may be shown.
bool is_text(std::string_view text) {
  return std::ranges::none_of(text, [](unsigned char c) { return (c < ' ' && c != '\n' && c != '\t') || c == 0x7f; });
}

// The keys of one of a card's objects; null is the same as not there.
class Fields {
 public:
  // place: of the object in the card, "" or "files[0]."
  Fields(const ordered_json& object, const std::string& where, std::string place = "")
      : object_(object), where_(where), place_(std::move(place)) {
    if (object.is_object()) return;
    const std::string what = place_.empty() ? "the card" : place_.substr(0, place_.size() - 1);
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {} must be a JSON object", where_, what));
  }

  const ordered_json* find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  std::string text(const std::string& key, std::string_view expected = "text without control characters",
                   bool (*accepts)(std::string_view) = is_text) const {
    const ordered_json* value = find(key);
    if (!value) refuse(key, expected);
    return text_of(key, *value, expected, accepts);
  }
  std::string text_or_empty(const std::string& key) const { return find(key) ? text(key) : ""; }

  std::optional<int64_t> count(const std::string& key) const {
    const ordered_json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number_integer() || value->get<int64_t>() < 0) refuse(key, "a whole number of at least 0", *value);
    return value->get<int64_t>();
  }

  double number(const std::string& key) const {
    const ordered_json* value = find(key);
    if (!value || !value->is_number()) refuse(key, "a number", value ? *value : ordered_json());
    return value->get<double>();
  }

  std::vector<std::string> texts(const std::string& key, std::string_view expected,
                                 bool (*accepts)(std::string_view)) const {
    std::vector<std::string> texts;
    each(key, [&](const ordered_json& item, const std::string& place) {
      texts.push_back(text_of(place, item, expected, accepts));
    });
    return texts;
  }

  // The objects of a list.
  template <typename Visit>
  void objects(const std::string& key, Visit&& visit) const {
    each(key, [&](const ordered_json& item, const std::string& place) {
      visit(Fields(item, where_, place_ + place + "."));
    });
  }

  Fields object(const std::string& key) const { return {*find(key), where_, place_ + key + "."}; }

  [[noreturn]] void refuse(const std::string& key, std::string_view expected, const ordered_json& value = {}) const {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {}{} must be {}, got {}", where_, place_, key, expected,
                                                     value.is_null() ? "nothing" : printable(value.dump())));
  }

 private:
  std::string text_of(const std::string& key, const ordered_json& value, std::string_view expected,
                      bool (*accepts)(std::string_view)) const {
    if (!value.is_string() || !accepts(value.get_ref<const std::string&>())) refuse(key, expected, value);
    return value.get<std::string>();
  }

  template <typename Visit>
  void each(const std::string& key, Visit&& visit) const {
    const ordered_json* list = find(key);
    if (!list) return;
    if (!list->is_array()) refuse(key, "a list", *list);
    for (size_t i = 0; i < list->size(); ++i) visit((*list)[i], fmt::format("{}[{}]", key, i));
  }

  const ordered_json& object_;
  std::string where_, place_;
};

constexpr std::string_view kNameForm = "a name of lower-case letters, digits, '-', '.' and '_'";

RemoteFile read_file(const Fields& fields, const RemoteFile& source) {
  RemoteFile file = source;
  file.path = fields.text("path", "a relative path", [](std::string_view text) { return is_path(text); });
  file.size = fields.count("size");
  if (fields.find("sha256")) file.sha256 = fields.text("sha256", "64 lower-case hexadecimal digits", is_sha256);
  if (fields.find("url")) {
    file.url = fields.text("url", "an address that begins with https:// or http://", is_url);
    if (!file.sha256) fields.refuse("sha256", "there beside a url");
  } else if (file.repository.empty()) {
    fields.refuse("url", "there where the card names no repository");
  }
  return file;
}

// source.embedded; empty: there is none.
std::string embedded_file(const Fields& card) {
  return card.find("source") ? card.object("source").text_or_empty("embedded") : "";
}

std::vector<RemoteFile> read_files(const Fields& card) {
  RemoteFile source;
  if (card.find("source")) {
    const Fields fields = card.object("source");
    if (fields.find("repository")) source.repository = fields.text("repository", "owner/name", is_repository);
    if (fields.find("revision")) {
      source.revision =
          fields.text("revision", "a branch, a tag or a commit", [](std::string_view text) { return is_path(text); });
    }
  }
  std::vector<RemoteFile> files;
  card.objects("files", [&](const Fields& fields) { files.push_back(read_file(fields, source)); });
  if (files.empty() && embedded_file(card).empty()) card.refuse("files", "a list of at least one file");
  return files;
}

Figure read_figure(const Fields& fields) {
  return {.metric = fields.text("metric"),
          .data = fields.text("data"),
          .value = fields.number("value"),
          .unit = fields.text_or_empty("unit"),
          .conditions = fields.text_or_empty("conditions")};
}

}  // namespace

ordered_json parse_card_json(std::string_view text, const std::string& where) {
  walk_json(text, where, kMaxCardDepth, [](JsonPath, const JsonEvent&) {});
  return ordered_json::parse(text);
}

Card read_card(const ordered_json& json, const std::string& where) {
  const Fields fields(json, where);
  Card card;
  card.name = fields.text("name", kNameForm, is_name);
  card.aliases = fields.texts("aliases", "a name without '/', '*', '?' and spaces", is_alias);
  card.description = fields.text("description");
  card.family = fields.text("family");
  card.task = fields.text("task");
  card.container = fields.text("container");
  card.files = read_files(fields);
  card.embedded = embedded_file(fields);
  card.parameters = fields.count("parameters");
  if (const ordered_json* config = fields.find("config")) {
    if (!config->is_object()) fields.refuse("config", "a JSON object", *config);
    if (!config->empty()) card.config = config->dump();
  }
  card.tokenizer = fields.text_or_empty("tokenizer");
  card.preprocessing = fields.text_or_empty("preprocessing");
  card.classes = fields.texts("classes", "text without control characters", is_text);
  card.prompt = fields.text_or_empty("prompt");
  card.licence = fields.text_or_empty("licence");
  fields.objects("figures", [&](const Fields& figure) { card.figures.push_back(read_figure(figure)); });
  card.verified = fields.text("verified");
  fields.text_or_empty("notes");
  card.json = json.dump(2);
  return card;
}

DataCard read_data_card(const ordered_json& json, const std::string& where) {
  const Fields fields(json, where);
  return {.name = fields.text("name", kNameForm, is_name),
          .kind = fields.text("kind"),
          .description = fields.text("description"),
          .licence = fields.text_or_empty("licence"),
          .files = read_files(fields)};
}

}  // namespace wkv::zoo
