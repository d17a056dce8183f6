#include "wkv/zoo/chat.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "text/overlap.h"
#include "wkv/error.h"

namespace wkv {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kTurnEnd = "\n\n";

const std::map<std::string, std::string>& named_formats() {
  static const std::map<std::string, std::string> templates = {
      {"plain", "User: {}\n\nAssistant:"},
      {"think", "User: {}\n\nAssistant: <think"},
      {"fast", "User: {}\n\nAssistant: <think>\n</think"},
  };
  return templates;
}

// Without space at the ends, "\r\n" as "\n", and runs of newlines as one.
std::string turn_text(std::string_view text) {
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

ChatFormat chat_format(const std::string& name_or_template) {
  const auto named = named_formats().find(name_or_template);
  const std::string& turn = named == named_formats().end() ? name_or_template : named->second;
  const std::size_t place = turn.find("{}");
  if (place == std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("chat format {}: neither one of plain, think, fast nor a text with {{}} in it", turn));
  }
  ChatFormat format{.before = turn.substr(0, place), .after = turn.substr(place + 2)};
  const std::size_t colon = format.after.rfind(':');
  if (colon != std::string::npos && format.after.find_first_not_of(kSpace, colon + 1) != std::string::npos) {
    format.opening = format.after.substr(colon + 1);
    format.after.resize(colon + 1);
  }
  // An answer with reasoning has blank lines of its own: only the user's next turn ends it.
  const std::string_view user(format.before.data(), format.before.find_last_not_of(kSpace) + 1);
  format.stop = {std::string(kTurnEnd).append(format.opening.empty() ? "" : user)};
  return format;
}

ChatSession::ChatSession(ChatFormat format, std::string_view system)
    : format_(std::move(format)), next_user_(fmt::format("{}{}", kTurnEnd, format_.before)) {
  if (!system.empty()) next_ = fmt::format("System: {}{}", turn_text(system), kTurnEnd);
  next_ += format_.before;
}

std::string ChatSession::next_prompt(std::string_view user) {
  return std::exchange(next_, next_user_) + turn_text(user) + format_.after + format_.opening;
}

void ChatSession::heard(std::string_view answer) { next_ = next_user_.substr(overlap(answer, next_user_)); }

}  // namespace wkv
