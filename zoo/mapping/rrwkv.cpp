// Checkpoints of RRWKV-style models: RWKV-4's names, those of the mediums, and the interval in one of three places.
#include "wkv/models/rrwkv.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "mapping/family.h"
#include "mapping/rwkv4.h"
#include "wkv/error.h"
#include "wkv/zoo/tensor_source.h"

namespace wkv::zoo {
namespace {

bool is_rrwkv(const Checkpoint& file) {
  return file.has("blocks.0.att.time_first") && file.has("blocks.0.att.medium_decay") && !file.has("convert3.weight");
}

constexpr const char* kIntervalMetadata = models::RRWKVImpl::kIntervalMetadata;
constexpr const char* kIntervalTensor = "rrwkv_interval";  // int64 without dimensions, for containers without metadata
constexpr int64_t kLargestInterval = int64_t{1} << 40;

std::optional<int64_t> configured_interval(Config& config) {
  const double value = config.number("interval", -1);
  if (value == -1) return std::nullopt;
  if (!(value >= 0 && value <= static_cast<double>(kLargestInterval)) || value != std::floor(value)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("interval must be an integer from 0 to {}, got {}", kLargestInterval, value));
  }
  return static_cast<int64_t>(value);
}

std::optional<int64_t> interval_in_metadata(const Checkpoint& file) {
  const auto found = file.metadata().find(kIntervalMetadata);
  if (found == file.metadata().end()) return std::nullopt;
  const std::string& text = found->second;
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > kLargestInterval) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: the metadata's {} is no interval", file.path(), found->first));
  }
  return value;
}

std::optional<int64_t> interval_in_tensor(const Checkpoint& file) {
  const auto found = file.tensors().find(kIntervalTensor);
  if (found == file.tensors().end()) return std::nullopt;
  const TensorEntry& entry = *found->second;
  const bool integer = entry.shape.empty() && entry.dtype == at::kLong;
  const int64_t value = integer ? as_tensor(entry).item<int64_t>() : -1;
  if (value < 0 || value > kLargestInterval) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {} must be one int64 from 0 to {}", file.path(), kIntervalTensor, kLargestInterval));
  }
  return value;
}

int64_t interval_of(const Checkpoint& file, Config& config) {
  std::optional<int64_t> interval;
  std::string source;
  const auto hear = [&](const std::optional<int64_t>& said, const std::string& where) {
    if (said && interval && *said != *interval) {
      throw Error(ErrorCode::shape_mismatch,
                  fmt::format("{}: interval is {} in {}, but {} in {}", file.path(), *interval, source, *said, where));
    }
    if (!said) return;
    interval = said;
    source = where;
  };
  hear(configured_interval(config), "the configuration");
  hear(interval_in_metadata(file), "the file's metadata");
  hear(interval_in_tensor(file), std::string("the file's tensor ") + kIntervalTensor);
  if (!interval) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: an RRWKV-style model whose file doesn't say its interval ({} in the metadata, or a "
                            "tensor {}): give the one it was trained with as configuration, {{\"interval\": 16}}",
                            file.path(), kIntervalMetadata, kIntervalTensor));
  }
  return *interval;
}

void expect_reduction(Config& config, int64_t width, int64_t excite_width) {
  const double reduction = config.number("reduction", 0);
  if (reduction == 0) return;
  const double expected = std::max(std::floor(static_cast<double>(width) / reduction), 1.0);
  if (expected != static_cast<double>(excite_width)) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("reduction is {}, but the tensors say {} / {}", reduction, width, excite_width));
  }
}

std::shared_ptr<models::Model> build_rrwkv(const Checkpoint& file, Config& config) {
  models::RRWKVOptions o;
  o.base = rwkv4_options(file, config);
  if (o.base.pre_ffn || o.base.attention_width != o.base.width) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: mediums with ffnPre or with an attention of another width than the model's", file.path()));
  }
  o.excite_width = file.shape("blocks.0.att.excite_down.weight", 2)[0];
  o.interval = interval_of(file, config);
  config.expect("excite_width", o.excite_width);
  expect_reduction(config, o.base.width, o.excite_width);
  return std::make_shared<models::RRWKVImpl>(o, /*initialise=*/false);
}

std::string rrwkv_name(const std::string& name) { return name == kIntervalTensor ? "" : name; }

}  // namespace

const Family rrwkv_family = {"rrwkv", is_rrwkv, build_rrwkv, rrwkv_name};

}  // namespace wkv::zoo
