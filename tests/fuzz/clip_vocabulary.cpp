#include "text/clip_vocabulary.h"

#include "fuzz_text.h"
#include "io/gzip.h"
#include "text/clip_tokenizer.h"
#include "zoo/text_clip_cases.h"

// Input: damage to a file of merges, or a file; each both before and after its compression.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string merges = wkv::test::clip_merges_file({"a b", "ab c</w>"});
  static const std::string file = wkv::test::gzip_file(merges);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  for (const std::string& content :
       {wkv::fuzz::damaged(file, input), std::string(input), wkv::test::gzip_file(wkv::fuzz::damaged(merges, input))}) {
    wkv::fuzz::use_tokenizer(
        [&] {
          const std::string text = wkv::zoo::gunzip(content, "file", merges.size() + 256);
          return wkv::zoo::ClipTokenizer(wkv::zoo::parse_clip_vocabulary(text, "file"));
        },
        input);
  }
  return 0;
}
