// What each request means, without a word about sockets: routes, authorisation, and the answers that are ready at once.
#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "serve/api_error.h"
#include "serve/completion_request.h"
#include "serve/metrics.h"
#include "wkv/export.h"

namespace wkv::serve {

struct HttpRequest {
  std::string method, path, content_type, authorization, body;
};

struct HttpResponse {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::string allow = {};  // the methods that a path has, for 405
};

WKV_API HttpResponse error_response(const ApiError& error);

class WKV_API Service {
 public:
  // api_key: empty: everyone may ask.
  Service(ServedModel model, RequestLimits limits, std::string api_key, Metrics& metrics);

  // An answer, or what is to be generated first. Throws nothing but std::bad_alloc.
  std::variant<HttpResponse, CompletionRequest> handle(const HttpRequest& request) const;
  // The path where it is one of ours, else "other": a label for metrics.
  static std::string endpoint(const std::string& path);
  const std::string& model_name() const { return model_.name; }

 private:
  std::variant<HttpResponse, CompletionRequest> route(const HttpRequest& request) const;
  void authorize(const HttpRequest& request) const;
  std::string model_json() const;

  const ServedModel model_;
  const RequestLimits limits_;
  const std::string api_key_;
  Metrics& metrics_;
  const int64_t created_;
};

}  // namespace wkv::serve
