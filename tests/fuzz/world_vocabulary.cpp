#include "text/world_vocabulary.h"

#include "fuzz_text.h"
#include "text/world_tokenizer.h"
#include "zoo/text_tokenizer_cases.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string good = wkv::test::single_byte_lines() + "257 ' a' 2\n258 '\\u20ac' 3\n";
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string file = wkv::fuzz::damaged(good, input);
  return wkv::fuzz::use_tokenizer(
      [&] { return wkv::zoo::WorldTokenizer(wkv::zoo::parse_world_vocabulary(file, "input")); }, input);
}
