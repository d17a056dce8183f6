// Checkpoints in a run's output folder: each is a folder checkpoint-STEP that appears whole or not at all.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "wkv/export.h"

namespace wkv::zoo {

// The one with the most steps.
WKV_API std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& output);

// Lets `fill` write files into a temporary folder, brings them to the disk, gives the folder its name, then removes the
// older checkpoints. Returns its path. Killed anywhere, the newest checkpoint is a complete one; where `fill` throws,
// nothing of the new one stays.
WKV_API std::filesystem::path write_checkpoint(const std::filesystem::path& output, int64_t steps,
                                               const std::function<void(const std::filesystem::path& folder)>& fill);

}  // namespace wkv::zoo
