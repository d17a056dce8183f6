// The files of a card on this machine.
#pragma once
#include <filesystem>
#include <string_view>
#include <vector>

#include "wkv/zoo/hub.h"

namespace wkv::zoo {

// The paths of the files, in their order, fetched where they are missing. Throws wkv::Error as fetch does.
std::vector<std::filesystem::path> fetch_all(const std::vector<RemoteFile>& files, const FetchProgress& progress = {});

// Those of the catalogue's data card; empty: there is no such card.
std::vector<std::filesystem::path> fetch_data(std::string_view kind, std::string_view name,
                                              const FetchProgress& progress = {});

}  // namespace wkv::zoo
