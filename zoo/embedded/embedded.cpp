#include "embedded/embedded.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "embedded/embed.h"
#include "io/safetensors_reader.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/load.h"

WKV_EMBED(wkv_embedded_model, WKV_EMBEDDED_FOLDER "/kjv-rwkv7.safetensors");

namespace wkv::zoo {

TensorSource embedded_tensors() {
  // A copy: tensors of a source may be written to, the library's own bytes may not.
  const std::span<const char> model(wkv_embedded_model, wkv_embedded_model_end);
  const auto bytes = std::make_shared<std::vector<char>>(model.begin(), model.end());
  return parse_safetensors(std::as_writable_bytes(std::span(*bytes)), bytes, kEmbeddedModel);
}

std::string embedded_model_card() { return find_card(kEmbeddedModel).value().json; }

}  // namespace wkv::zoo
