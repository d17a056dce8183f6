// The one exception of models and zoo: a message for the user, and a code for the program.
#pragma once
#include <stdexcept>
#include <string>

#include "wkv/export.h"

namespace wkv {

enum class ErrorCode {
  not_found,
  corrupt_file,
  unsupported_format,
  shape_mismatch,
  missing_tensor,
  network,
  checksum,
  disk_full,
  offline,
  invalid_argument,
};

class WKV_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace wkv
