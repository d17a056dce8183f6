// A request that is refused, as OpenAI's API says it.
#pragma once
#include <stdexcept>
#include <string>

#include "wkv/export.h"

namespace wkv::serve {

struct WKV_API ApiError : std::runtime_error {
  ApiError(int status_, const std::string& message, std::string param_ = {}, std::string code_ = {})
      : std::runtime_error(message), status(status_), param(std::move(param_)), code(std::move(code_)) {}

  int status;         // of HTTP
  std::string param;  // the field of the request that is at fault; may be empty
  std::string code;   // "model_not_found", ...; may be empty

  // {"error": {"message", "type", "param", "code"}}
  std::string json() const;
};

}  // namespace wkv::serve
