#include "text/tokenizer_json.h"

#include "fuzz_text.h"
#include "text/bpe_tokenizer.h"
#include "zoo/text_bpe_cases.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string good = [] {
    auto json = wkv::test::small_tokenizer_json({"a b", "ab c"});
    json["added_tokens"] = {wkv::test::added_token("<|endoftext|>", 258, false),
                            wkv::test::added_token("  ", 259, true)};
    return json.dump();
  }();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string file = wkv::fuzz::damaged(good, input);
  return wkv::fuzz::use_tokenizer([&] { return wkv::zoo::BpeTokenizer(wkv::zoo::parse_tokenizer_json(file, "input")); },
                                  input);
}
