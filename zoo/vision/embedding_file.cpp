// save_embeddings, load_embeddings: vectors and their names as .safetensors, or as .npy with a text file beside it.
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "vision/npy_file.h"
#include "wkv/error.h"
#include "wkv/zoo/embeddings.h"
#include "wkv/zoo/tensor_source.h"
#include "wkv/zoo/utf8.h"

namespace wkv::zoo {
namespace {

namespace fs = std::filesystem;

fs::path names_beside(const fs::path& npy) { return fs::path(npy).replace_extension(".names.txt"); }

bool is_npy(const fs::path& path) { return path.extension() == ".npy"; }

std::string join_names(const std::vector<std::string>& names, const fs::path& path) {
  std::string text;
  for (const std::string& name : names) {
    if (name.find('\n') != std::string::npos) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the name \"{}\" has a newline", path.string(), printable(name)));
    }
    text.append(name).push_back('\n');
  }
  return text;
}

std::vector<std::string> split_names(std::string_view text, int64_t rows, const fs::path& path) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (static_cast<int64_t>(names.size()) != rows) {
    throw Error(ErrorCode::corrupt_file,
                fmt::format("{}: {} names for {} embeddings", path.string(), names.size(), rows));
  }
  return names;
}

void check_vectors(const at::Tensor& vectors, const fs::path& path) {
  if (!vectors.defined() || vectors.dim() != 2 || !vectors.is_floating_point()) {
    throw Error(ErrorCode::shape_mismatch,
                fmt::format("{}: embeddings: expected a floating-point matrix [n, C], got {}", path.string(),
                            vectors.defined() ? fmt::format("{} [{}]", c10::toString(vectors.scalar_type()),
                                                            fmt::join(vectors.sizes(), ", "))
                                              : "none"));
  }
}

Embeddings load_npy_embeddings(const fs::path& path) {
  Embeddings embeddings{.vectors = load_npy(path)};
  check_vectors(embeddings.vectors, path);
  const int64_t rows = embeddings.vectors.size(0);
  const fs::path beside = names_beside(path);
  if (fs::exists(beside) && fs::file_size(beside) > 0) {
    const auto file = MappedFile::open(beside);
    const auto bytes = file->bytes();
    embeddings.names = split_names({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, rows, beside);
  } else {
    for (int64_t row = 0; row < rows; ++row) embeddings.names.push_back(std::to_string(row));
  }
  return embeddings;
}

Embeddings load_safetensors_embeddings(const fs::path& path) {
  const TensorSource source = open_tensors(path);
  const TensorEntry* vectors = source.find("embeddings");
  const TensorEntry* names = source.find("names");
  if (!vectors || !names || names->dtype != at::kByte || names->shape.size() != 1) {
    throw Error(
        ErrorCode::unsupported_format,
        fmt::format("{}: expected the tensors \"embeddings\" and \"names\" (uint8) of `wkv embed`", path.string()));
  }
  Embeddings embeddings{.vectors = as_tensor(*vectors)};
  check_vectors(embeddings.vectors, path);
  const at::Tensor bytes = as_tensor(*names).contiguous();
  const std::string_view text(static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel()));
  embeddings.names = split_names(text, embeddings.vectors.size(0), path);
  return embeddings;
}

}  // namespace

void require_embedding_path(const std::string& path) {
  if (const fs::path suffix = fs::path(path).extension(); suffix != ".npy" && suffix != ".safetensors") {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: expected a name that ends in .safetensors or .npy", path));
  }
}

void save_embeddings(const std::string& path, const Embeddings& embeddings) {
  require_embedding_path(path);
  check_vectors(embeddings.vectors, path);
  if (static_cast<int64_t>(embeddings.names.size()) != embeddings.vectors.size(0)) {
    throw Error(ErrorCode::shape_mismatch, fmt::format("{}: {} names for {} embeddings", path, embeddings.names.size(),
                                                       embeddings.vectors.size(0)));
  }
  const std::string names = join_names(embeddings.names, path);
  const at::Tensor vectors = embeddings.vectors.detach().cpu().to(at::kFloat).contiguous();
  if (is_npy(path)) {
    AtomicFile names_file(names_beside(path)), array_file(path);
    names_file.write(names);
    write_npy(array_file, vectors);
    names_file.commit();
    array_file.commit();
    return;
  }
  const at::Tensor bytes = at::empty({static_cast<int64_t>(names.size())}, at::kByte);
  std::ranges::copy(names, bytes.data_ptr<uint8_t>());
  write_safetensors(path, {{"embeddings", vectors}, {"names", bytes}});
}

Embeddings load_embeddings(const std::string& path) {
  Embeddings embeddings = is_npy(path) ? load_npy_embeddings(path) : load_safetensors_embeddings(path);
  embeddings.vectors = embeddings.vectors.to(at::kFloat);
  return embeddings;
}

}  // namespace wkv::zoo
