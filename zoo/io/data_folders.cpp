#include "io/data_folders.h"

#include <cstdlib>

namespace wkv::zoo {

std::vector<std::filesystem::path> data_folders(const char* variable, const std::string& subfolder) {
  namespace fs = std::filesystem;
  const auto value_of = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  std::vector<fs::path> folders;
  if (const fs::path folder = value_of(variable); !folder.empty()) folders.push_back(folder);
  if (const fs::path data = value_of("XDG_DATA_HOME"); !data.empty()) {
    folders.push_back(data / "wkv" / subfolder);
  } else if (const fs::path home = value_of("HOME"); !home.empty()) {
    folders.push_back(home / ".local/share/wkv" / subfolder);
  }
  return folders;
}

}  // namespace wkv::zoo
