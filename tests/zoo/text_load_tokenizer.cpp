#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "text_bpe_cases.h"
#include "text_clip_cases.h"
#include "text_tokenizer_cases.h"
#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {
namespace {

using testing::HasSubstr;

std::string tokenizer_error(const std::string& name) {
  try {
    load_tokenizer(name);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

// Sets variables of the environment and puts the old values back.
class LoadTokenizer : public testing::Test {
 protected:
  void TearDown() override {
    for (const auto& [name, value] : old_) value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    std::filesystem::remove_all(folder_);
  }
  void set(const std::string& name, const std::string& value) {
    const char* old = std::getenv(name.c_str());
    old_.emplace_back(name, old ? std::optional<std::string>(old) : std::nullopt);
    setenv(name.c_str(), value.c_str(), 1);
  }
  // A folder that has a World vocabulary in this subfolder.
  std::string folder_with_world(const std::string& subfolder) {
    return folder_with(subfolder + "/rwkv_vocab_v20230424.txt", test::single_byte_lines());
  }
  std::string folder_with(const std::string& file, const std::string& content) {
    std::filesystem::create_directories((folder_ / file).parent_path());
    std::ofstream(folder_ / file) << content;
    return folder_.string();
  }
  // A vocabulary of the single bytes, "ab" and "<|endoftext|>".
  std::string folder_with_gpt2(const std::string& prefix) {
    nlohmann::json ids = {{"<|endoftext|>", 257}};
    for (const auto& [token, id] : test::small_bpe_file({"a b"}).tokens) ids[token] = id;
    folder_with(prefix + "vocab.json", ids.dump());
    return folder_with(prefix + "merges.txt", "#version: 0.2\na b\n");
  }

 private:
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / fmt::format("wkv-load-tokenizer-{}", getpid());
  std::vector<std::pair<std::string, std::optional<std::string>>> old_;
};

TEST_F(LoadTokenizer, a_path_is_read_as_a_world_vocabulary) {
  const test::TemporaryVocabulary file(test::single_byte_lines() + "257 'ab' 2\n");
  EXPECT_EQ(load_tokenizer(file.path())->vocab_size(), 258);
}

TEST_F(LoadTokenizer, world_is_found_in_the_folder_of_the_environment) {
  set("WKV_TOKENIZERS", folder_with_world("."));
  EXPECT_EQ(load_tokenizer("world")->vocab_size(), 257);
}

TEST_F(LoadTokenizer, world_is_found_in_the_users_data) {
  set("WKV_TOKENIZERS", "");
  set("XDG_DATA_HOME", folder_with_world("wkv/tokenizers"));
  EXPECT_EQ(load_tokenizer("world")->vocab_size(), 257);
}

TEST_F(LoadTokenizer, world_is_found_below_home) {
  set("WKV_TOKENIZERS", "");
  set("XDG_DATA_HOME", "");
  set("HOME", folder_with_world(".local/share/wkv/tokenizers"));
  EXPECT_EQ(load_tokenizer("world")->vocab_size(), 257);
}

TEST_F(LoadTokenizer, a_missing_world_file_is_named_with_the_folders_looked_in) {
  set("WKV_TOKENIZERS", "/nowhere/a");
  set("XDG_DATA_HOME", "/nowhere/b");
  set("XDG_CACHE_HOME", "/nowhere/c");
  EXPECT_THAT(tokenizer_error("world"),
              testing::AllOf(HasSubstr("rwkv_vocab_v20230424.txt is not in /nowhere/a or /nowhere/b/wkv/tokenizers"),
                             HasSubstr("put it at /nowhere/c/")));
}

TEST_F(LoadTokenizer, an_unknown_name_is_refused_with_the_known_ones) {
  EXPECT_THAT(tokenizer_error("wrold"),
              HasSubstr("neither a file nor one of the names bytes, world, gpt-neox-20b, gpt2, clip"));
}

TEST_F(LoadTokenizer, gpt_neox_20b_is_a_tokenizer_json) {
  set("WKV_TOKENIZERS", folder_with("20B_tokenizer.json", test::small_tokenizer_json({"a b"}).dump()));
  EXPECT_EQ(load_tokenizer("gpt-neox-20b")->name(), "gpt-neox-20b");
  EXPECT_EQ(load_tokenizer("gpt-neox-20b")->vocab_size(), 257);
}

TEST_F(LoadTokenizer, gpt2_is_merges_and_a_vocabulary) {
  for (const char* prefix : {"", "gpt2_"}) {
    set("WKV_TOKENIZERS", folder_with_gpt2(prefix));
    EXPECT_EQ(load_tokenizer("gpt2")->name(), "gpt2");
    EXPECT_EQ(load_tokenizer("gpt2")->end_of_text(), 257);
  }
}

TEST_F(LoadTokenizer, merges_are_read_with_the_vocabulary_beside_them) {
  EXPECT_THAT(load_tokenizer(folder_with_gpt2("our-") + "/our-merges.txt")->encode("ab"), testing::ElementsAre(256));
}

TEST_F(LoadTokenizer, merges_without_their_vocabulary_are_refused) {
  const std::string folder = folder_with("our-merges.txt", "a b\n");
  EXPECT_THAT(tokenizer_error(folder + "/our-merges.txt"),
              HasSubstr("our-merges.txt: its vocabulary, our-vocab.json, is not beside it"));
}

TEST_F(LoadTokenizer, clip_is_compressed_merges) {
  set("WKV_TOKENIZERS", folder_with("bpe_simple_vocab_16e6.txt.gz", test::gzip_file(test::clip_merges_file({"a b"}))));
  EXPECT_EQ(load_tokenizer("clip")->name(), "clip");
  EXPECT_THAT(load_tokenizer("clip")->encode("abx"), testing::ElementsAre(512, 'x' - '!' + 256));
}

TEST_F(LoadTokenizer, a_compressed_file_of_something_else_is_refused_with_its_name) {
  folder_with("a.gz", test::gzip_file("{}"));
  const std::string folder = folder_with("b.gz", "{}");
  EXPECT_THAT(tokenizer_error(folder + "/a.gz"), HasSubstr("a.gz: 0 merges"));
  EXPECT_THAT(tokenizer_error(folder + "/b.gz"), HasSubstr("b.gz: not a gzip file"));
}

TEST_F(LoadTokenizer, missing_files_of_a_name_are_named_with_the_folders_looked_in) {
  set("WKV_TOKENIZERS", "/nowhere/a");
  set("XDG_DATA_HOME", "/nowhere/b");
  set("XDG_CACHE_HOME", "/nowhere/c");
  EXPECT_THAT(tokenizer_error("gpt-neox-20b"), HasSubstr("gpt-neox-20b: 20B_tokenizer.json is not in /nowhere/a or "));
  EXPECT_THAT(tokenizer_error("gpt2"), HasSubstr("gpt2_merges.txt or merges.txt is not in /nowhere/a or "));
  EXPECT_THAT(tokenizer_error("clip"), HasSubstr("clip: bpe_simple_vocab_16e6.txt.gz is not in /nowhere/a or "));
}

TEST_F(LoadTokenizer, a_folder_and_a_device_are_refused) {
  EXPECT_THAT(tokenizer_error("/"), HasSubstr("not a file that can hold a vocabulary"));
  EXPECT_THAT(tokenizer_error("/dev/zero"), HasSubstr("not a file that can hold a vocabulary"));
}

}  // namespace
}  // namespace wkv::zoo
