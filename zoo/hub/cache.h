// The hub's cache on the disk, as its own programs lay it out:
//   models--OWNER--NAME/refs/REVISION              the commit that a branch or tag was when it was last asked for
//                      /blobs/ETAG                 contents, once each
//                      /snapshots/COMMIT/PATH  ->  ../../blobs/ETAG
//   .locks/models--OWNER--NAME/ETAG.lock
#pragma once
#include <filesystem>
#include <string>

#include "wkv/zoo/hub.h"

namespace wkv::zoo {

// Cards and servers are strangers: none of their names may lead out of the cache. Both throw wkv::Error.
void require_valid(const RemoteFile& file);
void require_valid_names(const std::string& commit, const std::string& etag);  // a server's

// Creates it and those above it. Throws wkv::Error, which says how another cache is chosen.
void make_folders(const std::filesystem::path& folder);

// A file's places in its repository's folder. Writing throws wkv::Error.
class CacheEntry {
 public:
  CacheEntry(const std::filesystem::path& cache, const RemoteFile& file);

  std::string commit() const;  // what refs/REVISION holds, else the revision itself
  std::filesystem::path snapshot(const std::string& commit) const;  // where the file is, or has to be put
  std::filesystem::path blob(const std::string& etag) const;
  std::filesystem::path lock(const std::string& etag) const;

  void show(const std::string& etag, const std::string& commit) const;  // a whole blob as the commit's file
  void set_commit(const std::string& commit) const;

 private:
  std::filesystem::path cache_, folder_;
  std::string revision_, path_;
};

}  // namespace wkv::zoo
