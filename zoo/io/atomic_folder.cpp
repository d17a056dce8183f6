#include "io/atomic_folder.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

const std::filesystem::path& require_no_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto refuse = [&](const char* what) {
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: {}: name a new folder", path.string(), what));
  };
  if (std::filesystem::exists(path, ignored)) {
    if (!std::filesystem::is_directory(path, ignored)) refuse("is a file, expected a folder");
    if (!std::filesystem::is_empty(path, ignored)) refuse("the folder is there already and not empty");
  }
  return path;
}

}  // namespace

AtomicFolder::AtomicFolder(const std::filesystem::path& path)
    : temporary_(require_no_folder(path), TemporarySibling::Kind::folder) {}

}  // namespace wkv::zoo
