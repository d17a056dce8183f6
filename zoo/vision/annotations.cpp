#include "vision/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "core/ascii.h"
#include "io/printable.h"
#include "vision/name_file.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

// As names of folders and names of classes are compared.
std::string comparable(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return ascii_lower_case(std::move(name));
}

std::vector<std::filesystem::path> subfolders_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_directory()) found.push_back(entry.path());
  }
  if (error) throw Error(ErrorCode::not_found, fmt::format("{}: {}", folder.string(), error.message()));
  std::ranges::sort(found);
  return found;
}

// The class of each folder by its name; none: one of them is called like no class.
std::optional<std::vector<int64_t>> classes_by_name(const std::vector<std::filesystem::path>& folders,
                                                    const std::vector<ClassNames>& labels) {
  std::map<std::string, int64_t> class_of;
  for (size_t label = 0; label < labels.size(); ++label) {
    for (const std::string& name : labels[label]) class_of.emplace(comparable(name), static_cast<int64_t>(label));
  }
  std::vector<int64_t> classes;
  for (const auto& folder : folders) {
    const auto found = class_of.find(comparable(folder.filename().string()));
    if (found == class_of.end()) return std::nullopt;
    classes.push_back(found->second);
  }
  return classes;
}

}  // namespace

bool has_image_suffix(const std::filesystem::path& path) {
  const std::string suffix = ascii_lower_case(path.extension().string());
  return suffix == ".jpg" || suffix == ".jpeg" || suffix == ".png";
}

std::vector<std::string> images_in(const std::filesystem::path& folder) {
  std::vector<std::string> found;
  try {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (has_image_suffix(entry.path()) && !entry.is_directory()) found.push_back(entry.path().string());
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw Error(ErrorCode::not_found, fmt::format("{}: {}", folder.string(), error.code().message()));
  }
  if (found.empty())
    throw Error(ErrorCode::not_found, fmt::format("{}: no JPEG or PNG file in this folder", folder.string()));
  std::ranges::sort(found);
  return found;
}

std::vector<LabelledImage> read_labelled_list(const std::filesystem::path& path, int64_t classes) {
  std::vector<LabelledImage> images;
  for (const std::string& line : read_lines(path)) {
    const size_t tab = line.rfind('\t');
    int64_t label = -1;
    if (tab != std::string::npos) {
      const auto [end, error] = std::from_chars(line.data() + tab + 1, line.data() + line.size(), label);
      if (error != std::errc() || end != line.data() + line.size()) label = -1;
    }
    if (label < 0 || label >= classes) {
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}: expected a path, a tab and a class from 0 to {}, got \"{}\"", path.string(),
                              classes - 1, printable(line)));
    }
    images.push_back({(path.parent_path() / trimmed(std::string_view(line).substr(0, tab))).string(), label});
  }
  return images;
}

LabelledFolder read_labelled_folder(const std::filesystem::path& folder, const std::vector<ClassNames>& labels) {
  const auto subfolders = subfolders_of(folder);
  auto classes = classes_by_name(subfolders, labels);
  LabelledFolder result{.images = {}, .by_name = classes.has_value()};
  if (subfolders.empty() || (!classes && subfolders.size() != labels.size())) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: expected one subfolder for each of {} classes, or subfolders called like classes, got "
                            "{} subfolders",
                            folder.string(), labels.size(), subfolders.size()));
  }
  for (size_t i = 0; i < subfolders.size(); ++i) {
    const int64_t label = classes ? (*classes)[i] : static_cast<int64_t>(i);
    for (std::string& path : images_in(subfolders[i])) result.images.push_back({std::move(path), label});
  }
  return result;
}

std::vector<CaptionedImage> read_captions(const std::filesystem::path& annotations,
                                          const std::filesystem::path& folder) {
  const std::string where = annotations.string();
  const nlohmann::json list = read_json(annotations);
  if (!list.is_array() || list.empty())
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: expected a list of images", where));
  std::vector<CaptionedImage> images;
  for (const auto& item : list) {
    if (!item.is_object() || !item.contains("image") || !item["image"].is_string() || !item.contains("caption")) {
      throw Error(ErrorCode::corrupt_file,
                  fmt::format("{}: expected {{\"image\", \"caption\"}}, got {}", where, printable(item.dump())));
    }
    const nlohmann::json captions = item["caption"].is_array() ? item["caption"] : nlohmann::json{item["caption"]};
    const auto name = item["image"].get<std::string>();
    images.push_back({(folder / name).string(),
                      parse_texts(captions, fmt::format("{}: the captions of {}", where, printable(name)))});
  }
  return images;
}

}  // namespace wkv::zoo
