#include "wkv/zoo/hub.h"

#include <fmt/format.h>

#include "hub/cache.h"
#include "hub/digest.h"
#include "hub/download.h"
#include "hub/file_lock.h"
#include "hub/http.h"
#include "hub/retries.h"
#include "hub/settings.h"
#include "hub/url.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

// What the server says of a file before it is fetched.
struct Metadata {
  std::string commit, etag = {};
  std::optional<int64_t> size = {};
};

fs::path place_of_url(const HubSettings& settings, const RemoteFile& file) {
  return settings.url_cache / *file.sha256 / file.path;
}

// Where the file is in the cache, or has to be put by hand.
fs::path place_of(const HubSettings& settings, const RemoteFile& file) {
  if (!file.url.empty()) return place_of_url(settings, file);
  const CacheEntry entry(settings.hub_cache, file);
  return entry.snapshot(entry.commit());
}

// The hub names large files by their sha256: what is in the cache under another name is another file.
bool is_whole(const fs::path& path, const RemoteFile& file) {
  std::error_code error;
  const auto size = fs::file_size(path, error);  // none: not there, a folder, or a link to nothing
  if (error || (file.size && size != static_cast<uintmax_t>(*file.size))) return false;
  const fs::path blob = fs::read_symlink(path, error).filename();
  return error || !file.sha256 || !is_lower_hex(blob.string(), 64) || blob == *file.sha256;
}

std::string url_of(const HubSettings& settings, const RemoteFile& file, const std::string& revision) {
  return fmt::format("{}/{}/resolve/{}/{}", settings.endpoint, file.repository, percent_encode(revision, false),
                     percent_encode(file.path, true));
}

std::string name_of(const RemoteFile& file) {
  return file.url.empty() ? fmt::format("{}/{}", file.repository, file.path) : file.path;
}

std::string without_quotes(std::string etag) {
  if (etag.starts_with("W/")) etag.erase(0, 2);
  if (etag.size() >= 2 && etag.starts_with('"') && etag.ends_with('"')) etag = etag.substr(1, etag.size() - 2);
  return etag;
}

Metadata ask_for(Http& http, const HubSettings& settings, const RemoteFile& file) {
  const std::string url = url_of(settings, file, file.revision);
  HttpResponse response;
  for (Retries retries(settings.retry_delay); response.status == 0;) {
    try {
      response = http.head(url, "x-repo-commit");
    } catch (const HttpError& failure) {
      retries.wait_after(failure);
    }
  }
  Metadata metadata{.commit = response.header("x-repo-commit"),
                    .etag = response.header("x-linked-etag"),
                    .size = response.number("x-linked-size")};
  if (metadata.etag.empty()) metadata.etag = response.header("etag");
  if (!metadata.size && !response.is_redirect()) metadata.size = response.number("content-length");
  metadata.etag = without_quotes(metadata.etag);
  require_valid_names(metadata.commit, metadata.etag);
  return metadata;
}

// A card that is more exact than the server is right, or the file has changed.
void require_as_in_card(const Metadata& metadata, const RemoteFile& file) {
  const bool names_sha256 = is_lower_hex(metadata.etag, 64);
  if (is_lower_hex(file.revision, 40) && metadata.commit != file.revision)
    throw Error(ErrorCode::network, fmt::format("the server answers for commit {} instead", metadata.commit));
  if (file.size && metadata.size && *file.size != *metadata.size)
    throw Error(ErrorCode::checksum,
                fmt::format("the server's file has {} bytes, the one expected {}", *metadata.size, *file.size));
  if (file.sha256 && names_sha256 && *file.sha256 != metadata.etag)
    throw Error(ErrorCode::checksum,
                fmt::format("the server's file has the sha256 {}, the one expected {}", metadata.etag, *file.sha256));
}

fs::path fetch_from_hub(Http& http, const HubSettings& settings, const RemoteFile& file, Download job) {
  const Metadata metadata = ask_for(http, settings, file);
  require_as_in_card(metadata, file);
  const CacheEntry entry(settings.hub_cache, file);
  const fs::path path = entry.snapshot(metadata.commit), blob = entry.blob(metadata.etag);
  if (is_whole(path, file)) {
    try {
      entry.set_commit(metadata.commit);
    } catch (const Error&) {  // in a cache that is only read, the server is asked each time
    }
    return path;
  }
  make_folders(blob.parent_path());
  make_folders(entry.lock(metadata.etag).parent_path());
  const FileLock lock(entry.lock(metadata.etag));
  if (!is_whole(path, file)) {
    if (!is_whole(blob, {.size = file.size ? file.size : metadata.size})) {
      job.url = url_of(settings, file, metadata.commit);  // the same contents at each try
      job.target = blob;
      if (!job.size) job.size = metadata.size;
      if (job.sha256.empty() && is_lower_hex(metadata.etag, 64)) job.sha256 = metadata.etag;
      if (job.sha256.empty() && is_lower_hex(metadata.etag, 40)) job.git_sha1 = metadata.etag;
      download(http, job);
    }
    entry.show(metadata.etag, metadata.commit);
  }
  entry.set_commit(metadata.commit);
  return path;
}

fs::path fetch_from_url(Http& http, const HubSettings& settings, const RemoteFile& file, Download job) {
  job.url = file.url;
  job.target = place_of_url(settings, file);
  make_folders(job.target.parent_path());
  const FileLock lock(job.target.string() + ".lock");
  if (!is_whole(job.target, file)) download(http, job);
  return job.target;
}

}  // namespace

std::optional<fs::path> cached(const RemoteFile& file) {
  require_valid(file);
  fs::path path = place_of(hub_settings(), file);
  if (!is_whole(path, file)) return std::nullopt;
  return path;
}

fs::path fetch(const RemoteFile& file, const FetchProgress& progress) {
  if (const auto path = cached(file)) return *path;
  const HubSettings settings = hub_settings();
  const std::string by_hand =
      fmt::format("; to go without the network, put it at {}", place_of(settings, file).string());
  if (settings.offline) {
    throw Error(ErrorCode::offline, fmt::format("{}: not in the cache, and HF_HUB_OFFLINE or WKV_OFFLINE is set{}",
                                                name_of(file), by_hand));
  }
  Download job{.size = file.size, .sha256 = file.sha256.value_or(""), .retry_delay = settings.retry_delay};
  if (progress) job.progress = [&](int64_t done, std::optional<int64_t> total) { progress(file, done, total); };
  try {
    Http http(settings);
    return file.url.empty() ? fetch_from_hub(http, settings, file, std::move(job))
                            : fetch_from_url(http, settings, file, std::move(job));
  } catch (const Error& error) {
    const bool unreachable = error.code() == ErrorCode::network || error.code() == ErrorCode::not_found;
    throw Error(error.code(), fmt::format("{}: {}{}", name_of(file), error.what(), unreachable ? by_hand : ""));
  }
}

std::optional<FetchedFile> fetched(const RemoteFile& file) {
  const auto path = cached(file);
  if (!path) return std::nullopt;
  FetchedFile result{.path = *path, .size = static_cast<int64_t>(fs::file_size(*path))};
  std::error_code not_a_link;
  const std::string blob = fs::read_symlink(*path, not_a_link).filename().string();
  if (!file.url.empty()) {
    result.sha256 = *file.sha256;
  } else {
    result.commit = CacheEntry(hub_settings().hub_cache, file).commit();
    result.sha256 = is_lower_hex(blob, 64) ? blob : sha256_of_file(*path);  // large files are named by it
  }
  return result;
}

}  // namespace wkv::zoo
