// What a tokenizer's file may do when it is damaged: give a tokenizer that takes any text, or throw wkv::Error.
#include <gtest/gtest.h>

#include "damage.h"
#include "io_files.h"
#include "support/fixture.h"
#include "text_bpe_cases.h"
#include "text_clip_cases.h"
#include "text_tokenizer_cases.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::test {
namespace {

// The name tells the format.
void use_tokenizer_file(const std::filesystem::path& path, const std::string& damaged, const std::string& what) {
  write_bytes(path, damaged);
  try {
    const auto tokenizer = zoo::load_tokenizer(path.string());
    tokenizer->decode(tokenizer->encode("a \xC3\xA9 ab\xFF<|endoftext|>"));
  } catch (const Error&) {
  } catch (const std::exception& error) {
    ADD_FAILURE() << path.filename() << ", " << what << ": " << error.what();
  }
}

void damage_tokenizer(const std::filesystem::path& path, const std::string& whole, size_t step) {
  write_bytes(path, whole);
  ASSERT_NO_THROW(zoo::load_tokenizer(path.string()));
  const auto use = [&](const std::string& damaged, const std::string& what) {
    use_tokenizer_file(path, damaged, what);
  };
  for_each_truncation(whole, use);
  for_each_flipped_byte(whole, use, step);
}

TEST(DamagedTokenizer, world) {
  const ScratchFolder folder;
  damage_tokenizer(folder / "rwkv_vocab.txt", single_byte_lines() + "257 'the' 3\n258 '\\xe9' 2\n", 7);
}

TEST(DamagedTokenizer, tokenizer_json) {
  const ScratchFolder folder;
  auto json = small_tokenizer_json({"a b", "ab c"});
  json["added_tokens"] = {added_token("<|endoftext|>", 258, false), added_token("  ", 259, true)};
  damage_tokenizer(folder / "tokenizer.json", json.dump(), 7);
}

TEST(DamagedTokenizer, merges_with_a_vocabulary) {
  const ScratchFolder folder;
  const auto json = small_tokenizer_json({"a b", "ab c"});
  write_bytes(folder / "vocab.json", json["model"]["vocab"].dump());
  damage_tokenizer(folder / "merges.txt", "#version: 0.2\na b\nab c\n", 1);
}

TEST(DamagedTokenizer, clip) {
  const ScratchFolder folder;
  const std::string whole = gzip_file(clip_merges_file({"a b", "ab c</w>"}));
  damage_tokenizer(folder / "merges.gz", whole, whole.size() / 16);
}

}  // namespace
}  // namespace wkv::test
