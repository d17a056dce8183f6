// From a name or a path to a tokenizer: where vocabulary files are looked for.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "catalogue/fetch_all.h"
#include "io/data_folders.h"
#include "io/gzip.h"
#include "text/bpe_tokenizer.h"
#include "text/bytes_tokenizer.h"
#include "text/clip_tokenizer.h"
#include "text/clip_vocabulary.h"
#include "text/merges_file.h"
#include "text/tokenizer_json.h"
#include "text/world_tokenizer.h"
#include "text/world_vocabulary.h"
#include "wkv/error.h"
#include "wkv/zoo/tokenizer.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

// A tokenizer that is read from a file, and what its publishers call that.
struct NamedTokenizer {
  std::string_view name;
  std::vector<std::string_view> files;
};

const std::vector<NamedTokenizer>& named_tokenizers() {
  static const std::vector<NamedTokenizer> tokenizers = {
      {"world", {"rwkv_vocab_v20230424.txt"}},
      {"gpt-neox-20b", {"20B_tokenizer.json"}},
      {"gpt2", {"gpt2_merges.txt", "merges.txt"}},
      {"clip", {"bpe_simple_vocab_16e6.txt.gz"}},
  };
  return tokenizers;
}

constexpr std::string_view kTokenizerNames = "bytes, world, gpt-neox-20b, gpt2, clip";
constexpr std::string_view kMergesSuffix = "merges.txt", kVocabularySuffix = "vocab.json";
// The published files have 0.5 to 2.5 MB; the bound keeps a device or a wrong file from filling the memory.
constexpr std::uintmax_t kMaxVocabularyBytes = 16 << 20;

// The file, then, from the catalogue, those that belong to it.
std::vector<fs::path> find_files(const NamedTokenizer& tokenizer, const FetchProgress& progress) {
  std::vector<std::string> places;
  for (const fs::path& folder : data_folders("WKV_TOKENIZERS", "tokenizers")) {
    for (const std::string_view file : tokenizer.files) {
      std::error_code ignored;
      if (fs::is_regular_file(folder / file, ignored)) return {folder / file};
    }
    places.push_back(folder.string());
  }
  if (places.empty()) places.emplace_back("$WKV_TOKENIZERS (not set)");
  const std::string missing = fmt::format("tokenizer {}: {} is not in {}", tokenizer.name,
                                          fmt::join(tokenizer.files, " or "), fmt::join(places, " or "));
  try {
    if (auto fetched = fetch_data("tokenizer", tokenizer.name, progress); !fetched.empty()) return fetched;
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}; {}", missing, error.what()));
  }
  throw Error(ErrorCode::not_found, missing + "; put it there, or give its path");
}

std::string read_vocabulary_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: not a file that can hold a vocabulary", path.string()));
  }
  const std::uintmax_t size = fs::file_size(path, error);
  if (error || size > kMaxVocabularyBytes) {
    throw Error(ErrorCode::unsupported_format,
                fmt::format("{}: too large for a vocabulary ({} bytes)", path.string(), size));
  }
  std::string content(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(content.data(), static_cast<std::streamsize>(size))) {
    throw Error(ErrorCode::not_found, fmt::format("{}: can't be read", path.string()));
  }
  return content;
}

fs::path vocabulary_beside(const fs::path& merges) {
  std::string name = merges.filename().string();
  name.replace(name.size() - kMergesSuffix.size(), kMergesSuffix.size(), kVocabularySuffix);
  const fs::path vocabulary = merges.parent_path() / name;
  std::error_code ignored;
  if (!fs::exists(vocabulary, ignored)) {
    throw Error(ErrorCode::not_found, fmt::format("{}: its vocabulary, {}, is not beside it", merges.string(), name));
  }
  return vocabulary;
}

std::shared_ptr<const Tokenizer> read_merges(const fs::path& path, const fs::path& vocabulary) {
  return std::make_shared<BpeTokenizer>(parse_merges_file({read_vocabulary_file(path), path.string()},
                                                          {read_vocabulary_file(vocabulary), vocabulary.string()}));
}

std::shared_ptr<const Tokenizer> read_tokenizer(const std::vector<fs::path>& files) {
  const fs::path& path = files.front();
  const std::string name = path.filename().string();
  if (name.ends_with(kMergesSuffix)) return read_merges(path, files.size() > 1 ? files[1] : vocabulary_beside(path));
  const std::string file = read_vocabulary_file(path);
  if (name.ends_with(".gz")) {
    const std::string merges = gunzip(file, path.string(), kMaxVocabularyBytes);
    return std::make_shared<ClipTokenizer>(parse_clip_vocabulary(merges, path.string()));
  }
  if (name.ends_with(".json")) return std::make_shared<BpeTokenizer>(parse_tokenizer_json(file, path.string()));
  return std::make_shared<WorldTokenizer>(parse_world_vocabulary(file, path.string()));
}

}  // namespace

std::vector<fs::path> tokenizer_files(const std::string& name, const FetchProgress& progress) {
  const auto known = std::ranges::find(named_tokenizers(), name, &NamedTokenizer::name);
  return known == named_tokenizers().end() ? std::vector<fs::path>() : find_files(*known, progress);
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::string& name_or_path) {
  if (name_or_path == "bytes") return std::make_shared<BytesTokenizer>();
  if (const auto files = tokenizer_files(name_or_path); !files.empty()) return read_tokenizer(files);
  std::error_code ignored;
  if (!fs::exists(name_or_path, ignored)) {
    throw Error(ErrorCode::not_found,
                fmt::format("tokenizer {}: neither a file nor one of the names {}", name_or_path, kTokenizerNames));
  }
  return read_tokenizer({name_or_path});
}

}  // namespace wkv::zoo
