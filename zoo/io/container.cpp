#include "io/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "io/layout.h"
#include "io/printable.h"
#include "io/pth_reader.h"
#include "io/safetensors_reader.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

using namespace std::string_view_literals;

struct ForeignFile {
  size_t offset;
  std::string_view magic;
  std::string_view what;
};

constexpr std::array kForeignFiles{
    ForeignFile{0, "GGUF"sv, "a GGUF file of llama.cpp; convert from the original .pth or .safetensors instead"},
    ForeignFile{0, "lmgg"sv, "a ggml file; use the original .pth or .safetensors instead"},
    ForeignFile{0, "fmgg"sv, "a ggml file of rwkv.cpp; use the original .pth or .safetensors instead"},
    ForeignFile{0, "tjgg"sv, "a ggml file; use the original .pth or .safetensors instead"},
    ForeignFile{0, "\x89HDF"sv, "an HDF5 file; save the weights as .safetensors"},
    ForeignFile{0, "\x93NUMPY"sv, "one numpy array; save the weights as .safetensors"},
    ForeignFile{0, "\x1f\x8b"sv, "compressed by gzip; unpack it first"},
    ForeignFile{0, "\x28\xb5\x2f\xfd"sv, "compressed by zstd; unpack it first"},
    ForeignFile{0,
                "\xfd"
                "7zXZ"sv,
                "compressed by xz; unpack it first"},
    ForeignFile{257, "ustar"sv,
                "a tar archive; unpack it first (or, from torch < 0.1.10, load and save it with torch)"},
};

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// The header's length takes 8 bytes, of which a real file has the last four 0; then the header's brace.
bool is_safetensors(std::string_view bytes) { return bytes.size() > 8 && bytes.substr(4, 5) == "\0\0\0\0{"sv; }

std::string_view skip_blank(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

bool is_html(std::string_view text) {
  std::string start(skip_blank(text.substr(0, 512)).substr(0, 14));
  std::ranges::transform(start, start.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<?xml");
}

[[noreturn]] void refuse_foreign(std::string_view bytes, const std::string& path) {
  const auto refuse = [&](std::string_view what) {
    throw Error(ErrorCode::unsupported_format, fmt::format("{}: is {}", path, what));
  };
  if (bytes.starts_with("version https://git-lfs")) {
    const size_t oid = bytes.find("sha256:"), size = bytes.find("\nsize ");
    if (oid == bytes.npos || size == bytes.npos) refuse("a Git LFS pointer, not the weights: run git lfs pull");
    refuse(fmt::format("a Git LFS pointer, not the weights: run git lfs pull, or download the file of {} bytes with {}",
                       printable(bytes.substr(size + 6, bytes.find('\n', size + 6) - size - 6)),
                       printable(bytes.substr(oid, bytes.find('\n', oid) - oid))));
  }
  if (is_html(bytes)) refuse("a web page, not the weights: the download went to a page about the file");
  for (const ForeignFile& foreign : kForeignFiles)
    if (bytes.size() > foreign.offset && bytes.substr(foreign.offset).starts_with(foreign.magic)) refuse(foreign.what);
  throw Error(ErrorCode::unsupported_format,
              fmt::format("{}: is neither safetensors nor a .pth of torch.save (it begins with \"{}\")", path,
                          printable(bytes.substr(0, 8))));
}

TensorSource parse_container(const std::shared_ptr<MappedFile>& file) {
  const std::string_view bytes = text_of(*file);
  if (is_safetensors(bytes)) return parse_safetensors(file->bytes(), file, file->path());
  if (bytes.starts_with("PK\x03\x04")) {
    // The checksums have read all of it, of which a user may need little at a time.
    return parse_pth(file->bytes(), file, file->path(), [&](std::span<std::byte> part) { file->drop(part); });
  }
  if (bytes.size() > 1 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5)
    return parse_pth_legacy(file->bytes(), file, file->path());
  refuse_foreign(bytes, file->path());
}

// Each piece of the file gets an owner of its own, shared by the tensors that overlap there.
void share_pieces(std::vector<TensorEntry>& entries, MappedFile& file) {
  const auto end_of = [](const TensorEntry& entry) {
    return entry.data + memory_extent(entry.shape, entry.strides).value_or(0) * element_bytes(entry.dtype);
  };
  std::vector<TensorEntry*> by_place;
  for (TensorEntry& entry : entries) by_place.push_back(&entry);
  std::ranges::sort(by_place, {}, &TensorEntry::data);
  for (auto first = by_place.begin(); first != by_place.end();) {
    std::byte* end = end_of(**first);
    auto last = first + 1;
    for (; last != by_place.end() && (*last)->data < end; ++last) end = std::max(end, end_of(**last));
    const auto owner = file.share({(*first)->data, end});
    for (; first != last; ++first) (*first)->owner = owner;
  }
}

}  // namespace

bool is_index(const MappedFile& file) {
  const std::string_view bytes = text_of(file);
  return !is_safetensors(bytes) && skip_blank(bytes.substr(0, 512)).starts_with('{');
}

TensorSource read_container(const std::shared_ptr<MappedFile>& file) {
  TensorSource source = parse_container(file);
  share_pieces(source.entries, *file);
  return source;
}

}  // namespace wkv::zoo
