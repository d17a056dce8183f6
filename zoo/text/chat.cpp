#include "wkv/zoo/chat.h"

#include <fmt/format.h>

#include <utility>

#include "text/overlap.h"
#include "wkv/error.h"

namespace wkv {
namespace {

constexpr std::string_view kUser = "User: ";
constexpr std::string_view kNextUser = "\n\nUser: ";

// Without space at the ends, "\r\n" as "\n", and runs of newlines as one.
std::string turn_text(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && text[i + 1] == '\n') continue;
    if (text[i] == '\n' && result.ends_with('\n')) continue;
    result += text[i];
  }
  return result;
}

}  // namespace

ChatFormat chat_format(const std::string& name) {
  if (name == "plain") return {.opening = "", .stop = {"\n\n"}};
  // An answer with reasoning has blank lines of its own.
  if (name == "think") return {.opening = " <think", .stop = {"\n\nUser:"}};
  if (name == "fast") return {.opening = " <think>\n</think", .stop = {"\n\nUser:"}};
  throw Error(ErrorCode::invalid_argument, fmt::format("chat format {}: not one of plain, think, fast", name));
}

ChatSession::ChatSession(ChatFormat format, std::string_view system) : format_(std::move(format)) {
  if (!system.empty()) next_ = fmt::format("System: {}\n\n", turn_text(system));
  next_ += kUser;
}

std::string ChatSession::next_prompt(std::string_view user) {
  return std::exchange(next_, kNextUser) + turn_text(user) + "\n\nAssistant:" + format_.opening;
}

void ChatSession::heard(std::string_view answer) { next_ = kNextUser.substr(overlap(answer, kNextUser)); }

}  // namespace wkv
