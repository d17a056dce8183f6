#include "catalogue/fetch_all.h"

#include "wkv/zoo/catalogue.h"

namespace wkv::zoo {

std::vector<std::filesystem::path> fetch_all(const std::vector<RemoteFile>& files, const FetchProgress& progress) {
  std::vector<std::filesystem::path> paths;
  for (const RemoteFile& file : files) paths.push_back(fetch(file, progress));
  return paths;
}

std::vector<std::filesystem::path> fetch_data(std::string_view kind, std::string_view name,
                                              const FetchProgress& progress) {
  const auto card = find_data(kind, name);
  return card ? fetch_all(card->files, progress) : std::vector<std::filesystem::path>();
}

}  // namespace wkv::zoo
