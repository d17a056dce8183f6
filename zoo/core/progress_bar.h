// What every line of progress shows: a bar, and how long it still takes.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

namespace wkv::zoo {

// "[########            ]"; share: 0 to 1
inline std::string progress_bar(double share) {
  constexpr int kWidth = 20;
  const std::string done(static_cast<size_t>(kWidth * std::clamp(share, 0.0, 1.0)), '#');
  return fmt::format("[{:<{}}]", done, kWidth);
}

// "7s", "3m05s", "2h10m"
inline std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

}  // namespace wkv::zoo
