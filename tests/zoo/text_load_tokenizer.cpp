#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

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
    std::filesystem::create_directories(folder_ / subfolder);
    std::ofstream(folder_ / subfolder / "rwkv_vocab_v20230424.txt") << test::single_byte_lines();
    return folder_.string();
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
  EXPECT_THAT(tokenizer_error("world"),
              HasSubstr("rwkv_vocab_v20230424.txt is not in /nowhere/a or /nowhere/b/wkv/tokenizers"));
}

TEST_F(LoadTokenizer, an_unknown_name_is_refused_with_the_known_ones) {
  EXPECT_THAT(tokenizer_error("wrold"), HasSubstr("neither a file nor one of the names bytes, world"));
}

TEST_F(LoadTokenizer, tokenizers_of_later_versions_say_so) {
  for (const char* name : {"gpt-neox-20b", "gpt2", "clip"})
    EXPECT_THAT(tokenizer_error(name), HasSubstr("not available in this version"));
}

TEST_F(LoadTokenizer, a_folder_and_a_device_are_refused) {
  EXPECT_THAT(tokenizer_error("/"), HasSubstr("not a file that can hold a vocabulary"));
  EXPECT_THAT(tokenizer_error("/dev/zero"), HasSubstr("not a file that can hold a vocabulary"));
}

}  // namespace
}  // namespace wkv::zoo
