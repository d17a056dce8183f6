// A request for completions as a program reads it: what OpenAI's JSON asks for, checked against every limit.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wkv/export.h"
#include "wkv/zoo/chat.h"
#include "wkv/zoo/generate.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::serve {

// What is served, and by which name.
struct ServedModel {
  std::string name;
  const zoo::Tokenizer& tokenizer;
  int64_t vocab_size;
  ChatFormat chat_format = {};
};

struct RequestLimits {
  int64_t max_tokens = 4096;          // that an answer may have
  int64_t max_prompt_tokens = 32768;  // of one prompt
  int64_t max_choices = 16;           // texts for one request: prompts times n
};
inline constexpr std::size_t kMaxStops = 16, kMaxStopBytes = 256;

enum class Endpoint { completions, chat_completions };

struct CompletionRequest {
  Endpoint endpoint;
  std::vector<std::vector<int64_t>> prompts;
  int64_t n = 1;
  GenerateOptions options = {};
  bool stream = false, include_usage = false;
  std::string opening = {};  // chat: what an answer begins with, before the model's first word

  int64_t choices() const { return n * static_cast<int64_t>(prompts.size()); }
};

// Throws ApiError: 404 for another model, 400 for everything else that can't be done as it is asked.
WKV_API CompletionRequest parse_completion_request(Endpoint endpoint, std::string_view body, const ServedModel& model,
                                                   const RequestLimits& limits);

}  // namespace wkv::serve
