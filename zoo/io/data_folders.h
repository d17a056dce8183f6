// Where data files of others are looked for when they are called by name.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace wkv::zoo {

// The folder that the environment's `variable` names, where it is set, then $XDG_DATA_HOME/wkv/<subfolder>, by default
// ~/.local/share/wkv/<subfolder>.
std::vector<std::filesystem::path> data_folders(const char* variable, const std::string& subfolder);

}  // namespace wkv::zoo
