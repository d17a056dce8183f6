// The published prompt formats of the chat models: what a model has to read for its next answer.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"

namespace wkv {

struct ChatFormat {
  std::string opening;  // behind `after`, for the model to go on from; a reader wants to see it before the answer
  std::vector<std::string> stop;  // GenerateOptions::stop; the end-of-text token ends an answer too
  std::string before = "User: ", after = "\n\nAssistant:";  // a user's text
};

// Of the World and G1 models, "plain": an answer of one paragraph. "think": G1 models reason between <think> and
// </think> first; "fast": they answer at once (the answer begins with the `>` that completes the opening's tag).
// Of others a template with {} for the user's text, "Bob: {}\n\nAlice:"; what follows its last colon is the opening.
// Throws wkv::Error for what is neither.
WKV_API ChatFormat chat_format(const std::string& name_or_template);

// Formats a conversation, turn by turn, for a model that keeps its state in between.
//
//   wkv::ChatSession chat(wkv::chat_format("plain"));
//   auto result = wkv::generate(*model, *tokenizer, chat.next_prompt(line), options, context, print);
//   chat.heard(tokenizer->decode(result.tokens));
//   context = result.context;
class WKV_API ChatSession {
 public:
  explicit ChatSession(ChatFormat format, std::string_view system = {});

  // The user's text is trimmed and its runs of newlines become one: a blank line ends a turn.
  std::string next_prompt(std::string_view user);
  // Everything that the model wrote since then and has read itself, stop string included: the next prompt goes on from
  // there.
  void heard(std::string_view answer);

 private:
  ChatFormat format_;
  std::string next_user_;  // what comes between an answer and the user's next text
  std::string next_;       // what of it is still to be read
};

}  // namespace wkv
