#include "serve/chat_prompt.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "io/printable.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"

namespace wkv::serve {
namespace {

struct Message {
  std::string role, content;
};

// A string, or a list of text parts.
std::string message_content(const nlohmann::json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) throw ApiError(400, where + ": must be a string or a list of text parts", "messages");
  std::string text;
  for (const nlohmann::json& part : content) {
    if (!part.is_object() || part.value("type", nlohmann::json()) != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      throw ApiError(400, where + ": only parts {\"type\": \"text\", \"text\": ...} are supported", "messages");
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

// The messages with neighbours of one role as one.
std::vector<Message> turns_of(const nlohmann::json& messages) {
  if (!messages.is_array() || messages.empty())
    throw ApiError(400, "messages: must be a list with at least one message", "messages");
  std::vector<Message> turns;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    if (!messages[i].is_object()) throw ApiError(400, where + ": must be an object", "messages");
    JsonFields fields(messages[i]);
    std::string role = fields.text("role").value_or("");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant") {
      throw ApiError(400,
                     fmt::format("{}.role: must be system, user or assistant, got \"{}\"", where, zoo::printable(role)),
                     "messages");
    }
    for (const char* unsupported : {"tool_calls", "function_call", "audio"}) fields.only(unsupported, nullptr);
    fields.ignore({"name", "refusal", "annotations"});
    const nlohmann::json* content = fields.find("content");
    if (!content) throw ApiError(400, where + ".content: is missing", "messages");
    fields.refuse_others();
    const std::string text = message_content(*content, where + ".content");
    if (!turns.empty() && turns.back().role == role) {
      turns.back().content += "\n" + text;
      continue;
    }
    if (role == "system" && i > 0)
      throw ApiError(400, where + ": a system message can only be at the beginning", "messages");
    if (role == "assistant" && (turns.empty() || turns.back().role == "system"))
      throw ApiError(400, where + ": the first turn must be the user's", "messages");
    turns.push_back({role, text});
  }
  if (turns.back().role != "user") throw ApiError(400, "messages: the last one must be the user's", "messages");
  return turns;
}

}  // namespace

std::vector<int64_t> chat_prompt(const nlohmann::json& messages, const ChatFormat& format,
                                 const zoo::Tokenizer& tokenizer) {
  std::vector<int64_t> tokens;
  const auto append = [&](const std::string& text) {
    const std::vector<int64_t> encoded = tokenizer.encode(text);
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
  };
  const std::vector<Message> turns = turns_of(messages);
  const bool system = turns.front().role == "system";
  ChatFormat of_turns = format;
  of_turns.opening.clear();  // earlier answers hold theirs themselves
  ChatSession session(std::move(of_turns), system ? turns.front().content : "");
  for (std::size_t i = system ? 1 : 0; i < turns.size(); ++i) {
    if (turns[i].role == "user") {
      append(session.next_prompt(turns[i].content));
    } else {
      append(" " + turns[i].content);
      session.heard(turns[i].content);
    }
  }
  append(format.opening);
  return tokens;
}

}  // namespace wkv::serve
