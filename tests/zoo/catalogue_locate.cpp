// From what a user names to a checkpoint; what needs a server is in tests/python/test_names.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catalogue/locate.h"
#include "io_files.h"
#include "support/fixture.h"
#include "wkv/zoo/catalogue.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string locate_error(const std::string& name) {
  try {
    locate(name);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

class Locate : public testing::Test {
 protected:
  Locate() {
    ::setenv("HF_HOME", folder_.path().c_str(), 1);
    std::filesystem::current_path(folder_.path());
  }
  ~Locate() override {
    ::unsetenv("HF_HOME");
    std::filesystem::current_path(before_);
  }

  std::filesystem::path before_ = std::filesystem::current_path();
  test::ScratchFolder folder_;
};

TEST_F(Locate, a_path_that_exists_is_a_path) {
  test::write_bytes(folder_ / "rwkv-4-pile-169m", "");
  const Located located = locate("rwkv-4-pile-169m");
  EXPECT_EQ(located.path, "rwkv-4-pile-169m");
  EXPECT_FALSE(located.card);
}

TEST_F(Locate, the_embedded_model_needs_no_file) {
  std::filesystem::create_directory(folder_ / "embedded");
  for (const char* name : {"embedded", "kjv-rwkv7", "KJV-RWKV7"}) {
    const Located located = locate(name);
    EXPECT_EQ(located.path, "kjv-rwkv7") << name;
    EXPECT_EQ(located.card->name, "kjv-rwkv7") << name;
  }
}

TEST_F(Locate, what_is_missing_offline_is_named_with_the_place_for_it) {
  EXPECT_THAT(locate_error("rwkv-4-pile-169m"),
              AllOf(HasSubstr("BlinkDL/rwkv-4-pile-169m/RWKV-4-Pile-169M-20220807-8023.pth"), HasSubstr("WKV_OFFLINE"),
                    HasSubstr((folder_ / "hub/models--BlinkDL--rwkv-4-pile-169m").string())));
}

TEST_F(Locate, an_unknown_name_is_answered_with_the_nearest) {
  EXPECT_THAT(locate_error("rwkv4-pile-169m"), HasSubstr("rwkv-4-pile-169m"));
  EXPECT_THAT(locate_error("models/RWKV-4-Pile-169M-20220807-8023.pth"), HasSubstr("where rwkv-4-pile-169m"));
  EXPECT_THAT(locate_error("kjv-rwkv"), HasSubstr("where kjv-rwkv7"));
  EXPECT_THAT(locate_error("no such thing at all"), AllOf(HasSubstr("`wkv list`"), Not(HasSubstr("where"))));
  EXPECT_THAT(locate_error(std::string(200, 'x')), HasSubstr("`wkv list`"));
}

TEST_F(Locate, a_file_is_known_by_its_published_name) {
  EXPECT_EQ(card_of_file("models/RWKV-4-Pile-169M-20220807-8023.pth")->name, "rwkv-4-pile-169m");
  EXPECT_FALSE(card_of_file("model.pth"));
}

TEST_F(Locate, the_tokenizer_is_the_cards_the_folders_or_a_guess) {
  EXPECT_EQ(tokenizer_of("rwkv-4-pile-169m", 65536), "gpt-neox-20b");
  EXPECT_EQ(tokenizer_of(folder_.path(), 65536), "world");
  const auto vocabulary = test::write_bytes(folder_ / "tokenizer.json", "{}");
  EXPECT_EQ(tokenizer_of(folder_.path(), 65536), vocabulary);
}

}  // namespace
}  // namespace wkv::zoo
