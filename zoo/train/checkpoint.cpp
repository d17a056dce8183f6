#include "train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kCheckpointPrefix = "checkpoint-";
constexpr std::string_view kIncomplete = ".incomplete";

// The steps in a checkpoint folder's name; none for any other name.
std::optional<int64_t> steps_of(const std::filesystem::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kCheckpointPrefix)) return std::nullopt;
  int64_t steps = 0;
  const char* last = name.data() + name.size();
  const auto [end, error] = std::from_chars(name.data() + kCheckpointPrefix.size(), last, steps);
  if (error != std::errc{} || end != last) return std::nullopt;
  return steps;
}

std::vector<std::filesystem::path> entries(const std::filesystem::path& folder) {
  std::error_code missing;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing)) found.push_back(entry.path());
  return found;
}

// Brings a file or folder to the disk.
void sync(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && ::fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!synced)
    throw Error(error == ENOSPC ? ErrorCode::disk_full : ErrorCode::corrupt_file,
                fmt::format("{}: cannot be written to the disk: {}", path.string(),
                            std::error_code(error, std::generic_category()).message()));
}

}  // namespace

std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& output) {
  std::optional<std::filesystem::path> newest;
  for (const auto& path : entries(output))
    if (steps_of(path) && (!newest || *steps_of(path) > *steps_of(*newest))) newest = path;
  return newest;
}

namespace {

void write_whole(const std::filesystem::path& complete,
                 const std::function<void(const std::filesystem::path& folder)>& fill) {
  auto incomplete = complete;
  incomplete += kIncomplete;
  std::filesystem::remove_all(incomplete);
  try {
    std::filesystem::create_directories(incomplete);
    fill(incomplete);
    for (const auto& file : entries(incomplete)) sync(file);
    sync(incomplete);
    std::filesystem::rename(incomplete, complete);
  } catch (...) {  // half a checkpoint only takes room that the next one may need
    std::error_code ignored;
    std::filesystem::remove_all(incomplete, ignored);
    throw;
  }
  sync(complete.parent_path());
}

}  // namespace

std::filesystem::path write_checkpoint(const std::filesystem::path& output, int64_t steps,
                                       const std::function<void(const std::filesystem::path& folder)>& fill) {
  const auto complete = output / fmt::format("{}{}", kCheckpointPrefix, steps);
  // One that is there is of the same steps: the run that wrote it was ended before it removed the older ones.
  if (!std::filesystem::exists(complete)) write_whole(complete, fill);
  for (const auto& path : entries(output)) {
    const std::string name = path.filename().string();
    const bool leftover = name.starts_with(kCheckpointPrefix) && name.ends_with(kIncomplete);
    if (path != complete && (steps_of(path) || leftover)) std::filesystem::remove_all(path);
  }
  return complete;
}

}  // namespace wkv::zoo
