#include <gtest/gtest.h>

#include "serve/chat_prompt.h"
#include "serve_errors.h"

namespace wkv::serve {
namespace {

std::string prompt_of(const std::string& messages, const std::string& format = "plain") {
  const auto bytes = zoo::load_tokenizer("bytes");
  return bytes->decode(chat_prompt(nlohmann::json::parse(messages), chat_format(format), *bytes));
}

TEST(ChatPrompt, is_the_published_format) {
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":"Who art thou?"}])"), "User: Who art thou?\n\nAssistant:");
  EXPECT_EQ(prompt_of(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},
                          {"role":"assistant","content":"Hello."},{"role":"user","content":" And\n\nnow? "}])"),
            "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello.\n\nUser: And\nnow?\n\nAssistant:");
}

TEST(ChatPrompt, reasoning_is_opened_for_the_next_answer_only) {
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":"a"},{"role":"assistant","content":"<think>b</think>c"},
                          {"role":"user","content":"d"}])",
                      "think"),
            "User: a\n\nAssistant: <think>b</think>c\n\nUser: d\n\nAssistant: <think");
}

TEST(ChatPrompt, content_may_come_in_parts_and_neighbours_of_one_role_are_one) {
  EXPECT_EQ(prompt_of(R"([{"role":"user","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]},
                          {"role":"user","content":"c"}])"),
            "User: a b\nc\n\nAssistant:");
  EXPECT_EQ(prompt_of(R"([{"role":"developer","content":"x"},{"role":"user","content":"a","name":"Ann"}])"),
            "System: x\n\nUser: a\n\nAssistant:");
}

TEST(ChatPrompt, what_is_no_conversation_is_refused) {
  for (const char* messages :
       {"[]", "{}", "\"a\"", "[1]", R"([{"role":"user"}])", R"([{"content":"a"}])",
        R"([{"role":"tool","content":"a"}])", R"([{"role":"user","content":1}])",
        R"([{"role":"user","content":[{"type":"image_url","image_url":{}}]}])", R"([{"role":"user","content":["a"]}])",
        R"([{"role":"user","content":[{"type":"text"}]}])",
        R"([{"role":"assistant","content":"a"},{"role":"user","content":"b"}])",
        R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])",
        R"([{"role":"user","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"c"}])",
        R"([{"role":"user","content":"a","tool_calls":[{}]}])", R"([{"role":"system","content":"a"}])"}) {
    EXPECT_EQ(refusal([&] { prompt_of(messages); }).status, 400) << messages;
  }
}

}  // namespace
}  // namespace wkv::serve
