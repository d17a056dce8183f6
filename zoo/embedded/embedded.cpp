#include "embedded/embedded.h"

#include <cstring>

#include "io/safetensors_reader.h"
#include "wkv/zoo/load.h"

// The assembler puts the files into the library's read-only data as they are.
#define WKV_EMBED(symbol, file)                                                                        \
  __asm__(                                                                                             \
      ".section .rodata\n"                                                                             \
      ".balign 64\n"                                                                                   \
      ".global " #symbol "\n.hidden " #symbol                                                          \
      "\n"                                                                                             \
      ".global " #symbol "_end\n.hidden " #symbol "_end\n" #symbol ":\n.incbin \"" file "\"\n" #symbol \
      "_end:\n.previous\n");                                                                           \
  extern "C" const char symbol[], symbol##_end[]

WKV_EMBED(wkv_embedded_model, WKV_EMBEDDED_FOLDER "/kjv-rwkv7.safetensors");
WKV_EMBED(wkv_embedded_card, WKV_EMBEDDED_FOLDER "/kjv-rwkv7.json");

namespace wkv::zoo {

TensorSource embedded_tensors() {
  // A copy: tensors of a source may be written to, and the library's own bytes may not.
  const auto size = static_cast<size_t>(wkv_embedded_model_end - wkv_embedded_model);
  std::shared_ptr<std::byte[]> bytes(new std::byte[size]);
  std::memcpy(bytes.get(), wkv_embedded_model, size);
  return parse_safetensors({bytes.get(), size}, bytes, kEmbeddedModel);
}

std::string embedded_model_card() { return {wkv_embedded_card, wkv_embedded_card_end}; }

}  // namespace wkv::zoo
