// open_tensors: a path becomes the file that it means.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "io/container.h"
#include "io/mapped_file.h"
#include "io/sharded.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_entry.h"

namespace wkv::zoo {
namespace {

using Paths = std::vector<std::filesystem::path>;

Paths files_ending_with(const std::filesystem::path& folder, std::initializer_list<std::string_view> suffixes) {
  Paths found;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = file.path().filename().string();
    if (std::ranges::any_of(suffixes, [&](std::string_view suffix) { return name.ends_with(suffix); }))
      found.push_back(file.path());
  }
  if (error)
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: cannot be listed: {}", folder.string(), error.message()));
  std::ranges::sort(found);
  return found;
}

// The checkpoint in a folder: in the first of these ways that there is one.
std::filesystem::path checkpoint_in(const std::filesystem::path& folder) {
  if (const auto file = folder / "model.safetensors"; std::filesystem::exists(file)) return file;
  for (const auto& suffixes : {std::initializer_list<std::string_view>{".safetensors.index.json"},
                               {".index.json"},
                               {".safetensors", ".pth"},
                               {".pt", ".bin"}}) {
    const Paths found = files_ending_with(folder, suffixes);
    if (found.size() == 1) return found[0];
    if (found.empty()) continue;
    std::vector<std::string> names;
    for (const auto& file : found) names.push_back(file.filename().string());
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: holds several checkpoints, name one of them: {}",
                                                         folder.string(), fmt::join(names, ", ")));
  }
  throw Error(ErrorCode::not_found,
              fmt::format("{}: the folder holds no checkpoint (.safetensors, .pth, .index.json)", folder.string()));
}

}  // namespace

const TensorEntry* TensorSource::find(std::string_view name) const {
  const auto found = std::ranges::find(entries, name, &TensorEntry::name);
  return found == entries.end() ? nullptr : &*found;
}

TensorSource open_tensors(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto file = MappedFile::open(std::filesystem::is_directory(path, ignored) ? checkpoint_in(path) : path);
  return is_index(*file) ? read_sharded(file) : read_container(file);
}

}  // namespace wkv::zoo
