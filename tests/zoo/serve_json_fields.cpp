#include <gtest/gtest.h>

#include "serve/api_error.h"
#include "serve/json_fields.h"
#include "serve_errors.h"

namespace wkv::serve {
namespace {

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

TEST(JsonFields, a_body_that_is_no_object_is_refused) {
  for (const char* body : {"", "{", "[]", "1", "null", "{\"a\":1}x", "{\"a\":\"\xff\"}", "{'a':1}", "{\"a\":1e999}"})
    EXPECT_EQ(refusal([&] { parse_json_object(body); }).status, 400) << body;
}

TEST(JsonFields, depth_is_bounded) {
  EXPECT_NO_THROW(parse_json_object("{\"a\":" + nested(kMaxJsonDepth - 1) + "}"));
  EXPECT_EQ(refusal([] { parse_json_object("{\"a\":" + nested(kMaxJsonDepth) + "}"); }).status, 400);
  EXPECT_EQ(refusal([] { parse_json_object(std::string(1 << 20, '[')); }).status, 400);
  EXPECT_EQ(refusal([] { parse_json_object("{\"a\":" + std::string(1 << 20, '[')); }).status, 400);
}

struct JsonFieldsCase {
  const char* body;
  bool fits;
};

TEST(JsonFields, integers_are_integers_in_their_range) {
  for (const auto& [body, fits] : {JsonFieldsCase{R"({"n":1})", true},
                                   {R"({"n":10})", true},
                                   {R"({"n":0})", false},
                                   {R"({"n":11})", false},
                                   {R"({"n":1.0})", false},
                                   {R"({"n":"1"})", false},
                                   {R"({"n":true})", false},
                                   {R"({"n":18446744073709551615})", false},
                                   {R"({"n":99999999999999999999999})", false}}) {
    const auto object = nlohmann::json::parse(body);
    const auto read = [&] { JsonFields(object).integer("n", 1, 10); };
    if (fits) {
      EXPECT_NO_THROW(read()) << body;
    } else {
      EXPECT_EQ(refusal(read).param, "n") << body;
    }
  }
}

TEST(JsonFields, numbers_may_be_integers) {
  const auto object = nlohmann::json::parse(R"({"one":1,"half":0.5,"text":"1"})");
  JsonFields fields(object);
  EXPECT_EQ(fields.number("one", 0, 2), 1);
  EXPECT_EQ(fields.number("half", 0, 2), 0.5);
  EXPECT_EQ(refusal([&] { fields.number("text", 0, 2); }).param, "text");
  EXPECT_EQ(refusal([&] { fields.number("one", 0, 0.5); }).param, "one");
}

TEST(JsonFields, null_is_the_same_as_not_there) {
  const auto object = nlohmann::json::parse(R"({"a":null})");
  JsonFields fields(object);
  EXPECT_EQ(fields.integer("a", 0, 1), std::nullopt);
  EXPECT_EQ(fields.text("a"), std::nullopt);
  EXPECT_NO_THROW(fields.refuse_others());
}

TEST(JsonFields, a_field_that_nobody_asked_for_is_refused_by_name) {
  const auto object = nlohmann::json::parse(R"({"a":1,"temprature":1})");
  JsonFields fields(object);
  fields.integer("a", 0, 1);
  EXPECT_EQ(refusal([&] { fields.refuse_others(); }).param, "temprature");
  fields.ignore({"temprature"});
  EXPECT_NO_THROW(fields.refuse_others());
}

TEST(JsonFields, an_unsupported_field_may_say_nothing) {
  const auto object = nlohmann::json::parse(R"({"tools":[],"echo":false,"logprobs":3})");
  JsonFields fields(object);
  EXPECT_NO_THROW(fields.only("tools", nullptr));
  EXPECT_NO_THROW(fields.only("echo", false));
  EXPECT_EQ(refusal([&] { fields.only("logprobs", false); }).param, "logprobs");
}

}  // namespace
}  // namespace wkv::serve
