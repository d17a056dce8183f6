#pragma once
#include <string>

#include "mapping/family.h"

namespace wkv::zoo {

// The family whose names the checkpoint has; forced: only that one is asked. Throws wkv::Error: unsupported_format, or
// invalid_argument for a forced family that doesn't exist.
const Family& detect_family(const Checkpoint& checkpoint, const std::string& forced = {});

}  // namespace wkv::zoo
