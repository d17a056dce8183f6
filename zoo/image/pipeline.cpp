#include "image/pipeline.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr int64_t kLargestSize = 4096;

std::array<double, 3> of_bytes(std::array<double, 3> fractions) {
  for (double& x : fractions) x *= 255;
  return fractions;
}

// The number after `prefix`.
std::optional<int64_t> size_after(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  int64_t size = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), size);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && size >= 1 && size <= kLargestSize ? std::optional(size) : std::nullopt;
}

}  // namespace

Pipeline parse_pipeline(const std::string& name) {
  if (name == "mm224") return {DecodeRules::opencv, 256, 224, {123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}};
  if (const auto size = size_after("vl", name)) {
    return {DecodeRules::pillow, *size, *size, of_bytes({0.485, 0.456, 0.406}), of_bytes({0.229, 0.224, 0.225})};
  }
  if (const auto size = size_after("clip", name)) {
    return {DecodeRules::pillow, *size, *size, of_bytes({0.48145466, 0.4578275, 0.40821073}),
            of_bytes({0.26862954, 0.26130258, 0.27577711})};
  }
  throw Error(ErrorCode::invalid_argument,
              fmt::format("pipeline: expected mm224, vl384 or clip224 (vl and clip with any size up to {}), got {}",
                          kLargestSize, name));
}

}  // namespace wkv::zoo
