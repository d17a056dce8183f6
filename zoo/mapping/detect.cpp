// Which family a checkpoint belongs to.
#include "mapping/detect.h"

#include <fmt/format.h>

#include "wkv/error.h"

namespace wkv::zoo {

std::span<const Family> families() {
  static const Family all[] = {rwkv7_family, rwkv7_digits_family};
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
  std::string names;
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (names.size() > 160) {
      names += ", ...";
      break;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  throw Error(
      ErrorCode::unsupported_format,
      fmt::format("{}: its tensors are of no {}family that this version knows (rwkv7); they are: {}", checkpoint.path(),
                  forced.empty() ? "" : forced + " model or ", names.empty() ? "none" : names));
}

}  // namespace wkv::zoo
