#include "embedded/embedded.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "embedded/embed.h"
#include "io/safetensors_reader.h"
#include "wkv/error.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/load.h"

#define WKV_EMBEDDED_MODEL(symbol, name, path) WKV_EMBED(symbol, path);
#include WKV_EMBEDDED_MODELS
#undef WKV_EMBEDDED_MODEL

namespace wkv::zoo {
namespace {

struct EmbeddedFile {
  std::string_view name;
  std::span<const char> bytes;
};

const EmbeddedFile kFiles[] = {
#define WKV_EMBEDDED_MODEL(symbol, name, path) {name, {symbol, symbol##_end}},
#include WKV_EMBEDDED_MODELS
#undef WKV_EMBEDDED_MODEL
};

}  // namespace

TensorSource embedded_tensors(const std::string& file) {
  const auto* found = std::ranges::find(kFiles, file, &EmbeddedFile::name);
  if (found == std::end(kFiles))
    throw Error(ErrorCode::not_found, fmt::format("{}: the library carries no such file", file));
  // A copy: tensors of a source may be written to, the library's own bytes may not.
  const auto bytes = std::make_shared<std::vector<char>>(found->bytes.begin(), found->bytes.end());
  return parse_safetensors(std::as_writable_bytes(std::span(*bytes)), bytes, file);
}

std::string embedded_model_card() { return find_card(kEmbeddedModel).value().json; }

}  // namespace wkv::zoo
