// Every character, against the tables that the published preprocessing's behaviour was read off.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "support/data.h"
#include "text/clip_lower_case.h"
#include "text/clip_repair.h"
#include "text/clip_words.h"
#include "text/code_points.h"
#include "text/html_entities.h"

namespace wkv::zoo {
namespace {

std::string utf8_of(char32_t c) {
  std::string text;
  append_code_point(text, c);
  return text;
}

class PublishedClipTables : public testing::Test {
 protected:
  void SetUp() override {
    const auto path = test::shared("data/tokenizers/clip_text_tables.json");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
    std::ifstream file(path);
    tables_ = nlohmann::json::parse(file);
  }

  std::vector<bool> members(const char* table) const { return members(tables_.at(table)); }
  static std::vector<bool> members(const nlohmann::json& ranges) {
    std::vector<bool> result(0x110000);
    for (const auto& range : ranges) {
      for (std::size_t c = range[0]; c <= range[1]; ++c) result[c] = true;
    }
    return result;
  }
  static std::string text_of(const nlohmann::json& codes) {
    std::string text;
    for (const std::uint32_t code : codes) append_code_point(text, code);
    return text;
  }
  // What the table says of the character, or the character.
  std::string mapped(const char* table, char32_t c) const {
    const auto& map = tables_.at(table);
    const auto found = map.find(std::to_string(static_cast<std::uint32_t>(c)));
    return found == map.end() ? utf8_of(c) : found->is_array() ? text_of(*found) : utf8_of(found->get<std::uint32_t>());
  }
  // The same for each character of a text.
  std::string mapped(const char* table, std::string_view text) const {
    std::string result;
    while (!text.empty()) {
      const auto [c, length] = first_code_point(text);
      result += mapped(table, c);
      text.remove_prefix(length);
    }
    return result;
  }

  // But for planes without characters and those of private use.
  template <typename check_t>
  static void for_each_character(const check_t& check) {
    for (const auto& [first, last] : {std::pair(0x0, 0xD7FF), {0xE000, 0x3FFFF}, {0xE0000, 0xEFFFF}}) {
      for (int c = first; c <= last && !HasFailure(); ++c) check(static_cast<char32_t>(c));
    }
  }

  nlohmann::json tables_;
};

std::string name_of(char32_t c) { return fmt::format("U+{:04X}", static_cast<std::uint32_t>(c)); }

TEST_F(PublishedClipTables, lower_case) {
  for_each_character([&](char32_t c) { EXPECT_EQ(clip_lower_case(utf8_of(c)), mapped("lower", c)) << name_of(c); });
}

TEST_F(PublishedClipTables, cased_and_ignorable_characters) {
  const auto cased = members("cased_not_ignorable"), ignorable = members("case_ignorable");
  for_each_character([&](char32_t c) {
    const bool final_behind = clip_lower_case("1" + utf8_of(c) + "\u03A3").ends_with("\u03C2");
    const bool final_before = clip_lower_case("a\u03A3" + utf8_of(c) + "a").starts_with("a\u03C2");
    EXPECT_EQ(final_behind, cased[c]) << name_of(c);
    EXPECT_EQ(final_before, !cased[c] && !ignorable[c]) << name_of(c);
  });
}

TEST_F(PublishedClipTables, classes_of_characters) {
  const auto letters = members("letters"), numbers = members("numbers"), space = members("space"),
             skipped = members("skipped");
  for_each_character([&](char32_t c) {
    const std::string text = "\u4E00" + utf8_of(c) + "!";
    std::string_view rest = text;
    std::vector<std::string_view> words;
    for (auto word = take_clip_word(rest); !word.empty(); word = take_clip_word(rest)) words.push_back(word);
    const std::string classes = letters[c]               ? "letter"
                                : numbers[c]             ? "number"
                                : space[c] || skipped[c] ? "nothing"
                                                         : "sign";
    const std::string found = words.size() == 3     ? "number"
                              : words[0].size() > 3 ? "letter"
                              : words[1].size() > 1 ? "sign"
                              : words.size() == 2   ? "nothing"
                                                    : "other";
    EXPECT_EQ(found, classes) << name_of(c);
  });
}

TEST_F(PublishedClipTables, repairs_of_characters) {
  const auto removed = members("remove"), single_quotes = members("single_quotes"),
             double_quotes = members("double_quotes");
  for_each_character([&](char32_t c) {
    if (tables_["nfd"].contains(std::to_string(static_cast<std::uint32_t>(c)))) return;
    std::string expected;
    const std::string wide = mapped("width", mapped("ligatures", mapped("c1_windows1252", c)));
    for (std::string_view rest = wide; !rest.empty();) {
      const auto [part, length] = first_code_point(rest);
      rest.remove_prefix(length);
      if (!removed[part]) append_code_point(expected, double_quotes[part] ? '"' : single_quotes[part] ? '\'' : part);
    }
    EXPECT_EQ(repair_clip_text(utf8_of(c)), expected) << name_of(c);
  });
}

TEST_F(PublishedClipTables, decompositions) {
  for (const auto& [code, parts] : tables_["nfd"].items()) {
    const auto c = static_cast<char32_t>(std::stoul(code));
    EXPECT_EQ(repair_clip_text(utf8_of(c)), repair_clip_text(text_of(parts))) << name_of(c);
  }
}

TEST_F(PublishedClipTables, compositions) {
  for (const auto& triple : tables_["compose"]) {
    const auto composite = triple[2].get<std::uint32_t>();
    EXPECT_EQ(repair_clip_text(text_of({triple[0], triple[1]})), utf8_of(composite)) << name_of(composite);
  }
}

TEST_F(PublishedClipTables, combining_classes) {
  std::vector<bool> above_1(0x110000);
  for (const auto& [value, ranges] : tables_["ccc"].items()) {
    const auto in_class = members(ranges);
    for (std::size_t c = 0; c < in_class.size(); ++c) {
      if (in_class[c] && std::stoi(value) > 1) above_1[c] = true;
    }
  }
  for_each_character([&](char32_t c) {
    const std::string mark = utf8_of(c), repaired = repair_clip_text(mark);
    if (repaired != mark) return;
    const std::string overlay = "\u0334";  // class 1
    EXPECT_EQ(repair_clip_text("1" + mark + overlay), "1" + (above_1[c] ? overlay + mark : mark + overlay))
        << name_of(c);
  });
}

TEST_F(PublishedClipTables, names_of_html) {
  for (const auto& [name, codes] : tables_["html5"].items()) {
    EXPECT_EQ(unescape_html("&" + name), text_of(codes)) << name;
    const bool strict = name.ends_with(';') && name.size() <= 25;
    EXPECT_EQ(unescape_html_strictly("&" + name), strict ? text_of(codes) : "&" + name) << name;
  }
  for (const auto& [name, codes] : tables_["html_upper"].items()) {
    EXPECT_EQ(unescape_html_strictly("&" + name), text_of(codes)) << name;
  }
}

TEST_F(PublishedClipTables, no_names_of_html_but_these_in_capitals) {
  for (const auto& [name, codes] : tables_["html5"].items()) {
    std::string capitals = name;
    for (char& c : capitals) c = static_cast<char>(std::toupper(c));
    if (tables_["html5"].contains(capitals) || tables_["html_upper"].contains(capitals)) continue;
    EXPECT_EQ(unescape_html_strictly("&" + capitals), "&" + capitals);
  }
}

TEST_F(PublishedClipTables, numbers_of_html) {
  const auto dropped = members("charref_drop");
  for_each_character([&](char32_t c) {
    const bool replaced = tables_["charref_replace"].contains(std::to_string(static_cast<std::uint32_t>(c)));
    EXPECT_EQ(unescape_html(fmt::format("&#{};", static_cast<std::uint32_t>(c))),
              !replaced && dropped[c] ? "" : mapped("charref_replace", c))
        << name_of(c);
  });
}

}  // namespace
}  // namespace wkv::zoo
