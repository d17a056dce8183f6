#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "serve/completion_answer.h"

namespace wkv::serve {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

// The JSON of server-sent events; "[DONE]" as a string.
std::vector<json> events_of(const std::string& text) {
  std::vector<json> events;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    events.push_back(line == "data: [DONE]" ? json("[DONE]") : json::parse(line.substr(6)));
  }
  return events;
}

CompletionRequest request_of(Endpoint endpoint, int64_t n = 1, bool stream = false) {
  return {.endpoint = endpoint, .prompts = {{1, 2, 3}}, .n = n, .stream = stream};
}

Progress last_progress(std::size_t text, const std::string& piece, const std::string& reason) {
  return {.text = text,
          .piece = piece,
          .finish_reason = reason,
          .prompt_tokens = 3,
          .cached_tokens = 2,
          .generated_tokens = 5};
}

TEST(CompletionAnswer, the_whole_answer_has_texts_reasons_and_usage) {
  CompletionAnswer answer(request_of(Endpoint::completions, 2), "m");
  EXPECT_THAT(answer.push({.text = 1, .piece = "b"}), IsEmpty());
  EXPECT_THAT(answer.push(last_progress(1, "c", "length")), IsEmpty());
  EXPECT_FALSE(answer.ended());
  answer.push(last_progress(0, "a", "end_of_text"));
  ASSERT_TRUE(answer.ended());
  const json whole = json::parse(answer.json());
  EXPECT_EQ(whole["object"], "text_completion");
  EXPECT_EQ(whole["model"], "m");
  EXPECT_EQ(whole["choices"][0]["text"], "a");
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(whole["choices"][1]["text"], "bc");
  EXPECT_EQ(whole["choices"][1]["finish_reason"], "length");
  EXPECT_EQ(whole["usage"], json::parse(R"({"prompt_tokens":3,"completion_tokens":10,"total_tokens":13,
                                            "prompt_tokens_details":{"cached_tokens":2}})"));
}

TEST(CompletionAnswer, a_chats_answer_is_a_message_without_the_space_before_it) {
  CompletionAnswer answer(request_of(Endpoint::chat_completions), "m");
  for (const char* piece : {" ", " Hel", "lo "}) answer.push({.piece = piece});
  answer.push(last_progress(0, "", "stop"));
  const json whole = json::parse(answer.json());
  EXPECT_EQ(whole["object"], "chat.completion");
  EXPECT_EQ(whole["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(whole["choices"][0]["message"]["content"], "Hello ");
}

TEST(CompletionAnswer, reasoning_is_shown_with_its_opening) {
  CompletionRequest request = request_of(Endpoint::chat_completions);
  request.opening = " <think";
  CompletionAnswer answer(request, "m");
  answer.push({.piece = "> so"});
  answer.push(last_progress(0, "</think>", "stop"));
  EXPECT_EQ(json::parse(answer.json())["choices"][0]["message"]["content"], "<think> so</think>");
}

TEST(CompletionAnswer, a_stream_of_text_is_an_event_a_piece) {
  CompletionAnswer answer(request_of(Endpoint::completions, 1, true), "m");
  auto events = events_of(answer.push({.piece = "a"}));
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0]["choices"][0]["text"], "a");
  EXPECT_TRUE(events[0]["choices"][0]["finish_reason"].is_null());
  EXPECT_FALSE(events[0].contains("usage"));
  events = events_of(answer.push(last_progress(0, "b", "length")));
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0]["choices"][0]["text"], "b");
  EXPECT_EQ(events[0]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events[1], "[DONE]");
}

TEST(CompletionAnswer, a_stream_of_chat_begins_with_the_role_and_ends_with_an_empty_delta) {
  CompletionAnswer answer(request_of(Endpoint::chat_completions, 1, true), "m");
  EXPECT_THAT(answer.push({.piece = " "}), IsEmpty());
  auto events = events_of(answer.push({.piece = "a"}));
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(events[0]["object"], "chat.completion.chunk");
  EXPECT_EQ(events[0]["choices"][0]["delta"], json::parse(R"({"role":"assistant","content":"a"})"));
  events = events_of(answer.push(last_progress(0, "b", "stop")));
  ASSERT_EQ(events.size(), 3);
  EXPECT_EQ(events[0]["choices"][0]["delta"], json::parse(R"({"content":"b"})"));
  EXPECT_EQ(events[1]["choices"][0]["delta"], json::object());
  EXPECT_EQ(events[1]["choices"][0]["finish_reason"], "stop");
}

TEST(CompletionAnswer, an_answer_without_a_word_still_has_its_role) {
  CompletionAnswer answer(request_of(Endpoint::chat_completions, 1, true), "m");
  const auto events = events_of(answer.push(last_progress(0, "", "stop")));
  ASSERT_EQ(events.size(), 3);
  EXPECT_EQ(events[0]["choices"][0]["delta"], json::parse(R"({"role":"assistant","content":""})"));
}

TEST(CompletionAnswer, usage_comes_last_in_a_stream_that_asks_for_it) {
  CompletionRequest request = request_of(Endpoint::completions, 1, true);
  request.include_usage = true;
  CompletionAnswer answer(request, "m");
  const auto events = events_of(answer.push(last_progress(0, "a", "length")));
  ASSERT_EQ(events.size(), 3);
  EXPECT_TRUE(events[0]["usage"].is_null());
  EXPECT_EQ(events[1]["choices"], json::array());
  EXPECT_EQ(events[1]["usage"]["completion_tokens"], 5);
}

TEST(CompletionAnswer, an_error_ends_it) {
  for (const bool stream : {false, true}) {
    CompletionAnswer answer(request_of(Endpoint::completions, 2, stream), "m");
    const auto events = events_of(answer.push({.finish_reason = "error", .error = "no memory"}));
    EXPECT_TRUE(answer.ended());
    EXPECT_EQ(answer.error()->status, 500);
    if (!stream) continue;
    ASSERT_EQ(events.size(), 1);
    EXPECT_EQ(events[0]["error"]["message"], "no memory");
  }
}

}  // namespace
}  // namespace wkv::serve
