// From a name or a path to a tokenizer: where vocabulary files are looked for.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "text/bytes_tokenizer.h"
#include "text/world_tokenizer.h"
#include "text/world_vocabulary.h"
#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr std::array<std::string_view, 3> kPlannedTokenizers = {"gpt-neox-20b", "gpt2", "clip"};
// The published file has 1.1 MB; the bound keeps a device or a wrong file from filling the memory.
constexpr std::uintmax_t kMaxVocabularyBytes = 16 << 20;

std::vector<fs::path> tokenizer_folders() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  std::vector<fs::path> folders;
  if (const fs::path folder = variable("WKV_TOKENIZERS"); !folder.empty()) folders.push_back(folder);
  if (const fs::path data = variable("XDG_DATA_HOME"); !data.empty()) {
    folders.push_back(data / "wkv/tokenizers");
  } else if (const fs::path home = variable("HOME"); !home.empty()) {
    folders.push_back(home / ".local/share/wkv/tokenizers");
  }
  return folders;
}

fs::path find_world_file() {
  const std::vector<fs::path> folders = tokenizer_folders();
  for (const fs::path& folder : folders) {
    std::error_code ignored;
    if (fs::is_regular_file(folder / kWorldFile, ignored)) return folder / kWorldFile;
  }
  std::string places;
  for (const fs::path& folder : folders) places += (places.empty() ? "" : " or ") + folder.string();
  throw Error(ErrorCode::not_found, fmt::format("tokenizer world: {} is not in {}; put it there, or give its path",
                                                kWorldFile, places.empty() ? "$WKV_TOKENIZERS (not set)" : places));
}

std::string read_vocabulary_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: not a file that can hold a vocabulary", path.string()));
  }
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > kMaxVocabularyBytes) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: too large for a World vocabulary ({} bytes)", path.string(), size));
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(content.data(), static_cast<std::streamsize>(size))) {
    throw Error(ErrorCode::not_found, fmt::format("{}: can't be read", path.string()));
  }
  return content;
}

}  // namespace

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return std::make_shared<BytesTokenizer>();
  if (std::ranges::find(kPlannedTokenizers, name_or_path) != kPlannedTokenizers.end()) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("tokenizer {}: not available in this version (it has bytes and world)", name_or_path));
  }
  const fs::path path = name_or_path == "world" ? find_world_file() : fs::path(name_or_path);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw Error(ErrorCode::not_found,
                fmt::format("tokenizer {}: neither a file nor one of the names bytes, world", name_or_path));
  }
  return std::make_shared<WorldTokenizer>(parse_world_vocabulary(read_vocabulary_file(path), path.string()));
}

}  // namespace wkv::zoo
