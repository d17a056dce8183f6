// Cards that are read, and what is refused in them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "catalogue/card.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ordered_json card_json() {
  return ordered_json::parse(R"({
    "name": "rwkv-4-tiny", "aliases": ["RWKV-4-Tiny"], "description": "small", "family": "rwkv4",
    "task": "text-generation", "source": {"repository": "Someone/tiny", "revision": "v1"},
    "files": [{"path": "tiny.pth", "size": 12, "sha256": null}], "container": "pth", "parameters": 6,
    "config": {"ctx_len": 8}, "tokenizer": "world", "preprocessing": null, "prompt": "User: {}\n\nAssistant:",
    "classes": ["a", "b c"],
    "licence": "MIT",
    "figures": [{"metric": "perplexity", "data": "LAMBADA", "value": 3.5, "unit": "", "conditions": "zero-shot"}],
    "verified": "tiny", "of another time": [1]})");
}

std::string error_of(const ordered_json& json) {
  try {
    read_card(json, "card.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    return error.what();
  }
  return "no error";
}

TEST(Card, has_what_its_json_says) {
  const Card card = read_card(card_json(), "card.json");
  EXPECT_EQ(card.name, "rwkv-4-tiny");
  EXPECT_THAT(card.aliases, ElementsAre("RWKV-4-Tiny"));
  EXPECT_EQ(card.files.at(0).repository, "Someone/tiny");
  EXPECT_EQ(card.files.at(0).revision, "v1");
  EXPECT_EQ(card.files.at(0).path, "tiny.pth");
  EXPECT_EQ(card.files.at(0).size, 12);
  EXPECT_EQ(card.files.at(0).sha256, std::nullopt);
  EXPECT_EQ(card.parameters, 6);
  EXPECT_EQ(card.config, R"({"ctx_len":8})");
  EXPECT_THAT(card.preprocessing, IsEmpty());
  EXPECT_THAT(card.classes, ElementsAre("a", "b c"));
  EXPECT_EQ(card.figures.at(0).value, 3.5);
  EXPECT_EQ(ordered_json::parse(card.json), card_json());
}

TEST(Card, of_the_library_has_no_files) {
  ordered_json json = card_json();
  json["source"] = {{"embedded", "tiny.safetensors"}};
  json["files"] = ordered_json::array();
  EXPECT_THAT(read_card(json, "card.json").files, IsEmpty());
}

struct RefusedCard {
  const char* name;
  const char* pointer;  // the value that is replaced
  ordered_json value;
  const char* expected;
};

class CardRefuses : public testing::TestWithParam<RefusedCard> {};

TEST_P(CardRefuses, and_names_file_and_key) {
  ordered_json json = card_json();
  json[ordered_json::json_pointer(GetParam().pointer)] = GetParam().value;
  EXPECT_THAT(error_of(json), AllOf(HasSubstr("card.json: "), HasSubstr(GetParam().expected)));
}

INSTANTIATE_TEST_SUITE_P(
    Cards, CardRefuses,
    testing::Values(
        RefusedCard{"a_missing_key", "/family", nullptr, "family must be text"},
        RefusedCard{"a_number_for_a_text", "/description", 7, "description must be text"},
        RefusedCard{"an_upper_case_name", "/name", "RWKV", "name must be a name of lower-case letters"},
        RefusedCard{"an_alias_that_is_a_path", "/aliases/0", "a/b", "aliases[0] must be"},
        RefusedCard{"an_alias_that_is_a_pattern", "/aliases/0", "a*", "aliases[0] must be"},
        RefusedCard{"a_class_without_a_name", "/classes/1", 3, "classes[1] must be text"},
        RefusedCard{"a_fraction_of_a_parameter", "/parameters", 1.5, "parameters must be a whole number"},
        RefusedCard{"fewer_parameters_than_none", "/parameters", -1, "parameters must be a whole number"},
        RefusedCard{"a_size_above_what_is_counted", "/files/0/size", 18446744073709551615u, "files[0].size must be"},
        RefusedCard{"a_path_upwards", "/files/0/path", "../tiny.pth", "files[0].path must be a relative path"},
        RefusedCard{"an_absolute_path", "/files/0/path", "/tiny.pth", "files[0].path must be a relative path"},
        RefusedCard{"a_path_with_a_gap", "/files/0/path", "a//b", "files[0].path must be a relative path"},
        RefusedCard{"a_short_sum", "/files/0/sha256", "abc", "files[0].sha256 must be 64"},
        RefusedCard{"an_address_of_this_machine", "/files/0/url", "file:///etc/passwd",
                    "files[0].url must be an address"},
        RefusedCard{"an_address_without_a_sum", "/files/0/url", "https://example.com", "files[0].sha256 must be there"},
        RefusedCard{"no_repository", "/source", nullptr, "files[0].url must be there"},
        RefusedCard{"a_repository_upwards", "/source/repository", "../x", "source.repository must be owner/name"},
        RefusedCard{"a_revision_upwards", "/source/revision", "a/../b", "source.revision must be"},
        RefusedCard{"files_that_are_no_list", "/files", 1, "files must be a list"},
        RefusedCard{"no_files", "/files", ordered_json::array(), "files must be a list of at least one"},
        RefusedCard{"a_file_that_is_no_object", "/files/0", "tiny.pth", "files[0] must be a JSON object"},
        RefusedCard{"a_figure_without_a_value", "/figures/0/value", "good", "figures[0].value must be a number"},
        RefusedCard{"a_text_that_moves_the_cursor", "/description", "\x1b[2J", "description must be text without"}),
    [](const auto& test) { return test.param.name; });

TEST(Card, that_is_no_object_is_refused) { EXPECT_THAT(error_of(ordered_json::array()), HasSubstr("a JSON object")); }

TEST(CardJson, names_each_key_once) { EXPECT_THROW(parse_card_json(R"({"name": "a", "name": "b"})", "x"), Error); }
TEST(CardJson, is_not_nested_without_end) {
  EXPECT_THROW(parse_card_json(std::string(100'000, '[') + std::string(100'000, ']'), "x"), Error);
}
TEST(CardJson, has_numbers_that_can_be_held) { EXPECT_THROW(parse_card_json(R"({"value": 1e999})", "x"), Error); }

}  // namespace
}  // namespace wkv::zoo
