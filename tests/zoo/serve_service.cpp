#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/service.h"

namespace wkv::serve {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class ServeService : public testing::Test {
 protected:
  HttpResponse response_to(const HttpRequest& request) {
    const auto outcome = service_.handle(request);
    const auto* response = std::get_if<HttpResponse>(&outcome);
    if (response) return *response;
    ADD_FAILURE() << "it was taken";
    return {};
  }
  HttpResponse get(const std::string& path) {
    return response_to({.method = "GET", .path = path, .authorization = "Bearer key"});
  }
  HttpRequest post(const std::string& body) const {
    return {.method = "POST",
            .path = "/v1/completions",
            .content_type = "application/json; charset=utf-8",
            .authorization = "Bearer key",
            .body = body};
  }
  std::shared_ptr<const zoo::Tokenizer> bytes_ = zoo::load_tokenizer("bytes");
  Metrics metrics_;
  Service service_{ServedModel{"m", *bytes_, 256}, RequestLimits{}, "key", metrics_};
};

TEST_F(ServeService, health_models_and_metrics_answer) {
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(json::parse(get("/v1/models").body)["data"][0]["id"], "m");
  EXPECT_EQ(json::parse(get("/v1/models/m").body)["object"], "model");
  EXPECT_THAT(get("/metrics").body, HasSubstr("wkv_active_texts 0"));
}

TEST_F(ServeService, what_is_not_there_is_told_in_json) {
  for (const char* path : {"/", "/v1", "/v1/embeddings", "/v1/models/other", "/health/", ""}) {
    const HttpResponse response = get(path);
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_FALSE(json::parse(response.body)["error"]["message"].get<std::string>().empty());
  }
}

TEST_F(ServeService, another_method_is_refused_with_those_that_there_are) {
  EXPECT_EQ(get("/v1/completions").status, 405);
  EXPECT_EQ(get("/v1/completions").allow, "POST");
  for (const char* method : {"POST", "OPTIONS", "DELETE"}) {
    const HttpResponse response = response_to({.method = method, .path = "/health"});
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.allow, "GET, HEAD") << method;
  }
}

TEST_F(ServeService, without_the_key_only_health_answers) {
  EXPECT_EQ(response_to({.method = "GET", .path = "/health"}).status, 200);
  for (const char* given : {"", "Bearer ", "Bearer kex", "Bearer keykey", "Bearer ke", "Basic key", "key"}) {
    for (const char* path : {"/metrics", "/v1/models"}) {
      EXPECT_EQ(response_to({.method = "GET", .path = path, .authorization = given}).status, 401) << given;
    }
    HttpRequest request = post(R"({"model":"m","prompt":"a"})");
    request.authorization = given;
    EXPECT_EQ(response_to(request).status, 401) << given;
  }
}

TEST_F(ServeService, a_completion_is_taken) {
  const auto outcome = service_.handle(post(R"({"model":"m","prompt":"a","max_tokens":3})"));
  ASSERT_TRUE(std::holds_alternative<CompletionRequest>(outcome));
  EXPECT_EQ(std::get<CompletionRequest>(outcome).options.max_tokens, 3);
}

TEST_F(ServeService, a_bad_request_is_told_in_the_apis_json) {
  const HttpResponse response = response_to(post(R"({"model":"m","prompt":"a","n":0})"));
  EXPECT_EQ(response.status, 400);
  const json error = json::parse(response.body)["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "n");
  EXPECT_TRUE(error["code"].is_null());
}

TEST_F(ServeService, a_body_that_does_not_say_it_is_json_is_refused) {
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded"}) {
    HttpRequest request = post(R"({"model":"m","prompt":"a"})");
    request.content_type = type;
    EXPECT_EQ(response_to(request).status, 415) << type;
  }
}

}  // namespace
}  // namespace wkv::serve
