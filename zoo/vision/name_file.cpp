#include "vision/name_file.h"

#include <fmt/format.h>

#include <map>

#include "io/json_value.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "wkv/error.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

// The published sets take less than 1 MB; the bound keeps a wrong file from filling the memory.
constexpr size_t kMaxNameFileBytes = 64 << 20;

std::string read_name_file(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (file->bytes().size() > kMaxNameFileBytes) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: too large for a list of names ({} bytes)", path.string(), file->bytes().size()));
  }
  std::string text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (!is_valid_utf8(text) || text.find('\0') != std::string::npos)
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: not a text in UTF-8", path.string()));
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // the byte order mark of some editors
  return text;
}

bool is_json(const std::filesystem::path& path) { return path.extension() == ".json"; }

std::string parse_name(const nlohmann::json& value, const std::string& where) {
  if (!value.is_string()) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: expected a name, got {}", where, printable(value.dump())));
  }
  std::string name(trimmed(value.get_ref<const std::string&>()));
  if (name.empty()) throw Error(ErrorCode::corrupt_file, fmt::format("{}: an empty name", where));
  return name;
}

// {"index": 0, "name": "tench, Tinca tinca"}, ..., in any order: every class once.
std::vector<ClassNames> parse_numbered(const nlohmann::json& list, const std::string& where) {
  std::vector<ClassNames> classes(list.size());
  for (const auto& item : list) {
    if (!item.is_object() || !item.contains("name") || !item.contains("index") || !item["index"].is_number_unsigned() ||
        item["index"].get<uint64_t>() >= classes.size()) {
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: expected {{\"index\" below {}, \"name\"}}, got {}", where,
                                                       classes.size(), printable(item.dump())));
    }
    const auto index = item["index"].get<size_t>();
    if (!classes[index].empty())
      throw Error(ErrorCode::corrupt_file, fmt::format("{}: class {} is there twice", where, index));
    classes[index] = {parse_name(item["name"], where)};
  }
  return classes;
}

const nlohmann::json& require_list(const nlohmann::json& value, const std::string& where) {
  if (!value.is_array())
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: expected a list, got {}", where, value.type_name()));
  if (value.empty()) throw Error(ErrorCode::corrupt_file, fmt::format("{}: an empty list", where));
  return value;
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r";
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(kSpaces) + 1 - first);
}

nlohmann::json read_json(const std::filesystem::path& path) { return parse_json(read_name_file(path), path.string()); }

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string text = read_name_file(path);
  std::vector<std::string> lines;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(start, end - start));
    if (!line.empty()) lines.emplace_back(line);
    start = end + 1;
  }
  if (lines.empty()) throw Error(ErrorCode::corrupt_file, fmt::format("{}: there is nothing in it", path.string()));
  return lines;
}

std::vector<ClassNames> parse_classes(const nlohmann::json& list, const std::string& where) {
  if (require_list(list, where).front().is_object()) return parse_numbered(list, where);
  std::vector<ClassNames> classes;
  for (const auto& item : list) {
    classes.push_back(item.is_array() ? parse_texts(item, where) : ClassNames{parse_name(item, where)});
  }
  return classes;
}

std::vector<std::string> parse_texts(const nlohmann::json& list, const std::string& where) {
  std::vector<std::string> texts;
  for (const auto& item : require_list(list, where)) texts.push_back(parse_name(item, where));
  return texts;
}

void refuse_duplicates(const std::vector<ClassNames>& classes, const std::string& where) {
  std::map<std::string_view, size_t> seen;
  for (size_t index = 0; index < classes.size(); ++index) {
    for (const std::string& name : classes[index]) {
      const auto [first, is_new] = seen.emplace(name, index);
      if (!is_new) {
        throw Error(ErrorCode::invalid_argument, fmt::format("{}: \"{}\" is there twice, as class {} and as class {}",
                                                             where, printable(name), first->second, index));
      }
    }
  }
}

std::vector<ClassNames> read_classes(const std::filesystem::path& path) {
  std::vector<ClassNames> classes;
  if (is_json(path)) {
    const nlohmann::json list = read_json(path);
    classes = parse_classes(list, path.string());
    if (list.front().is_object()) return classes;  // told apart by their indices: WordNet has two synsets "crane"
  } else {
    for (std::string& line : read_lines(path)) classes.push_back({std::move(line)});
  }
  refuse_duplicates(classes, path.string());
  return classes;
}

std::vector<std::string> read_texts(const std::filesystem::path& path) {
  return is_json(path) ? parse_texts(read_json(path), path.string()) : read_lines(path);
}

}  // namespace wkv::zoo
