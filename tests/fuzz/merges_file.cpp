#include "text/merges_file.h"

#include "fuzz_text.h"
#include "text/bpe_tokenizer.h"
#include "zoo/text_bpe_cases.h"

// Input: damage to the vocabulary, a zero byte, merges.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string good = wkv::test::small_tokenizer_json({"a b", "ab c"})["model"]["vocab"].dump();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0', std::min<size_t>(3, size)), size);
  const std::string vocabulary = wkv::fuzz::damaged(good, input.substr(0, end));
  const std::string merges(input.substr(std::min(end + 1, size)));
  return wkv::fuzz::use_tokenizer(
      [&] {
        return wkv::zoo::BpeTokenizer(wkv::zoo::parse_merges_file({merges, "merges"}, {vocabulary, "vocab"}));
      },
      input);
}
