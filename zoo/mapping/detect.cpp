// Which family a checkpoint belongs to.
#include "mapping/detect.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

namespace {

// Families of the published code that have no mapping yet, told from their names.
const char* known_relative(const Checkpoint& checkpoint) {
  if (checkpoint.has_prefix("blocks.0.att.time_maa_")) return "an RWKV-6 model";
  if (checkpoint.has("blocks.0.att.ln_x.weight")) return "an RWKV-5 model";
  return nullptr;
}

}  // namespace

std::span<const Family> families() {
  static const Family all[] = {
      rwkv7_family, rwkv7_digits_family, rwkv4_family, rwkv4_transformers_family, multi_temporal_rwkv_family,
      rrwkv_family};
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
  bool known = forced.empty();
  for (const Family& family : families()) {
    if (!forced.empty() && forced != family.name) continue;
    known = true;
    if (family.matches(checkpoint)) return family;
  }
  if (!known) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("family: expected rwkv7 (what this version has), got {}", forced));
  }
  const char* relative = known_relative(checkpoint);
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: {}; this version has RWKV-7", checkpoint.path(),
                          relative ? fmt::format("{}, which is not supported yet", relative)
                                   : "its tensors have the names of no model that is known"));
}

}  // namespace wkv::zoo
