// What all that write files share: which error an errno is, and renames that outlast a power failure.
#pragma once
#include <filesystem>

#include "wkv/error.h"

namespace wkv::zoo {

// disk_full, not_found (no such folder), else invalid_argument.
ErrorCode code_of_errno(int error);

// A rename reaches the disk with its folder. Some file systems cannot flush folders; the file itself is safe by then.
void flush_folder(const std::filesystem::path& folder);

}  // namespace wkv::zoo
