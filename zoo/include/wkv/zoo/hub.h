// Files of the model hub on this machine: found in the hub's cache, or fetched into it, verified.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "wkv/export.h"

namespace wkv::zoo {

// A file of a repository on the hub, or, with a url, of anywhere else.
struct RemoteFile {
  std::string repository = {};             // "owner/name"
  std::string revision = "main";           // a branch, a tag or a commit
  std::string path = {};                   // in the repository; of a url: the name to keep it under
  std::string url = {};                    // where it isn't a file of the hub; then the sha256 must be known
  std::optional<int64_t> size = {};        // in bytes; none: unknown until it is fetched
  std::optional<std::string> sha256 = {};  // 64 lower-case hexadecimal digits; none: unknown until it is fetched
};

// Told as bytes arrive; total: none where the server doesn't say.
using FetchProgress = std::function<void(const RemoteFile& file, int64_t done, std::optional<int64_t> total)>;

// The path of the file in the cache, without asking the network; none: not there, or not whole. The cache is laid out
// like the hub's own programs lay it out ($HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub), so what
// they have fetched is found; files with a url are in $XDG_CACHE_HOME/wkv.
WKV_API std::optional<std::filesystem::path> cached(const RemoteFile& file);

// The same, fetching what is not there: resumes what an earlier run began, lets one process transfer while others wait
// for it, verifies size and sha256, and shows the file only when it is whole. Honours $HF_ENDPOINT, $HF_TOKEN (sent to
// the endpoint's host alone), $HF_HUB_OFFLINE and $WKV_OFFLINE, and the proxies that libcurl does. Throws wkv::Error:
// offline, network, not_found, checksum, disk_full, invalid_argument; the message says where the file may be put by
// hand.
WKV_API std::filesystem::path fetch(const RemoteFile& file, const FetchProgress& progress = {});

// What the cache knows of a fetched file that its card doesn't; none: it isn't cached.
struct FetchedFile {
  std::filesystem::path path;
  int64_t size = 0;
  std::string sha256 = {};
  std::string commit = {};  // of the revision when it was fetched
};
WKV_API std::optional<FetchedFile> fetched(const RemoteFile& file);

}  // namespace wkv::zoo
