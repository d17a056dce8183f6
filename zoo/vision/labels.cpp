// Labels and templates: from a list, a file or the name of a set to names.
#include "wkv/zoo/labels.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "catalogue/fetch_all.h"
#include "io/data_folders.h"
#include "io/printable.h"
#include "vision/name_file.h"
#include "wkv/error.h"
#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultTemplate = "a photo of a {}.";
constexpr const char* kLabelSets = "label.json";
constexpr const char* kTemplateSets = "template.json";
constexpr const char* kPublishedSets = "zero-shot";  // the catalogue's card of both

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::vector<fs::path> label_folders() { return data_folders("WKV_LABELS", "labels"); }

std::string label_folder_names() {
  std::vector<std::string> names;
  for (const fs::path& folder : label_folders()) names.push_back(folder.string());
  return names.empty() ? "$WKV_LABELS (not set)" : fmt::format("{}", fmt::join(names, " or "));
}

// The first of the folders' files of that name.
std::optional<fs::path> find_in_folders(const std::string& file) {
  for (const fs::path& folder : label_folders()) {
    if (is_file(folder / file)) return folder / file;
  }
  return std::nullopt;
}

// The same of the published sets, as the catalogue has them.
std::optional<fs::path> find_in_catalogue(const std::string& file) {
  for (fs::path& path : fetch_data("labels", kPublishedSets)) {
    if (path.filename() == file) return std::move(path);
  }
  return std::nullopt;
}

using FindFile = std::optional<fs::path> (*)(const std::string& file);

// An entry of label.json or template.json; none: no such file or entry. `where` becomes what messages begin with.
std::optional<nlohmann::json> find_entry(FindFile find, const char* file, const std::string& set, std::string& where) {
  const auto path = find(file);
  if (!path) return std::nullopt;
  const nlohmann::json sets = read_json(*path);
  where = fmt::format("{}: {}", path->string(), printable(set));
  if (!sets.is_object() || !sets.contains(set)) return std::nullopt;
  return sets[set];
}

// NAME.json or NAME.txt.
std::optional<fs::path> find_set_file(const std::string& set) {
  for (const char* suffix : {".json", ".txt"}) {
    if (auto path = find_in_folders(set + suffix)) return path;
  }
  return std::nullopt;
}

std::optional<std::vector<ClassNames>> find_label_entry(FindFile find, const std::string& set) {
  std::string where;
  const auto entry = find_entry(find, kLabelSets, set, where);
  if (!entry) return std::nullopt;
  std::vector<ClassNames> classes = parse_classes(*entry, where);
  for (ClassNames& names : classes) {
    for (std::string& name : names) std::ranges::replace(name, '_', ' ');  // imagenet_r: great_white_shark
  }
  return classes;
}

bool may_be_set(const std::string& set) { return !set.empty() && set.find('/') == std::string::npos; }

std::optional<std::vector<ClassNames>> find_label_set_in_folders(const std::string& set) {
  if (!may_be_set(set)) return std::nullopt;
  if (const auto path = find_set_file(set)) return read_classes(*path);
  return find_label_entry(find_in_folders, set);
}

std::optional<std::vector<ClassNames>> find_label_set_in_catalogue(const std::string& set) {
  if (!may_be_set(set)) return std::nullopt;
  if (const auto files = fetch_data("labels", set); !files.empty()) return read_classes(files.front());
  return find_label_entry(find_in_catalogue, set);
}

std::optional<std::vector<std::string>> find_template_entry(FindFile find, const std::string& set) {
  std::string where;
  auto entry = find_entry(find, kTemplateSets, set, where);
  if ((!entry || entry->empty()) && set.starts_with("imagenet"))
    entry = find_entry(find, kTemplateSets, "imagenet", where);
  if (!entry) return std::nullopt;
  return parse_texts(*entry, where);
}

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> names;
  for (size_t start = 0; start <= list.size();) {
    const size_t end = std::min(list.find(',', start), list.size());
    names.emplace_back(trimmed(list.substr(start, end - start)));
    start = end + 1;
  }
  return names;
}

void require_places(const std::vector<std::string>& templates, const std::string& where) {
  for (const std::string& text : templates) {
    if (text.find("{}") == std::string::npos) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the template \"{}\" has no {{}} where the name belongs", where, printable(text)));
    }
  }
}

}  // namespace

std::vector<ClassNames> load_labels(const std::string& labels) {
  if (is_file(labels)) return read_classes(labels);
  if (labels.find(',') != std::string::npos) {
    std::vector<ClassNames> classes;
    for (std::string& name : split_list(labels)) {
      if (name.empty()) {
        throw Error(ErrorCode::invalid_argument, fmt::format("labels \"{}\": an empty name", printable(labels)));
      }
      classes.push_back({std::move(name)});
    }
    refuse_duplicates(classes, "labels");
    return classes;
  }
  if (auto classes = find_label_set_in_folders(labels)) return *std::move(classes);
  const std::string unknown = fmt::format("labels \"{}\": neither a file, nor a list (a,b,c), nor a set in {}",
                                          printable(labels), label_folder_names());
  try {
    if (auto classes = find_label_set_in_catalogue(labels)) return *std::move(classes);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}; {}", unknown, error.what()));
  }
  throw Error(ErrorCode::not_found, unknown);
}

std::vector<std::string> load_templates(const std::string& templates) {
  if (is_file(templates)) {
    auto texts = read_texts(templates);
    require_places(texts, templates);
    return texts;
  }
  if (templates.find("{}") != std::string::npos) return {templates};
  const std::string unknown =
      fmt::format("templates \"{}\": neither a file, nor a text with {{}} in it, nor a set of {} in {}",
                  printable(templates), kTemplateSets, label_folder_names());
  auto texts = find_template_entry(find_in_folders, templates);
  try {
    if (!texts) texts = find_template_entry(find_in_catalogue, templates);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}; {}", unknown, error.what()));
  }
  if (!texts) throw Error(ErrorCode::not_found, unknown);
  require_places(*texts, templates);
  return *std::move(texts);
}

std::vector<std::string> templates_of_labels(const std::string& labels) {
  if (is_file(labels) || labels.find(',') != std::string::npos) return {kDefaultTemplate};
  if (!find_set_file(labels) && !find_data("labels", labels)) return load_templates(labels);  // published with it
  return find_template_entry(find_in_folders, labels).value_or(std::vector<std::string>{kDefaultTemplate});
}

std::vector<ClassNames> imagenet_labels() {
  if (auto classes = find_label_set_in_folders("imagenet1k")) return *std::move(classes);
  return load_labels("imagenet");
}

std::string fill_template(std::string_view text, std::string_view name) {
  constexpr std::string_view kPlace = "{}";
  std::string filled;
  for (size_t place = text.find(kPlace); place != std::string_view::npos; place = text.find(kPlace)) {
    filled.append(text.substr(0, place)).append(name);
    text.remove_prefix(place + kPlace.size());
  }
  return filled.append(text);
}

}  // namespace wkv::zoo
