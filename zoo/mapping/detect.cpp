// Which family a checkpoint belongs to.
#include "mapping/detect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "wkv/error.h"

namespace wkv::zoo {

namespace {

std::set<std::string> family_names() {
  std::set<std::string> names;
  for (const Family& family : families()) names.insert(family.name);
  return names;
}

}  // namespace

std::span<const Family> families() {
  static const Family all[] = {rwkv7_family,         rwkv7_digits_family,   rwkv6_family,
                               rwkv5_family,         rwkv4_family,          multi_temporal_rwkv_family,
                               rrwkv_family,         based_family,          transformer_family,
                               vrwkv_family,         vrwkv6_family,         vrwkv_segmenter_family,
                               vrwkv_adapter_family, vrwkv6_adapter_family, rwkv_clip_family};
  return all;
}

const Family& detect_family(const Checkpoint& checkpoint, const std::string& forced) {
  if (checkpoint.has("_strategy") || checkpoint.has("_version") || checkpoint.has("_rescale_layer")) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format(
            "{}: converted by the Python package `rwkv` (its matrices are transposed, its embedding normalised): "
            "load the original .pth instead",
            checkpoint.path()));
  }
  if (checkpoint.has("blocks.0.att.time_state") && !checkpoint.has("emb.weight")) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: only the tuned initial states of a model (time_state): they make one together with the "
                    "tensors of the checkpoint that they were tuned for",
                    checkpoint.path()));
  }
  bool known = forced.empty();
  for (const Family& family : families()) {
    if (!forced.empty() && forced != family.name) continue;
    known = true;
    if (family.matches(checkpoint)) return family;
  }
  if (!known) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("family: expected one of {}, got {}", fmt::join(family_names(), ", "), forced));
  }
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: its tensors have the names of no model that is known; {} are", checkpoint.path(),
                          fmt::join(family_names(), ", ")));
}

}  // namespace wkv::zoo
