#include "wkv/models/memory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>

#include "wkv/error.h"

namespace wkv::models {
namespace {

// The number after a word, in a file of lines "word number"; after none, that at the start of the file.
std::optional<int64_t> number_in(const std::filesystem::path& path, const std::string& word = {}) {
  std::ifstream file(path);
  int64_t number = 0;
  if (word.empty()) return file >> number ? std::optional(number) : std::nullopt;
  for (std::string found; file >> found; std::getline(file, found)) {
    if (found == word && file >> number) return number;
  }
  return std::nullopt;
}

// What a control group (v2) may still take; pages of files can be had back. Nothing: it has no limit of its own.
std::optional<int64_t> left_in_group(const std::filesystem::path& group) {
  const auto limit = number_in(group / "memory.max"), used = number_in(group / "memory.current");
  if (!limit || !used) return std::nullopt;
  return *limit - *used + number_in(group / "memory.stat", "file").value_or(0);
}

}  // namespace

int64_t available_memory() {
  constexpr int64_t kKibibyte = 1024;
  const auto free = number_in("/proc/meminfo", "MemAvailable:");
  int64_t available = free ? *free * kKibibyte : std::numeric_limits<int64_t>::max();
  std::string line;
  for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);) {
    if (!line.starts_with("0::/")) continue;
    const std::filesystem::path root = "/sys/fs/cgroup";
    for (auto group = (root / line.substr(4)).lexically_normal();; group = group.parent_path()) {
      available = std::min(available, left_in_group(group).value_or(available));
      if (group <= root) break;
    }
  }
  return std::max<int64_t>(available, 0);
}

void require_memory(const std::string& what, double bytes, const std::string& advice) {
  constexpr double kGibibyte = 1 << 30;
  constexpr double kNeverTooMuch = 1 << 24;  // not worth a look at the system's files
  if (bytes <= kNeverTooMuch) return;
  const auto available = static_cast<double>(available_memory());
  if (bytes <= available) return;
  throw Error(ErrorCode::invalid_argument, fmt::format("{} take {:.1f} GiB, and {:.1f} GiB of memory are available: {}",
                                                       what, bytes / kGibibyte, available / kGibibyte, advice));
}

void require_memory(const std::string& what, const std::vector<int64_t>& sizes, at::ScalarType dtype,
                    const std::string& advice) {
  double bytes = static_cast<double>(c10::elementSize(dtype));
  for (const int64_t size : sizes) bytes *= static_cast<double>(size);
  require_memory(fmt::format("{} [{}]", what, fmt::join(sizes, ", ")), bytes, advice);
}

}  // namespace wkv::models
