// The answer to a request for completions, as it grows: OpenAI's JSON, whole or as server-sent events.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "serve/api_error.h"
#include "serve/completion_request.h"
#include "serve/engine.h"
#include "wkv/export.h"

namespace wkv::serve {

class WKV_API CompletionAnswer {
 public:
  CompletionAnswer(const CompletionRequest& request, std::string model_name);

  // Takes the news of one text. Returns the events that tell it; none where the answer is sent as a whole. After the
  // news of an error, or of a text that was cancelled, nothing more comes.
  std::string push(const Progress& progress);
  bool streamed() const { return stream_; }
  bool ended() const { return error_ || open_ == 0; }
  const std::optional<ApiError>& error() const { return error_; }
  std::string json() const;  // once it has ended without an error: the whole answer

 private:
  struct Choice {
    std::string text, finish_reason;
    bool begun = false;
  };
  nlohmann::ordered_json frame(const char* suffix) const;
  nlohmann::ordered_json usage() const;
  std::string event(std::size_t index, const nlohmann::ordered_json& delta, bool last) const;
  std::string shown(Choice& choice, const std::string& piece) const;

  const bool chat_, stream_, include_usage_;
  const std::string opening_, model_name_, id_;
  const int64_t created_, n_;
  std::vector<Choice> choices_;
  std::size_t open_;  // choices that go on
  int64_t prompt_tokens_ = 0, cached_tokens_ = 0, generated_tokens_ = 0;
  std::optional<ApiError> error_;
};

}  // namespace wkv::serve
