// Which cards are found, and which of several.
#include "catalogue/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "wkv/error.h"
#include "wkv/zoo/load.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string card(const std::string& name, const std::string& alias, const std::string& description = "one") {
  return fmt::format(R"({{"name": "{}", "aliases": ["{}"], "description": "{}", "family": "rwkv4", "task": "t",
                          "source": {{"embedded": "x"}}, "container": "pth", "verified": "tiny"}})",
                     name, alias, description);
}

std::string data_card(const std::string& name, const std::string& description) {
  return fmt::format(R"({{"name": "{}", "kind": "tokenizer", "description": "{}", "source": {{"embedded": "x"}}}})",
                     name, description);
}

std::string embedded(const std::vector<std::string>& models) {
  return fmt::format(R"({{"models": [{}], "data": [{}]}})", fmt::join(models, ","), data_card("world", "embedded"));
}

std::vector<std::string> names(const std::vector<Card>& cards) {
  std::vector<std::string> names;
  for (const Card& card : cards) names.push_back(card.name);
  return names;
}

class Catalogues : public testing::Test {
 protected:
  Catalogues() { fs::create_directories(folder_ / "data"); }
  ~Catalogues() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  std::string error_of(const std::string& cards) {
    try {
      Catalogue(cards, folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(Catalogues, find_a_card_by_its_name_and_by_another_in_any_case) {
  const Catalogue catalogue(embedded({card("a-1", "A-One"), card("b-2", "B-Two")}), "");
  EXPECT_EQ(catalogue.find_card("B-2")->name, "b-2");
  EXPECT_EQ(catalogue.find_card("a-one")->name, "a-1");
  EXPECT_EQ(catalogue.find_card("a"), nullptr);
}

struct PatternCase {
  const char *pattern, *found;
};
TEST_F(Catalogues, match_patterns) {
  const Catalogue catalogue(embedded({card("ab", "x"), card("abc", "y"), card("b", "ba")}), "");
  for (const auto& [pattern, found] : std::vector<PatternCase>{{"*", "ab abc b"},
                                                               {"", ""},
                                                               {"ab", "ab"},
                                                               {"AB*", "ab abc"},
                                                               {"?b", "ab"},
                                                               {"*b", "ab b"},
                                                               {"*b*c*", "abc"},
                                                               {"b?", "b"},
                                                               {"*?*?*?*", "abc"},
                                                               {"a*b*b", ""}})
    EXPECT_EQ(fmt::format("{}", fmt::join(names(catalogue.list_models(pattern)), " ")), found) << pattern;
}

TEST_F(Catalogues, are_listed_by_name) {
  EXPECT_THAT(names(Catalogue(embedded({card("b", "z"), card("a", "y")}), "").list_models("*")), ElementsAre("a", "b"));
}

TEST_F(Catalogues, have_a_long_text_matched_in_time) {
  const std::string name(200, 'a');
  const Catalogue catalogue(embedded({card(name, "x")}), "");
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_THAT(catalogue.list_models(pattern + "b"), IsEmpty());
}

TEST_F(Catalogues, prefer_the_cards_of_the_folder) {
  write("mine.json", card("b", "a", "mine"));
  write("data/world.json", data_card("world", "mine"));
  const Catalogue catalogue(embedded({card("a", "x"), card("c", "y")}), folder_);
  EXPECT_EQ(catalogue.find_card("a")->description, "mine");
  EXPECT_EQ(catalogue.find_card("c")->description, "one");
  EXPECT_THAT(names(catalogue.list_models("*")), ElementsAre("b", "c"));
  EXPECT_EQ(catalogue.find_data("tokenizer", "world")->description, "mine");
}

TEST_F(Catalogues, keep_kinds_of_data_apart) {
  const Catalogue catalogue(embedded({}), "");
  EXPECT_EQ(catalogue.find_data("tokenizer", "World")->description, "embedded");
  EXPECT_EQ(catalogue.find_data("labels", "world"), nullptr);
}

TEST_F(Catalogues, refuse_a_name_that_two_cards_have_and_say_which) {
  const fs::path one = write("one.json", card("a", "same")), two = write("two.json", card("b", "Same"));
  EXPECT_THAT(error_of(embedded({})),
              AllOf(HasSubstr(one.string()), HasSubstr(two.string()), HasSubstr("the name Same")));
}

TEST_F(Catalogues, say_which_file_is_broken) {
  const fs::path file = write("broken.json", "{\"name\": ");
  EXPECT_THAT(error_of(embedded({})), HasSubstr(file.string()));
}

TEST_F(Catalogues, refuse_a_file_too_large_for_a_card) {
  write("large.json", std::string(2 << 20, ' '));
  EXPECT_THAT(error_of(embedded({})), HasSubstr("too large for a card"));
}

TEST_F(Catalogues, refuse_a_folder_that_is_not_there) {
  fs::remove_all(folder_);
  EXPECT_THAT(error_of(embedded({})), HasSubstr("is not a folder"));
}

TEST(CatalogueOfTheLibrary, has_the_embedded_model_under_both_names) {
  ASSERT_TRUE(find_card(kEmbeddedModel));
  EXPECT_EQ(find_card(kEmbeddedModel)->name, "kjv-rwkv7");
  EXPECT_EQ(embedded_model_card(), find_card("kjv-rwkv7")->json);
}

TEST(CatalogueOfTheLibrary, has_data_files_with_sums) {
  for (const char* name : {"world", "gpt-neox-20b", "gpt2", "clip"}) {
    const auto card = find_data("tokenizer", name);
    ASSERT_TRUE(card) << name;
    for (const RemoteFile& file : card->files) EXPECT_TRUE(file.sha256) << file.path;
  }
  EXPECT_TRUE(find_data("labels", "zero-shot"));
}

}  // namespace
}  // namespace wkv::zoo
