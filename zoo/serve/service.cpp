#include "serve/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/printable.h"
#include "wkv/error.h"

namespace wkv::serve {
namespace {

struct Route {
  std::string_view path, method;
};
constexpr std::array kRoutes = {Route{"/v1/completions", "POST"}, Route{"/v1/chat/completions", "POST"},
                                Route{"/v1/models", "GET"}, Route{"/health", "GET"}, Route{"/metrics", "GET"}};
constexpr std::string_view kModelPath = "/v1/models/";

// Takes as long whatever is given, so that nobody can guess a key letter by letter.
bool same_secret(std::string_view given, std::string_view secret) {
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i)
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
  return difference == 0;
}

}  // namespace

HttpResponse error_response(const ApiError& error) { return {.status = error.status, .body = error.json()}; }

Service::Service(ServedModel model, RequestLimits limits, std::string api_key, Metrics& metrics)
    : model_(std::move(model)),
      limits_(limits),
      api_key_(std::move(api_key)),
      metrics_(metrics),
      created_(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count()) {}

std::string Service::endpoint(const std::string& path) {
  if (path.starts_with(kModelPath)) return "/v1/models";
  return std::ranges::find(kRoutes, path, &Route::path) == kRoutes.end() ? "other" : path;
}

std::variant<HttpResponse, CompletionRequest> Service::handle(const HttpRequest& request) const {
  try {
    return route(request);
  } catch (const ApiError& e) {
    return error_response(e);
  } catch (const Error& e) {  // of the tokenizer
    return error_response({400, e.what()});
  }
}

std::variant<HttpResponse, CompletionRequest> Service::route(const HttpRequest& request) const {
  const std::string path = endpoint(request.path);
  const auto* route = std::ranges::find(kRoutes, path, &Route::path);
  if (route == kRoutes.end())
    throw ApiError(404, fmt::format("there is nothing at {}", zoo::printable(request.path)), {}, "not_found");
  const bool get = route->method == "GET";
  if (request.method != route->method && !(get && request.method == "HEAD")) {
    HttpResponse refusal =
        error_response({405, fmt::format("{} takes {}", path, route->method), {}, "method_not_allowed"});
    refusal.allow = get ? "GET, HEAD" : "POST";
    return refusal;
  }
  if (path == "/health") return HttpResponse{.body = R"({"status":"ok"})"};
  authorize(request);
  if (path == "/metrics")
    return HttpResponse{.body = metrics_.prometheus(), .content_type = "text/plain; version=0.0.4"};
  if (request.path == "/v1/models")
    return HttpResponse{.body = fmt::format(R"({{"object":"list","data":[{}]}})", model_json())};
  if (path == "/v1/models") {
    const std::string name = request.path.substr(kModelPath.size());
    if (name == model_.name) return HttpResponse{.body = model_json()};
    throw ApiError(404, fmt::format("there is no model \"{}\" here, only \"{}\"", zoo::printable(name), model_.name),
                   "model", "model_not_found");
  }
  // A page in a browser can send anything else without asking.
  if (!request.content_type.starts_with("application/json"))
    throw ApiError(415, "Content-Type must be application/json");
  const Endpoint endpoint = path == "/v1/completions" ? Endpoint::completions : Endpoint::chat_completions;
  return parse_completion_request(endpoint, request.body, model_, limits_);
}

void Service::authorize(const HttpRequest& request) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (api_key_.empty()) return;
  const std::string_view given = request.authorization;
  if (given.starts_with(kBearer) && same_secret(given.substr(kBearer.size()), api_key_)) return;
  throw ApiError(401, "the API key is missing or wrong: send `Authorization: Bearer KEY`", {}, "invalid_api_key");
}

std::string Service::model_json() const {
  return nlohmann::ordered_json{{"id", model_.name}, {"object", "model"}, {"created", created_}, {"owned_by", "wkv"}}
      .dump();
}

}  // namespace wkv::serve
