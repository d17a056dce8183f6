// What a name that isn't one is answered with.
#pragma once
#include <string>

#include "wkv/error.h"

namespace wkv::zoo {

// not_found, with the names of the catalogue that are nearest.
Error unknown_model(const std::string& path_or_name);

}  // namespace wkv::zoo
