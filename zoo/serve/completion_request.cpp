#include "serve/completion_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/printable.h"
#include "serve/api_error.h"
#include "serve/chat_prompt.h"
#include "serve/json_fields.h"
#include "text/model_fit.h"

namespace wkv::serve {
namespace {

bool all_integers(const nlohmann::json& list) {
  return !list.empty() &&
         std::ranges::all_of(list, [](const nlohmann::json& item) { return item.is_number_integer(); });
}

std::vector<int64_t> token_list(const nlohmann::json& list, const ServedModel& model) {
  std::vector<int64_t> tokens;
  for (const nlohmann::json& item : list) {
    // An unsigned number beyond int64 becomes negative.
    const int64_t token = item.is_number_integer() ? item.get<int64_t>() : -1;
    if (token < 0 || token >= model.vocab_size)
      throw ApiError(400, fmt::format("prompt: tokens are integers in 0..{}", model.vocab_size - 1), "prompt");
    tokens.push_back(token);
  }
  return tokens;
}

// A string, a list of strings, a list of tokens, or a list of such lists.
std::vector<std::vector<int64_t>> prompts_of(const nlohmann::json* prompt, const ServedModel& model,
                                             const RequestLimits& limits) {
  if (!prompt) throw ApiError(400, "prompt: is missing", "prompt");
  std::vector<std::vector<int64_t>> prompts;
  const auto add = [&](const nlohmann::json& one) {
    if (one.is_string()) {
      prompts.push_back(model.tokenizer.encode(one.get_ref<const std::string&>()));
    } else if (one.is_array()) {
      prompts.push_back(token_list(one, model));
    } else {
      throw ApiError(400, "prompt: must be a string, a list of strings, or a list of tokens", "prompt");
    }
  };
  if (!prompt->is_array() || all_integers(*prompt)) {
    add(*prompt);
    return prompts;
  }
  if (prompt->empty() || static_cast<int64_t>(prompt->size()) > limits.max_choices)
    throw ApiError(400, fmt::format("prompt: a list of 1 to {} prompts", limits.max_choices), "prompt");
  for (const nlohmann::json& one : *prompt) add(one);
  return prompts;
}

std::vector<std::string> stops_of(const nlohmann::json* stop) {
  if (!stop) return {};
  const nlohmann::json list = stop->is_array() ? *stop : nlohmann::json::array({*stop});
  if (list.size() > kMaxStops) throw ApiError(400, fmt::format("stop: {} strings at most", kMaxStops), "stop");
  std::vector<std::string> stops;
  for (const nlohmann::json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        item.get_ref<const std::string&>().size() > kMaxStopBytes) {
      throw ApiError(400, fmt::format("stop: a string, or a list of strings, of 1 to {} bytes", kMaxStopBytes), "stop");
    }
    stops.push_back(item.get<std::string>());
  }
  return stops;
}

void require_model(const std::optional<std::string>& name, const ServedModel& model) {
  if (!name) throw ApiError(400, fmt::format("model: is missing; here it is \"{}\"", model.name), "model");
  if (*name == model.name) return;
  throw ApiError(404, fmt::format("there is no model \"{}\" here, only \"{}\"", zoo::printable(*name), model.name),
                 "model", "model_not_found");
}

// OpenAI's defaults, and ours beyond them.
GenerateOptions options_of(JsonFields& fields, int64_t default_tokens, const RequestLimits& limits) {
  GenerateOptions options;
  auto& sampler = options.sampler;
  const auto max_tokens = fields.integer("max_tokens", 1, limits.max_tokens);
  const auto max_completion_tokens = fields.integer("max_completion_tokens", 1, limits.max_tokens);
  options.max_tokens = max_completion_tokens.value_or(max_tokens.value_or(std::min(default_tokens, limits.max_tokens)));
  sampler.temperature = fields.number("temperature", 0, 2).value_or(sampler.temperature);
  sampler.top_p = fields.number("top_p", 0, 1).value_or(sampler.top_p);
  sampler.top_k = fields.integer("top_k", 0, INT32_MAX).value_or(sampler.top_k);
  sampler.presence_penalty = fields.number("presence_penalty", -2, 2).value_or(sampler.presence_penalty);
  sampler.frequency_penalty = fields.number("frequency_penalty", -2, 2).value_or(sampler.frequency_penalty);
  sampler.penalty_decay = fields.number("penalty_decay", 0, 1).value_or(sampler.penalty_decay);
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX)) options.seed = static_cast<std::uint64_t>(*seed);
  options.stop = stops_of(fields.find("stop"));
  return options;
}

void refuse_unsupported(JsonFields& fields) {
  fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                 "parallel_tool_calls"});  // clients send them, and they ask for nothing that shows
  fields.only("response_format", nlohmann::json::object({{"type", "text"}}));
  fields.only("modalities", nlohmann::json::array({"text"}));
  fields.only("tool_choice", "none");
  for (const char* flag : {"logprobs", "echo"}) fields.only(flag, false);
  for (const char* name : {"tools", "functions", "function_call", "logit_bias", "suffix", "top_logprobs", "audio",
                           "prediction", "reasoning_effort", "verbosity", "web_search_options"}) {
    fields.only(name, nullptr);
  }
  fields.refuse_others();
}

}  // namespace

CompletionRequest parse_completion_request(Endpoint endpoint, std::string_view body, const ServedModel& model,
                                           const RequestLimits& limits) {
  const nlohmann::json object = parse_json_object(body);
  JsonFields fields(object);
  require_model(fields.text("model"), model);
  CompletionRequest request{endpoint};
  request.n = fields.integer("n", 1, limits.max_choices).value_or(1);
  request.stream = fields.boolean("stream").value_or(false);
  if (const nlohmann::json* stream_options = fields.find("stream_options")) {
    if (!request.stream || !stream_options->is_object())
      throw ApiError(400, "stream_options: an object, only with \"stream\": true", "stream_options");
    JsonFields of_stream(*stream_options);
    request.include_usage = of_stream.boolean("include_usage").value_or(false);
    of_stream.ignore({"include_obfuscation"});
    of_stream.refuse_others();
  }
  const bool chat = endpoint == Endpoint::chat_completions;
  request.options = options_of(fields, chat ? limits.max_tokens : 16, limits);
  const nlohmann::json* input = fields.find(chat ? "messages" : "prompt");
  if (!chat) fields.only("best_of", request.n);
  refuse_unsupported(fields);

  if (chat) {
    if (!input) throw ApiError(400, "messages: is missing", "messages");
    request.prompts.push_back(chat_prompt(*input, model.chat_format, model.tokenizer));
    const std::vector<std::string>& stops = model.chat_format.stop;
    request.options.stop.insert(request.options.stop.end(), stops.begin(), stops.end());
    request.opening = model.chat_format.opening;
  } else {
    request.prompts = prompts_of(input, model, limits);
  }
  if (request.choices() > limits.max_choices) {
    throw ApiError(400,
                   fmt::format("n: {} prompts times {} are more than {} answers", request.prompts.size(), request.n,
                               limits.max_choices),
                   "n");
  }
  for (const auto& prompt : request.prompts) {
    if (static_cast<int64_t>(prompt.size()) > limits.max_prompt_tokens) {
      throw ApiError(400,
                     fmt::format("the prompt has {} tokens, more than {}", prompt.size(), limits.max_prompt_tokens),
                     chat ? "messages" : "prompt", "context_length_exceeded");
    }
    zoo::require_fit(model.tokenizer, prompt, model.vocab_size, "prompt");
  }
  return request;
}

}  // namespace wkv::serve
