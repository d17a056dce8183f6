#include <gtest/gtest.h>

#include "wkv/error.h"
#include "wkv/zoo/chat.h"

namespace wkv {
namespace {

TEST(Chat, the_first_turn_has_the_published_form) {
  EXPECT_EQ(ChatSession(chat_format("plain")).next_prompt("Hi"), "User: Hi\n\nAssistant:");
}

TEST(Chat, a_system_text_comes_first) {
  EXPECT_EQ(ChatSession(chat_format("plain"), "Be\n\nbrief.").next_prompt("Hi"),
            "System: Be\nbrief.\n\nUser: Hi\n\nAssistant:");
}

TEST(Chat, thinking_is_opened_for_the_model) {
  EXPECT_EQ(ChatSession(chat_format("think")).next_prompt("Hi"), "User: Hi\n\nAssistant: <think");
  EXPECT_EQ(ChatSession(chat_format("fast")).next_prompt("Hi"), "User: Hi\n\nAssistant: <think>\n</think");
}

TEST(Chat, a_blank_line_in_the_users_text_ends_no_turn) {
  EXPECT_EQ(ChatSession(chat_format("plain")).next_prompt("\n  a\r\n\r\nb\n\n\nc \n"), "User: a\nb\nc\n\nAssistant:");
  EXPECT_EQ(ChatSession(chat_format("plain")).next_prompt(" \n"), "User: \n\nAssistant:");
}

struct HeardCase {
  const char* answer;
  const char* next_prompt;
};

TEST(Chat, the_next_turn_goes_on_from_what_the_model_has_read) {
  const HeardCase cases[] = {
      {" Hello", "\n\nUser: x\n\nAssistant:"},  // the end of the text, or cut at the length
      {" Hello\n", "\nUser: x\n\nAssistant:"}, {" Hello\n\n", "User: x\n\nAssistant:"},
      {" Hello\n\nUser:", " x\n\nAssistant:"}, {" Hello\n\nUse", "r: x\n\nAssistant:"},
      {"", "\n\nUser: x\n\nAssistant:"},
  };
  for (const auto& [answer, next_prompt] : cases) {
    ChatSession chat(chat_format("plain"));
    chat.next_prompt("Hi");
    chat.heard(answer);
    EXPECT_EQ(chat.next_prompt("x"), next_prompt) << answer;
  }
}

TEST(Chat, a_template_says_what_stands_around_the_users_text) {
  ChatSession chat(chat_format("Bob: {}\n\nAlice:"));
  EXPECT_EQ(chat.next_prompt("Hi"), "Bob: Hi\n\nAlice:");
  chat.heard(" Hello\n\nBob:");
  EXPECT_EQ(chat.next_prompt("x"), " x\n\nAlice:");
}

TEST(Chat, what_a_template_has_behind_its_last_colon_opens_the_answer) {
  const ChatFormat format = chat_format("Q: {}\nA: So");
  EXPECT_EQ(format.opening, " So");
  EXPECT_EQ(format.stop, std::vector<std::string>{"\n\nQ:"});
  EXPECT_EQ(ChatSession(format).next_prompt("Why?"), "Q: Why?\nA: So");
}

TEST(Chat, line_ends_behind_the_last_colon_open_nothing) {
  const ChatFormat format = chat_format("# Question:\n{}\n\n# Answer:\n");
  EXPECT_EQ(format.opening, "");
  EXPECT_EQ(ChatSession(format).next_prompt("Why?"), "# Question:\nWhy?\n\n# Answer:\n");
}

TEST(Chat, an_unknown_format_is_refused) { EXPECT_THROW(chat_format("bob"), Error); }

}  // namespace
}  // namespace wkv
