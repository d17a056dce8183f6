#include "vision/npy_file.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "io/mapped_file.h"
#include "wkv/error.h"

namespace wkv::zoo {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;  // of the numbers

// What stands behind 'key': in the header, without spaces before it.
std::optional<std::string_view> value_of(std::string_view header, std::string_view key) {
  const std::string quoted = fmt::format("'{}'", key);
  size_t place = header.find(quoted);
  if (place == std::string_view::npos) return std::nullopt;
  place = header.find_first_not_of(' ', place + quoted.size());
  if (place == std::string_view::npos || header[place] != ':') return std::nullopt;
  place = header.find_first_not_of(' ', place + 1);
  if (place == std::string_view::npos) return std::nullopt;
  return header.substr(place);
}

std::optional<at::ScalarType> dtype_of(std::string_view descr) {
  if (descr.starts_with("'<f4'")) return at::kFloat;
  if (descr.starts_with("'<f8'")) return at::kDouble;
  if (descr.starts_with("'<f2'")) return at::kHalf;
  return std::nullopt;
}

// "(3, 4)" and so on; none: something else.
std::optional<std::vector<int64_t>> shape_of(std::string_view text) {
  if (!text.starts_with('(')) return std::nullopt;
  std::vector<int64_t> shape;
  text.remove_prefix(1);
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
    if (text.starts_with(')')) return shape;
    int64_t size = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc() || size < 0) return std::nullopt;
    shape.push_back(size);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
  }
}

std::optional<size_t> bytes_of(const std::vector<int64_t>& shape, at::ScalarType dtype) {
  size_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<size_t>(size), &bytes)) return std::nullopt;
  }
  return bytes;
}

}  // namespace

void write_npy(AtomicFile& file, const at::Tensor& matrix) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", matrix.size(0), matrix.size(1));
  const size_t before = kMagic.size() + 4;  // the version and the header's length
  header.resize((before + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - before - 1, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  file.write(kMagic);
  file.write(std::string_view("\x01\x00", 2));
  file.write(&length, sizeof length);
  file.write(header);
  file.write(matrix.const_data_ptr(), matrix.nbytes());
}

at::Tensor load_npy(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  const auto fail = [&](std::string_view what) {
    throw Error(ErrorCode::corrupt_file, fmt::format("{}: {}", path.string(), what));
  };
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (bytes.size() < kMagic.size() + 6 || !bytes.starts_with(kMagic)) fail("not a .npy file");
  const bool wide = bytes[kMagic.size()] != 1;  // from version 2 on the length has four bytes
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + kMagic.size() + 2, wide ? 4 : 2);
  const size_t start = kMagic.size() + 2 + (wide ? 4 : 2);
  if (length > bytes.size() - start) fail("the header is cut off");
  const std::string_view header = bytes.substr(start, length);
  const auto descr = value_of(header, "descr"), order = value_of(header, "fortran_order"),
             sizes = value_of(header, "shape");
  if (!descr || !order || !sizes) fail("the header lacks descr, fortran_order or shape");
  const auto dtype = dtype_of(*descr);
  if (!dtype) fail("expected an array of '<f4', '<f2' or '<f8'");
  if (!order->starts_with("False")) fail("expected an array in C order");
  const auto shape = shape_of(*sizes);
  if (!shape) fail("the header's shape can't be read");
  const auto expected = bytes_of(*shape, *dtype);
  if (!expected || *expected != bytes.size() - start - length) {
    fail(fmt::format("its shape does not fit the {} bytes behind the header", bytes.size() - start - length));
  }
  at::Tensor array = at::empty(*shape, *dtype);
  std::memcpy(array.data_ptr(), bytes.data() + start + length, *expected);
  return array;
}

}  // namespace wkv::zoo
