// Whatever the bytes, CLIP's tokenizer reads a well-formed text in lower case, and decodes no more than is in it.
#include <cstdlib>

#include "text/clip_lower_case.h"
#include "text/clip_text.h"
#include "text/clip_tokenizer.h"
#include "text/clip_vocabulary.h"
#include "wkv/zoo/utf8.h"
#include "zoo/text_clip_cases.h"

namespace {

using namespace wkv::zoo;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ClipTokenizer tokenizer(
      parse_clip_vocabulary(wkv::test::clip_merges_file({"t h", "th e</w>", "\u00C3 \u00A9</w>"}), "small"));
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string text = clean_clip_text(to_valid_utf8(bytes));
  require(is_valid_utf8(text) && clip_lower_case(text) == text);
  const auto tokens = tokenizer.encode(bytes);
  require(tokenizer.encode_row(bytes, 77).size() == 77);
  std::string words = tokenizer.decode(tokens);
  std::erase(words, ' ');
  require(is_valid_utf8(words) && words.size() <= text.size());
  return 0;
}
