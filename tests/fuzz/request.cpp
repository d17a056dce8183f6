// Whatever a client sends to the server, the answer is one of HTTP, or what is to be generated is within the limits.
#include <cstdlib>

#include "fuzz_text.h"
#include "serve/service.h"
#include "text/bytes_tokenizer.h"
#include "wkv/zoo/utf8.h"

namespace {

using namespace wkv::serve;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_request(const CompletionRequest& request, const RequestLimits& limits) {
  require(request.n >= 1 && request.choices() >= 1 && request.choices() <= limits.max_choices);
  require(request.options.max_tokens >= 1 && request.options.max_tokens <= limits.max_tokens);
  for (const auto& prompt : request.prompts) {
    require(static_cast<int64_t>(prompt.size()) <= limits.max_prompt_tokens);
    for (const int64_t token : prompt) require(token >= 0 && token < 256);
  }
}

}  // namespace

// Input: a byte for the path and the method, then damage to a body, or a body.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const wkv::zoo::BytesTokenizer tokenizer;
  static const RequestLimits limits{.max_tokens = 100, .max_prompt_tokens = 50, .max_choices = 4};
  static Metrics metrics;
  static const Service service({"m", tokenizer, 256, wkv::chat_format("think")}, limits, "", metrics);
  static const std::string bodies[] = {
      R"({"model":"m","prompt":["ab",[1,2]],"n":2,"max_tokens":5,"temperature":0.5,"stop":["x"],"seed":-1})",
      R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"}]}],)"
      R"("stream":true,"stream_options":{"include_usage":true}})"};
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const unsigned first = size > 0 ? data[0] : 0;
  const bool chat = first & 1;
  std::string path = chat ? "/v1/chat/completions" : "/v1/completions", method = "POST";
  if (first >> 1 == 1) path = std::string(input.substr(1));
  if (first >> 1 == 2) method = std::string(input.substr(1));
  const std::string rest(input.substr(std::min<size_t>(1, size)));
  for (const std::string& body : {wkv::fuzz::damaged(bodies[chat], rest), rest}) {
    const auto outcome = service.handle({method, path, "application/json", "", body});
    if (const auto* response = std::get_if<HttpResponse>(&outcome)) {
      require(response->status >= 200 && response->status < 500 && wkv::zoo::is_valid_utf8(response->body));
    } else {
      check_request(std::get<CompletionRequest>(outcome), limits);
    }
  }
  return 0;
}
