#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/completion_request.h"
#include "serve_errors.h"

namespace wkv::serve {
namespace {

using testing::ElementsAre;

class ServeRequest : public testing::Test {
 protected:
  CompletionRequest parse(const std::string& fields, Endpoint endpoint = Endpoint::completions) {
    const bool chat = endpoint == Endpoint::chat_completions;
    const std::string input = chat ? R"("messages":[{"role":"user","content":"a"}])" : R"("prompt":"ab")";
    nlohmann::json body = nlohmann::json::parse("{\"model\":\"m\"," + input + "}");
    body.update(nlohmann::json::parse(fields));
    return parse_completion_request(endpoint, body.dump(), {"m", *bytes_, 256, chat_format("plain")}, limits_);
  }
  ApiError refused(const std::string& fields, Endpoint endpoint = Endpoint::completions) {
    return refusal([&] { parse(fields, endpoint); });
  }
  std::shared_ptr<const zoo::Tokenizer> bytes_ = zoo::load_tokenizer("bytes");
  RequestLimits limits_{.max_tokens = 100, .max_prompt_tokens = 50, .max_choices = 4};
};

TEST_F(ServeRequest, defaults_are_those_of_the_api) {
  const CompletionRequest request = parse("{}");
  EXPECT_THAT(request.prompts, ElementsAre(ElementsAre('a', 'b')));
  EXPECT_EQ(request.n, 1);
  EXPECT_EQ(request.options.max_tokens, 16);
  EXPECT_EQ(request.options.sampler, zoo::SamplerOptions());
  EXPECT_FALSE(request.options.seed || request.stream || request.include_usage);
  EXPECT_EQ(parse("{}", Endpoint::chat_completions).options.max_tokens, 100);
}

TEST_F(ServeRequest, every_parameter_arrives) {
  const CompletionRequest request = parse(
      R"({"max_tokens":7,"temperature":0.5,"top_p":0.25,"top_k":3,"presence_penalty":-1,"frequency_penalty":1.5,
          "penalty_decay":0.9,"seed":-2,"stop":["x","y"],"n":2,"stream":true,"stream_options":{"include_usage":true}})");
  const auto& sampler = request.options.sampler;
  EXPECT_EQ(request.options.max_tokens, 7);
  EXPECT_EQ(sampler.temperature, 0.5);
  EXPECT_EQ(sampler.top_p, 0.25);
  EXPECT_EQ(sampler.top_k, 3);
  EXPECT_EQ(sampler.presence_penalty, -1);
  EXPECT_EQ(sampler.frequency_penalty, 1.5);
  EXPECT_EQ(sampler.penalty_decay, 0.9);
  EXPECT_EQ(request.options.seed, static_cast<std::uint64_t>(-2));
  EXPECT_THAT(request.options.stop, ElementsAre("x", "y"));
  EXPECT_EQ(request.n, 2);
  EXPECT_TRUE(request.stream && request.include_usage);
}

TEST_F(ServeRequest, a_prompt_is_text_or_tokens_or_a_list_of_them) {
  EXPECT_THAT(parse(R"({"prompt":["a","bc"]})").prompts, ElementsAre(ElementsAre('a'), ElementsAre('b', 'c')));
  EXPECT_THAT(parse(R"({"prompt":[97,98]})").prompts, ElementsAre(ElementsAre(97, 98)));
  EXPECT_THAT(parse(R"({"prompt":[[97],[98]]})").prompts, ElementsAre(ElementsAre(97), ElementsAre(98)));
}

TEST_F(ServeRequest, a_chat_ends_where_its_format_says) {
  const CompletionRequest request = parse(R"({"stop":"x","max_completion_tokens":5})", Endpoint::chat_completions);
  EXPECT_THAT(request.options.stop, ElementsAre("x", "\n\n"));
  EXPECT_EQ(request.options.max_tokens, 5);
}

TEST_F(ServeRequest, every_limit_names_its_parameter) {
  const std::string long_text(51, 'a');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"max_tokens":0})", "max_tokens"},
      {R"({"max_tokens":101})", "max_tokens"},
      {R"({"max_tokens":"5"})", "max_tokens"},
      {R"({"temperature":-0.1})", "temperature"},
      {R"({"temperature":2.1})", "temperature"},
      {R"({"top_p":1.5})", "top_p"},
      {R"({"top_k":-1})", "top_k"},
      {R"({"presence_penalty":3})", "presence_penalty"},
      {R"({"frequency_penalty":-3})", "frequency_penalty"},
      {R"({"penalty_decay":2})", "penalty_decay"},
      {R"({"seed":1.5})", "seed"},
      {R"({"n":0})", "n"},
      {R"({"n":5})", "n"},
      {R"({"n":3,"prompt":["a","b"]})", "n"},
      {R"({"prompt":["a","b","c","d","e"]})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":[1,"a"]})", "prompt"},
      {R"({"prompt":[256]})", "prompt"},
      {R"({"prompt":[-1]})", "prompt"},
      {R"({"prompt":[18446744073709551615]})", "prompt"},
      {R"({"prompt":[[1],[2.5]]})", "prompt"},
      {R"({"prompt":")" + long_text + "\"}", "prompt"},
      {R"({"stop":["1","2","3","4","5","6","7","8","9","0","1","2","3","4","5","6","7"]})", "stop"},
      {R"({"stop":""})", "stop"},
      {R"({"stop":[1]})", "stop"},
      {R"({"stop":")" + std::string(kMaxStopBytes + 1, 'a') + "\"}", "stop"},
      {R"({"stream":1})", "stream"},
      {R"({"stream_options":{"include_usage":true}})", "stream_options"},
      {R"({"model":null})", "model"},
      {R"({"model":3})", "model"},
      {R"({"messages":[]})", "messages"},
  };
  for (const auto& [fields, param] : cases) {
    const ApiError error = refused(fields);
    EXPECT_EQ(error.status, 400) << fields;
    EXPECT_EQ(error.param, param) << fields << error.what();
  }
}

TEST_F(ServeRequest, what_has_a_meaning_and_is_not_supported_is_refused) {
  for (const char* fields :
       {R"({"tools":[{"type":"function"}]})", R"({"logprobs":true})", R"({"top_logprobs":2})",
        R"({"response_format":{"type":"json_object"}})", R"({"logit_bias":{"50":1}})", R"({"reasoning_effort":"low"})",
        R"({"tool_choice":"required"})", R"({"modalities":["audio"]})", R"({"functions":[{}]})"}) {
    EXPECT_EQ(refused(fields, Endpoint::chat_completions).status, 400) << fields;
  }
  for (const char* fields : {R"({"echo":true})", R"({"suffix":"x"})", R"({"best_of":3})", R"({"logprobs":2})"})
    EXPECT_EQ(refused(fields).status, 400) << fields;
}

TEST_F(ServeRequest, what_clients_send_without_a_meaning_here_is_ignored) {
  EXPECT_NO_THROW(parse(R"({"user":"u","logit_bias":{},"tools":[],"logprobs":false,"metadata":{"a":"b"},"n":null,
                            "response_format":{"type":"text"},"parallel_tool_calls":true,"tool_choice":"none"})",
                        Endpoint::chat_completions));
  EXPECT_NO_THROW(parse(R"({"best_of":2,"n":2,"echo":false,"suffix":null})"));
}

TEST_F(ServeRequest, another_model_is_not_found) {
  const ApiError error = refused(R"({"model":"gpt-4"})");
  EXPECT_EQ(error.status, 404);
  EXPECT_EQ(error.code, "model_not_found");
}

}  // namespace
}  // namespace wkv::serve
