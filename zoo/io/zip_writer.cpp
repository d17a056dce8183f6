#include "io/zip_writer.h"

#include <algorithm>

#include "io/crc32.h"

namespace wkv::zoo {
namespace {

constexpr uint64_t kZipAlignment = 64;
constexpr uint16_t kZip64Version = 45, kZip64Field = 1, kPaddingField = 0x4246, kMadeBy = 45;
constexpr uint32_t kOldestZipDate = 0x00210000;  // 1980-01-01 00:00: the same file from the same tensors

// Numbers as they stand in the file, one after the other.
template <typename... number_t>
std::string little_endian(number_t... numbers) {
  std::string bytes;
  (bytes.append(reinterpret_cast<const char*>(&numbers), sizeof numbers), ...);
  return bytes;
}

uint16_t narrow_16(uint64_t value) { return static_cast<uint16_t>(std::min<uint64_t>(value, 0xFFFF)); }

}  // namespace

void ZipWriter::write(std::span<const std::byte> bytes) {
  file_.write(bytes.data(), bytes.size());
  offset_ += bytes.size();
}

void ZipWriter::add(const std::string& name, std::span<const std::byte> data) {
  const uint64_t size = data.size(), at = offset_;
  const bool wide_size = size >= zip64_from_, wide_offset = at >= zip64_from_;
  // What the local header and the directory say in the same words: from the version needed to the length of the name.
  const std::string common = little_endian(kZip64Version, uint16_t{0}, uint16_t{0}, kOldestZipDate, crc32(data),
                                           narrow(size), narrow(size), static_cast<uint16_t>(name.size()));
  const std::string sizes = wide_size ? little_endian(size, size) : "";

  std::string header = little_endian(uint32_t{0x04034b50}) + common;
  std::string extra = wide_size ? little_endian(kZip64Field, narrow_16(sizes.size())) + sizes : "";
  const uint64_t behind = at + header.size() + 2 + name.size() + extra.size() + 4;
  const uint64_t padding = (kZipAlignment - behind % kZipAlignment) % kZipAlignment;
  extra += little_endian(kPaddingField, narrow_16(padding)) + std::string(padding, '\0');
  write(header + little_endian(narrow_16(extra.size())) + name + extra);
  write(data);

  const std::string numbers = sizes + (wide_offset ? little_endian(at) : "");
  extra = numbers.empty() ? "" : little_endian(kZip64Field, narrow_16(numbers.size())) + numbers;
  directory_ += little_endian(uint32_t{0x02014b50}, kMadeBy) + common +
                little_endian(narrow_16(extra.size()), uint16_t{0}, uint16_t{0}, uint16_t{0}, uint32_t{0}, narrow(at)) +
                name + extra;
  ++entries_;
}

void ZipWriter::finish() {
  const uint64_t begin = offset_, size = directory_.size();
  write(directory_);
  if (begin >= zip64_from_ || size >= zip64_from_ || entries_ >= 0xFFFF) {
    const uint64_t at = offset_, rest_of_record = 44;
    write(little_endian(uint32_t{0x06064b50}, rest_of_record, kMadeBy, kZip64Version, uint32_t{0}, uint32_t{0},
                        entries_, entries_, size, begin));
    write(little_endian(uint32_t{0x07064b50}, uint32_t{0}, at, uint32_t{1}));
  }
  write(little_endian(uint32_t{0x06054b50}, uint16_t{0}, uint16_t{0}, narrow_16(entries_), narrow_16(entries_),
                      narrow(size), narrow(begin), uint16_t{0}));
}

}  // namespace wkv::zoo
