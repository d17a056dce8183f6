#include "serve/completion_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

namespace wkv::serve {
namespace {

using Json = nlohmann::ordered_json;

std::string new_id(const char* prefix) {
  std::random_device random;
  return fmt::format("{}-{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string trim_left(std::string_view text) {
  return std::string(text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())));
}

Json or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::string event_of(const std::string& json) { return "data: " + json + "\n\n"; }

}  // namespace

CompletionAnswer::CompletionAnswer(const CompletionRequest& request, std::string model_name)
    : chat_(request.endpoint == Endpoint::chat_completions),
      stream_(request.stream),
      include_usage_(request.include_usage),
      opening_(trim_left(request.opening)),
      model_name_(std::move(model_name)),
      id_(new_id(chat_ ? "chatcmpl" : "cmpl")),
      created_(unix_seconds()),
      n_(request.n),
      choices_(static_cast<std::size_t>(request.choices())),
      open_(choices_.size()) {}

// What is to be seen of a piece: a chat's answer has no space before its first word.
std::string CompletionAnswer::shown(Choice& choice, const std::string& piece) const {
  if (!chat_ || choice.begun) return piece;
  const std::string text = opening_.empty() ? trim_left(piece) : opening_ + piece;
  choice.begun = !text.empty();
  return text;
}

std::string CompletionAnswer::push(const Progress& progress) {
  if (progress.finish_reason == "error") error_.emplace(500, progress.error);
  if (progress.finish_reason == "cancelled") error_.emplace(503, "the server is shutting down");
  if (error_) return stream_ ? event_of(error_->json()) : "";
  Choice& choice = choices_[progress.text];
  const bool ended = !progress.finish_reason.empty();
  const bool first = chat_ && !choice.begun;
  const std::string text = shown(choice, progress.piece);
  if (ended) {
    choice.finish_reason = progress.finish_reason == "length" ? "length" : "stop";
    generated_tokens_ += progress.generated_tokens;
    if (static_cast<int64_t>(progress.text) % n_ == 0) {  // the prompt's other texts read it no more
      prompt_tokens_ += progress.prompt_tokens;
      cached_tokens_ += progress.cached_tokens;
    }
    --open_;
  }
  if (!stream_) {
    choice.text += text;
    return {};
  }
  std::string events;
  if (chat_) {
    Json delta = Json::object();
    if (first && (choice.begun || ended)) delta["role"] = "assistant";
    if (!text.empty() || delta.contains("role")) delta["content"] = text;
    if (!delta.empty()) events += event(progress.text, delta, false);
    if (ended) events += event(progress.text, Json::object(), true);
  } else if (!text.empty() || ended) {
    events += event(progress.text, text, ended);
  }
  if (open_ == 0) {
    if (include_usage_) {
      Json last = frame(".chunk");
      last["choices"] = Json::array();
      last["usage"] = usage();
      events += event_of(last.dump());
    }
    events += event_of("[DONE]");
  }
  return events;
}

Json CompletionAnswer::frame(const char* suffix) const {
  const std::string object = chat_ ? std::string("chat.completion") + suffix : "text_completion";
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_name_}};
}

Json CompletionAnswer::usage() const {
  return {{"prompt_tokens", prompt_tokens_},
          {"completion_tokens", generated_tokens_},
          {"total_tokens", prompt_tokens_ + generated_tokens_},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens_}}}};
}

std::string CompletionAnswer::event(std::size_t index, const Json& delta, bool last) const {
  Json choice = {{"index", index}, {chat_ ? "delta" : "text", delta}, {"logprobs", nullptr}};
  choice["finish_reason"] = last ? Json(choices_[index].finish_reason) : Json();
  Json chunk = frame(".chunk");
  chunk["choices"] = Json::array({choice});
  if (include_usage_) chunk["usage"] = nullptr;
  return event_of(chunk.dump());
}

std::string CompletionAnswer::json() const {
  Json answer = frame("");
  answer["choices"] = Json::array();
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    Json choice = {{"index", i}};
    if (chat_) {
      choice["message"] = {{"role", "assistant"}, {"content", choices_[i].text}, {"refusal", nullptr}};
    } else {
      choice["text"] = choices_[i].text;
    }
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = or_null(choices_[i].finish_reason);
    answer["choices"].push_back(choice);
  }
  answer["usage"] = usage();
  return answer.dump();
}

}  // namespace wkv::serve
